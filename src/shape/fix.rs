//! SQL that would align a tenant with the shape that it ought to have, where it is plain. What would destroy data, or
//! what nobody can say without knowing more, is a comment with the reason. Every statement either does its work or
//! fails and leaves what was there: what replaces something is there before that goes, or with it in one transaction.

mod column;
mod doubt;
mod grant;
mod mention;
mod order;
mod plan;
mod relation;
mod routine;
mod types;
mod view;

use std::borrow::Cow;

pub use plan::{Place, fix_plan};

use super::{Change, Difference, Kind, OWN_SCHEMA, Shape};
use crate::tenant::quote_literal;

/// What is done about one difference.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fix {
    /// Statements to be run.
    Run(Vec<String>),
    /// Statements that somebody has to decide about, and why.
    Decide(Vec<String>, Cow<'static, str>),
    /// Nothing that can be written down.
    ByHand(Cow<'static, str>),
}

impl Fix {
    /// All of them or none.
    fn at_once(mut statements: Vec<String>) -> Self {
        if statements.len() > 1 {
            statements.insert(0, "BEGIN".to_owned());
            statements.push("COMMIT".to_owned());
        }
        Self::Run(statements)
    }

    fn run(statement: String) -> Self {
        Self::Run(vec![statement])
    }

    fn decide(statement: String, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Decide(vec![statement], reason.into())
    }

    fn by_hand(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::ByHand(reason.into())
    }

    fn is_run(&self) -> bool {
        matches!(self, Self::Run(_))
    }
}

/// What a tenant holds, what it ought to hold, and in what they differ.
#[derive(Clone, Copy)]
struct Case<'a> {
    found: &'a Shape,
    expected: &'a Shape,
    differences: &'a [Difference],
}

impl<'a> Case<'a> {
    /// The definition of a table that is there.
    fn table(&self, name: &str) -> Option<&'a str> {
        let item = self.found.get(Kind::Table, None, name)?;
        Some(&item.definition)
    }

    fn is_there(&self, kind: Kind, name: &str) -> bool {
        self.found.get(kind, None, name).is_some()
    }

    /// Whether foreign keys point to a table that is there.
    fn is_referenced(&self, table: &str) -> bool {
        let pattern = format!("REFERENCES {table}(");
        let mut items = self.found.items();
        items.any(|item| item.kind == Kind::Constraint && item.definition.contains(&pattern))
    }
}

/// A name with the tenant's schema in front, so that nothing of that name in a shared schema is meant.
fn own(name: &str) -> String {
    format!("{OWN_SCHEMA}.{name}")
}

fn fix(difference: &Difference, case: &Case<'_>) -> Fix {
    if let Some(doubt) = doubt::of(difference, case) {
        return doubt;
    }
    let name = difference.name.as_str();
    let on = own(difference.table.as_deref().unwrap_or_default());
    let expected = difference.expected.as_deref();
    match difference.kind {
        Kind::Column => column::column(difference, case),
        Kind::Index => relation::index(difference, case),
        Kind::Constraint => relation::constraint(difference, case),
        Kind::View => view::view(difference),
        Kind::MaterializedView => view::materialized(difference),
        Kind::Function | Kind::Procedure => routine::routine(difference, case),
        Kind::Trigger | Kind::Rule => relation::switched(difference, (&on, name)),
        Kind::Policy => replaced(
            difference,
            format!("DROP POLICY {name} ON {on}"),
            |definition| format!("CREATE POLICY {name} ON {on} {definition}"),
        ),
        Kind::Statistics => replaced(
            difference,
            format!("DROP STATISTICS {}", own(name)),
            |definition| format!("CREATE STATISTICS {} {definition}", own(name)),
        ),
        Kind::RowSecurity => relation::row_security(&own(name), expected),
        Kind::Sequence => types::sequence(difference),
        Kind::Enum => types::labels(difference),
        Kind::Comment => Fix::run(match expected {
            Some(comment) => format!("COMMENT ON {name} IS {}", quote_literal(comment)),
            None => format!("COMMENT ON {name} IS NULL"),
        }),
        Kind::Grant => grant::grant(difference),
        Kind::Table if difference.change == Change::Additional => Fix::decide(
            format!("DROP TABLE {}", own(name)),
            "its rows would be lost",
        ),
        Kind::Table => Fix::by_hand("the migration that makes it says how"),
        _ => Fix::by_hand("somebody has to look at it"),
    }
}

/// What holds no data is dropped, and made anew.
fn replaced(difference: &Difference, drop: String, create: impl Fn(&str) -> String) -> Fix {
    let expected = difference.expected.as_deref();
    let mut statements = Vec::new();
    if difference.change != Change::Missing {
        statements.push(drop);
    }
    statements.extend(expected.map(create));
    Fix::at_once(statements)
}
