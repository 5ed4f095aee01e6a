//! In what order the differences of one tenant are put right, and what of it needs something that is not put right.

use std::cmp::Reverse;

use super::mention::{Text, subject};
use super::{Case, Change, Difference, Fix, Kind, fix};

/// What is done about a difference.
pub(super) struct Planned<'a> {
    pub(super) difference: &'a Difference,
    pub(super) fix: Fix,
    /// What it says as it ought to be; where it goes, as it is.
    text: Text,
    /// What of it PostgreSQL looks at when it is made: bodies that are texts are read when they are called.
    made_of: Text,
}

/// What is done, in the order in which it has to be done.
pub(super) fn planned<'a>(case: &Case<'a>) -> Vec<Planned<'a>> {
    let mut plan: Vec<Planned<'a>> = case
        .differences
        .iter()
        .map(|difference| Planned {
            difference,
            fix: fix(difference, case),
            text: text(difference, |definition| definition),
            made_of: text(difference, |definition| {
                let body = definition.find(" as $function$");
                &definition[..body.unwrap_or(definition.len())]
            }),
        })
        .collect();
    while hold_back(&mut plan, case) {}
    plan.sort_by_key(|planned| stage(planned.difference));
    sorted(plan)
}

fn text(difference: &Difference, part: impl Fn(&str) -> &str) -> Text {
    let definition = difference.expected.as_ref().or(difference.found.as_ref());
    let definition = definition.map(|d| part(d)).unwrap_or_default();
    Text::of(&[
        difference.table.as_deref().unwrap_or_default(),
        &difference.name,
        definition,
    ])
}

impl Planned<'_> {
    fn goes(&self) -> bool {
        self.difference.change == Change::Additional
    }

    /// Whether it speaks of another one.
    fn mentions(&self, other: &Difference) -> bool {
        let Some((table, name)) = subject(other) else {
            return false;
        };
        // a body may speak of a column through a row, whose table it does not name
        let is_body = matches!(
            self.difference.kind,
            Kind::Function | Kind::Procedure | Kind::Trigger
        );
        self.text.mentions(name) && table.is_none_or(|table| is_body || self.text.mentions(table))
    }

    /// Whether it names another one so that PostgreSQL looks for it.
    fn is_made_of(&self, other: &Difference) -> bool {
        subject(other).is_some_and(|(table, name)| {
            self.made_of.mentions(name) && table.is_none_or(|table| self.made_of.mentions(table))
        }) || (!self.goes() && !is_routine(self.difference.kind) && self.needs(other))
    }

    /// Whether it can only be done when the other one is as it ought to be.
    fn needs(&self, other: &Difference) -> bool {
        let is_on_same = self.difference.table == other.table;
        let expected = self.difference.expected.as_deref().unwrap_or_default();
        match other.kind {
            Kind::Policy if self.difference.kind == Kind::RowSecurity => {
                other.table.as_deref() == Some(&*self.difference.name)
            }
            // of no other kind of thing does anything speak by such a name
            Kind::Policy | Kind::Rule | Kind::Trigger | Kind::Statistics => {
                self.difference.kind == Kind::Comment && self.mentions(other)
            }
            Kind::Table if other.change == Change::Different => {
                let texts = [&other.expected, &other.found];
                let mut texts = texts.into_iter().flatten();
                texts.any(|d| d.contains("partition") || d.contains("inherits ("))
                    && self.mentions(other)
            }
            Kind::Constraint if expected.starts_with("FOREIGN KEY") && !is_on_same => {
                let table = other.table.as_deref().unwrap_or_default();
                expected.contains(&format!("REFERENCES {table}("))
            }
            _ => self.mentions(other),
        }
    }
}

fn is_routine(kind: Kind) -> bool {
    matches!(kind, Kind::Function | Kind::Procedure)
}

/// Makes comments of what needs something that is not done. Whether there was any; that may be needed itself.
fn hold_back(plan: &mut [Planned<'_>], case: &Case<'_>) -> bool {
    let reasons: Vec<Option<String>> = plan.iter().map(|one| obstacle(one, plan, case)).collect();
    let mut has_any = false;
    for (planned, reason) in plan.iter_mut().zip(reasons) {
        let Some(reason) = reason else {
            continue;
        };
        if let Fix::Run(statements) = &mut planned.fix {
            planned.fix = Fix::Decide(std::mem::take(statements), reason.into());
            has_any = true;
        }
    }
    has_any
}

fn obstacle(one: &Planned<'_>, plan: &[Planned<'_>], case: &Case<'_>) -> Option<String> {
    if !one.fix.is_run() {
        return None;
    }
    if one.goes() {
        if let Some(other) = successor(one.difference, plan) {
            return Some(format!("what may take its place is not done: {other}"));
        }
        return user_of(one.difference, plan, case)
            .map(|user| format!("it may be in use: {user} speaks of it"));
    }
    let mut undone = plan
        .iter()
        .filter(|other| !other.fix.is_run() && !other.goes())
        .filter(|other| !std::ptr::eq(other.difference, one.difference));
    let other = undone.find(|other| one.needs(other.difference))?;
    Some(format!(
        "it needs another one that is not done: {}",
        other.difference
    ))
}

/// What ought to be there and is left to somebody, where until then something else may guarantee the same.
fn successor<'a>(gone: &Difference, plan: &'a [Planned<'_>]) -> Option<&'a Difference> {
    let guards = |kind: Kind| matches!(kind, Kind::Constraint | Kind::Index);
    let is_like = |kind: Kind| kind == gone.kind || (guards(kind) && guards(gone.kind));
    if !guards(gone.kind) && !matches!(gone.kind, Kind::Policy | Kind::Trigger | Kind::Rule) {
        return None;
    }
    let mut undone = plan
        .iter()
        .filter(|other| !other.fix.is_run() && !other.goes())
        .map(|other| other.difference);
    undone.find(|other| is_like(other.kind) && other.table == gone.table)
}

/// Something that stays, and speaks of what is to go.
fn user_of(gone: &Difference, plan: &[Planned<'_>], case: &Case<'_>) -> Option<String> {
    let can_be_used = [Kind::View, Kind::Function, Kind::Procedure, Kind::Enum];
    if !can_be_used.contains(&gone.kind) {
        return None;
    }
    let (_, name) = subject(gone)?;
    let user = case.found.items().find(|item| {
        let is_itself = item.key() == (gone.kind, gone.table.as_deref(), gone.name.as_str());
        let goes_with_it = item.table.as_deref() == Some(&*gone.name);
        let says_nothing = matches!(
            item.kind,
            Kind::Grant | Kind::Comment | Kind::DefaultPrivilege | Kind::RowSecurity
        );
        if is_itself || goes_with_it || says_nothing {
            return false;
        }
        let table = item.table.as_deref().unwrap_or_default();
        let speaks = Text::of(&[table, &item.name, &item.definition]).mentions(name);
        speaks
            && !plan.iter().any(|other| {
                let d = other.difference;
                (d.kind, d.table.as_deref(), d.name.as_str()) == item.key()
                    && other.fix.is_run()
                    && (other.goes() || !other.text.mentions(name))
            })
    });
    user.map(ToString::to_string)
}

/// Indexes that hold nothing go first, for they may be in the way. What comes is there before anything goes. Policies
/// are there before row security asks for them.
fn stage(difference: &Difference) -> (u8, Reverse<Kind>, u8, Kind) {
    let invalid = difference.kind == Kind::Index
        && difference
            .found
            .as_deref()
            .is_some_and(|found| found.ends_with(" INVALID"));
    let goes = difference.change == Change::Additional;
    let stage = match (goes, invalid) {
        (true, true) => 0,
        (false, _) => 1,
        (true, false) => 2,
    };
    // what others stand on goes after them
    let reversed = if stage == 2 {
        difference.kind
    } else {
        Kind::Extension
    };
    let is_late = u8::from(difference.kind == Kind::RowSecurity);
    (stage, Reverse(reversed), is_late, difference.kind)
}

/// Moves what speaks of another one behind it; where both go, before it.
fn sorted(plan: Vec<Planned<'_>>) -> Vec<Planned<'_>> {
    let precedes = |first: &Planned<'_>, second: &Planned<'_>| {
        first.fix.is_run()
            && second.fix.is_run()
            && !std::ptr::eq(first.difference, second.difference)
            && match (first.goes(), second.goes()) {
                (false, false) => second.is_made_of(first.difference),
                (true, true) => first.is_made_of(second.difference),
                _ => false,
            }
    };
    let behind: Vec<Vec<usize>> = plan
        .iter()
        .map(|first| {
            let all = plan.iter().enumerate();
            all.filter(|(_, second)| precedes(first, second))
                .map(|(index, _)| index)
                .collect()
        })
        .collect();
    let mut waits = vec![0_usize; plan.len()];
    for index in behind.iter().flatten() {
        waits[*index] += 1;
    }
    let mut left: Vec<Option<Planned<'_>>> = plan.into_iter().map(Some).collect();
    let mut order = Vec::with_capacity(left.len());
    while order.len() < left.len() {
        let there = || (0..left.len()).filter(|index| left[*index].is_some());
        // two that speak of each other come as they came
        let Some(next) = there()
            .find(|index| waits[*index] == 0)
            .or_else(|| there().next())
        else {
            break;
        };
        for index in &behind[next] {
            waits[*index] = waits[*index].saturating_sub(1);
        }
        order.extend(left[next].take());
    }
    order
}
