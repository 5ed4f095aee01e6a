//! SQL that would align a tenant with the shape that it ought to have, where it is plain. What would destroy data, or
//! what nobody can say without knowing more, is a comment with the reason.

mod column;
mod grant;
mod relation;
mod routine;
mod types;

use std::fmt::Write as _;

use super::{Change, Difference, Kind, OWN_SCHEMA, Shape};
use crate::tenant::{SchemaName, TenantId, quote_literal};

/// What is done about one difference.
enum Fix {
    /// Statements to be run.
    Run(Vec<String>),
    /// A statement that somebody has to decide about, and why.
    Decide(String, &'static str),
    /// Nothing that can be written down.
    ByHand(&'static str),
}

/// The SQL for one tenant, for psql. Statements stand in the order in which they have to be run.
pub fn fix_plan(tenant: &TenantId, differences: &[Difference], found: &Shape) -> String {
    let mut text = format!(
        "-- {tenant}\nSET search_path = {};\n",
        tenant.schema.quoted()
    );
    let mut ordered: Vec<&Difference> = differences.iter().collect();
    ordered.sort_by_key(|difference| order(difference));
    for difference in ordered {
        let _ = writeln!(text, "-- {difference}");
        match fix(difference, found) {
            Fix::Run(statements) => {
                for statement in statements {
                    let statement = filled(&statement, &tenant.schema);
                    let _ = writeln!(text, "{};", statement.trim_end().trim_end_matches(';'));
                }
            }
            Fix::Decide(statement, reason) => {
                let statement = filled(&statement, &tenant.schema);
                let _ = writeln!(text, "-- not done: {reason}");
                for line in statement.lines() {
                    let _ = writeln!(text, "-- {line}");
                }
            }
            Fix::ByHand(reason) => {
                let _ = writeln!(text, "-- not plain: {reason}");
            }
        }
    }
    text.push_str("RESET search_path;\n");
    text
}

/// What depends on others goes before them where it goes, and after them where it comes.
fn order(difference: &Difference) -> (u8, std::cmp::Reverse<Kind>, Kind) {
    let goes = difference.change == Change::Additional;
    let reversed = if goes {
        difference.kind
    } else {
        Kind::Extension
    };
    (
        u8::from(!goes),
        std::cmp::Reverse(reversed),
        difference.kind,
    )
}

/// The tenant's own name in its places again.
fn filled(statement: &str, schema: &SchemaName) -> String {
    statement.replace(OWN_SCHEMA, &schema.quoted())
}

fn fix(difference: &Difference, found: &Shape) -> Fix {
    let name = difference.name.as_str();
    let table = difference.table.as_deref().unwrap_or_default();
    let expected = difference.expected.as_deref();
    match difference.kind {
        Kind::Column => column::column(difference, table),
        Kind::Index => relation::index(difference, name),
        Kind::Constraint => relation::constraint(difference, (table, name), found),
        Kind::View => routine::view(difference),
        Kind::Function | Kind::Procedure => routine::routine(difference),
        Kind::Trigger => relation::trigger(difference, (table, name)),
        Kind::Policy => replaced(
            difference,
            format!("DROP POLICY {name} ON {table}"),
            |definition| format!("CREATE POLICY {name} ON {table} {definition}"),
        ),
        Kind::Rule => replaced(
            difference,
            format!("DROP RULE {name} ON {table}"),
            str::to_owned,
        ),
        Kind::Statistics => replaced(
            difference,
            format!("DROP STATISTICS {name}"),
            |definition| format!("CREATE STATISTICS {name} {definition}"),
        ),
        Kind::RowSecurity => relation::row_security(name, expected),
        Kind::Sequence => types::sequence(difference),
        Kind::Enum => types::labels(difference),
        Kind::Comment => Fix::Run(vec![match expected {
            Some(comment) => format!("COMMENT ON {name} IS {}", quote_literal(comment)),
            None => format!("COMMENT ON {name} IS NULL"),
        }]),
        Kind::Grant => grant::grant(difference),
        Kind::MaterializedView => match difference.change {
            Change::Missing => Fix::Run(vec![format!(
                "CREATE MATERIALIZED VIEW {name} AS {}",
                expected.unwrap_or_default()
            )]),
            _ => Fix::ByHand("what is built on it goes with it, and filling it takes time"),
        },
        Kind::Table if difference.change == Change::Additional => {
            Fix::Decide(format!("DROP TABLE {name}"), "its rows would be lost")
        }
        Kind::Table => Fix::ByHand("the migration that makes it says how"),
        _ => Fix::ByHand("somebody has to look at it"),
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
    Fix::Run(statements)
}
