//! Differences that may be something else than they seem: what is there under another name, as another kind of thing,
//! or because it is so in the table that this one is a part of.

use super::{Case, Change, Difference, Fix, Kind};

pub(super) fn of(difference: &Difference, case: &Case<'_>) -> Option<Fix> {
    if matches!(difference.kind, Kind::Comment | Kind::Grant) {
        return None;
    }
    of_another_kind(difference, case)
        .or_else(|| renamed(difference, case))
        .or_else(|| of_parent(difference, case))
        .map(Fix::by_hand)
}

/// Names that may not be given twice in a schema; where PostgreSQL would allow two of them, people still mean one.
fn space(kind: Kind, definition: &str) -> Option<u8> {
    let has_index = |d: &str| {
        ["PRIMARY KEY", "UNIQUE", "EXCLUDE"]
            .iter()
            .any(|word| d.starts_with(word))
    };
    match kind {
        Kind::Enum
        | Kind::Domain
        | Kind::Composite
        | Kind::Range
        | Kind::Type
        | Kind::Sequence
        | Kind::Table
        | Kind::ForeignTable
        | Kind::Index
        | Kind::View
        | Kind::MaterializedView => Some(0),
        Kind::Constraint if has_index(definition) => Some(0),
        Kind::Function | Kind::Procedure | Kind::Aggregate => Some(1),
        Kind::Statistics => Some(2),
        _ => None,
    }
}

fn of_another_kind(difference: &Difference, case: &Case<'_>) -> Option<String> {
    if let Some(table) = &difference.table {
        let kinds = [
            Kind::Table,
            Kind::ForeignTable,
            Kind::View,
            Kind::MaterializedView,
            Kind::Domain,
        ];
        let is_other = kinds.iter().any(|kind| {
            case.found.get(*kind, None, table).is_some()
                != case.expected.get(*kind, None, table).is_some()
        });
        if is_other {
            return Some(format!(
                "{table} itself is something else than it ought to be"
            ));
        }
    }
    let definition = difference.expected.as_ref().or(difference.found.as_ref())?;
    let own = space(difference.kind, definition)?;
    let other = match difference.change {
        Change::Missing => case.found,
        Change::Additional => case.expected,
        Change::Different => return None,
    };
    let twin = other.items().find(|item| {
        item.name == difference.name
            && (item.kind, &item.table) != (difference.kind, &difference.table)
            && space(item.kind, &item.definition) == Some(own)
    })?;
    let verb = if difference.change == Change::Missing {
        "is"
    } else {
        "ought to be"
    };
    Some(format!("there {verb} a {twin} of that name"))
}

/// What is missing under one name and additional under another one may be one thing that somebody has renamed.
fn renamed(difference: &Difference, case: &Case<'_>) -> Option<String> {
    let counterpart = match difference.change {
        Change::Missing => Change::Additional,
        Change::Additional => Change::Missing,
        Change::Different => return None,
    };
    let twin = case.differences.iter().find(|other| {
        (other.kind, other.change) == (difference.kind, counterpart)
            && other.table == difference.table
            && (holds_data(other.kind) || nameless(other) == nameless(difference))
    })?;
    let (is, ought) = match difference.change {
        Change::Missing => (&twin.name, &difference.name),
        _ => (&difference.name, &twin.name),
    };
    Some(format!(
        "it may be a renaming: {is} is there and {ought} is not, and whether ALTER … RENAME is meant is not known"
    ))
}

/// Two of them need not be alike to be one that was renamed: one may have been altered as well.
fn holds_data(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Column
            | Kind::Table
            | Kind::ForeignTable
            | Kind::MaterializedView
            | Kind::Sequence
            | Kind::Domain
            | Kind::Composite
    )
}

fn nameless(difference: &Difference) -> String {
    let definition = difference.expected.as_ref().or(difference.found.as_ref());
    let definition = definition.map(String::as_str).unwrap_or_default();
    definition.replacen(&difference.name, "", 1)
}

/// What partitions and children have from their parent is altered there.
fn of_parent(difference: &Difference, case: &Case<'_>) -> Option<String> {
    let table = difference.table.as_deref()?;
    let mark = "inherits (";
    let shapes = [case.found, case.expected];
    let mut definitions = shapes
        .iter()
        .filter_map(|shape| shape.get(Kind::Table, None, table));
    let of_child = definitions.find(|item| item.definition.contains(mark))?;
    let (_, parents) = of_child.definition.split_once(mark)?;
    let parents = parents.split(')').next().unwrap_or_default();
    let has_own_name = |kind: Kind| {
        let mut parents = parents.split(", ");
        !parents.any(|parent| {
            let mut shapes = shapes.iter();
            shapes.any(|shape| shape.get(kind, Some(parent), &difference.name).is_some())
        })
    };
    let is_check = difference
        .expected
        .as_ref()
        .or(difference.found.as_ref())
        .is_some_and(|definition| definition.starts_with("CHECK"));
    let is_its_own = match difference.kind {
        Kind::Constraint => is_check && has_own_name(Kind::Constraint),
        Kind::Trigger => has_own_name(Kind::Trigger),
        Kind::Column | Kind::Index => false,
        _ => true,
    };
    (!is_its_own).then(|| {
        format!("{table} is a part of {parents}: what it has from there comes and goes there")
    })
}
