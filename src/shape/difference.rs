//! In what two shapes differ.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

use super::item::Named;
use super::{Item, Kind, Shape};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Change {
    /// It ought to be there.
    Missing,
    /// It ought not to be there.
    Additional,
    /// It is another one than it ought to be.
    Different,
}

impl Change {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Additional => "additional",
            Self::Different => "different",
        }
    }
}

/// One item in which a shape is not as it ought to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Difference {
    /// What it is.
    pub kind: Kind,
    /// The table that it belongs to, where it belongs to one.
    pub table: Option<String>,
    /// Its name.
    pub name: String,
    /// What became of it.
    pub change: Change,
    /// The definition that it ought to have; none where it ought not to be there.
    pub expected: Option<String>,
    /// The definition that it has; none where it is missing.
    pub found: Option<String>,
}

impl Difference {
    /// What it is about, `index customers_email on customers`.
    pub fn item_name(&self) -> String {
        Named((self.kind, self.table.as_deref(), &self.name)).to_string()
    }

    /// The same as the other side sees it.
    pub(super) fn mirrored(&self) -> Self {
        Self {
            change: match self.change {
                Change::Missing => Change::Additional,
                Change::Additional => Change::Missing,
                Change::Different => Change::Different,
            },
            expected: self.found.clone(),
            found: self.expected.clone(),
            ..self.clone()
        }
    }

    fn new(change: Change, expected: Option<&Item>, found: Option<&Item>) -> Option<Self> {
        let item = expected.or(found)?;
        let definition = |item: &Item| item.definition.clone();
        Some(Self {
            kind: item.kind,
            table: item.table.clone(),
            name: item.name.clone(),
            change,
            expected: expected.map(definition),
            found: found.map(definition),
        })
    }
}

/// `column customers.email is missing`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.item_name(), self.change.word())
    }
}

/// In what a shape differs from another one that it ought to have. Where a table is missing, nothing is said of what
/// would belong to it, and the same where it is additional.
pub fn differences(of: &Shape, against: &Shape) -> Vec<Difference> {
    let mut found = of.items().peekable();
    let mut expected = against.items().peekable();
    let mut differences = Vec::new();
    loop {
        let order = match (expected.peek(), found.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(expected), Some(found)) => expected.key().cmp(&found.key()),
        };
        let difference = match order {
            Ordering::Less => Difference::new(Change::Missing, expected.next(), None),
            Ordering::Greater => Difference::new(Change::Additional, None, found.next()),
            Ordering::Equal => match (expected.next(), found.next()) {
                (Some(expected), Some(found)) if !against.is_like(expected, (of, found)) => {
                    Difference::new(Change::Different, Some(expected), Some(found))
                }
                _ => None,
            },
        };
        differences.extend(difference);
    }
    without_consequences(differences)
}

/// Leaves out what goes with something else that is missing, or came with something that is additional.
fn without_consequences(differences: Vec<Difference>) -> Vec<Difference> {
    let whole = differences.iter().filter(|d| d.change != Change::Different);
    let owners: HashSet<String> = whole
        .clone()
        .filter(|d| is_owner(d.kind))
        .map(|d| d.name.clone())
        .collect();
    let named: HashSet<String> = whole.map(|d| subject(d.kind, d)).collect();
    let is_consequence = |difference: &Difference| match difference.kind {
        Kind::Comment | Kind::Grant | Kind::OwnerRights => {
            // of domains, as COMMENT ON calls them
            let name = difference.name.replacen(" on domain ", " on ", 1);
            let of_column = name
                .strip_prefix("column ")
                .and_then(|column| column.rfind('.').map(|dot| &column[..dot]));
            named.iter().any(|subject| {
                name.strip_prefix(subject.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(" to "))
            }) || of_column.is_some_and(|table| owners.contains(table))
                || name
                    .rsplit_once(" on ")
                    .is_some_and(|(_, table)| owners.contains(table))
        }
        _ if difference.change == Change::Different => false,
        _ => difference
            .table
            .as_ref()
            .is_some_and(|table| owners.contains(table)),
    };
    let keep: Vec<bool> = differences.iter().map(|d| !is_consequence(d)).collect();
    let mut keep = keep.into_iter();
    let mut differences = differences;
    differences.retain(|_| keep.next().unwrap_or(true));
    differences
}

/// What other items belong to.
fn is_owner(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Table | Kind::ForeignTable | Kind::View | Kind::MaterializedView | Kind::Domain
    )
}

/// How comments and grants call an item.
fn subject(kind: Kind, item: &Difference) -> String {
    match &item.table {
        Some(table) if !matches!(kind, Kind::Column | Kind::Index | Kind::Statistics) => {
            format!("{kind} {} on {table}", item.name)
        }
        _ => format!("{kind} {}", item.name),
    }
}
