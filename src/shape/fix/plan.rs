//! The text of a plan: for psql, a part for each tenant, which is run in the tenant's own database only.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::order::planned;
use super::relation::invalid;
use super::{Case, Fix};

use crate::shape::own_name::filled;
use crate::shape::{ComparedGroup, ComparedVersion, Standard, Verification};
use crate::tenant::{DatabaseName, TenantId, quote_identifier, quote_literal};

const HEAD: &str = "\
-- For psql, as the role that migrations run as: psql -v ON_ERROR_STOP=1 -f PLAN URL
-- A part whose tenant is in another database is left out. Comments are left to you; look with `fleet verify` afterwards.
\\set ON_ERROR_STOP on
\\set fleet_ran off
";

const END: &str = "
\\if :fleet_ran
\\else
DO $$BEGIN RAISE EXCEPTION 'nothing of this plan is for the database that psql is connected to'; END$$;
\\endif
";

/// A database, as its server knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its name on the server.
    pub database: String,
    /// What tells the server from others; none where that may not be asked.
    pub system_identifier: Option<String>,
    /// The schemas that are behind the tenant's own in the search path.
    pub shared: Vec<String>,
}

/// The SQL for all tenants that differ, database by database; empty where there is nothing to be said.
pub fn fix_plan(verification: &Verification, places: &BTreeMap<DatabaseName, Place>) -> String {
    let mut notes = String::new();
    let mut parts: BTreeMap<&TenantId, Part> = BTreeMap::new();
    for version in &verification.versions {
        if is_undecided(version) {
            notes.push_str(&comment(&undecided(version)));
            continue;
        }
        for group in &version.groups {
            let steps = steps(group, version);
            for tenant in group.group.tenants.iter().filter(|_| !steps.is_empty()) {
                parts.insert(tenant, Part::of(tenant, &steps));
            }
        }
    }
    if parts.values().all(|part| !part.is_run) {
        let parts = parts.into_values().map(|part| part.text);
        let all = std::iter::once(notes).chain(parts);
        return all.filter(|t| !t.is_empty()).collect::<Vec<_>>().join("\n");
    }
    let mut text = format!("{HEAD}{notes}");
    for (tenant, part) in parts {
        text.push('\n');
        match places.get(&tenant.database) {
            Some(place) if part.is_run => text.push_str(&guarded(tenant, &part, place)),
            _ => text.push_str(&part.text),
        }
    }
    text.push_str(END);
    text
}

/// Whether nobody knows which of the shapes is the right one.
fn is_undecided(version: &ComparedVersion) -> bool {
    let has_standard = matches!(version.standard, Standard::Majority | Standard::Reference);
    !has_standard && version.outliers().next().is_some()
}

fn undecided(version: &ComparedVersion) -> String {
    let number = version.version;
    match version.standard {
        Standard::NoReference => format!(
            "V{number}: the set does not hold this version, so nobody can say which tenants are right: nothing is aligned"
        ),
        _ => format!(
            "V{number}: no shape has a majority, so nobody can say which tenants are right: nothing is aligned.\n\
             With --reference they are compared with what the set makes: fleet verify --reference --fix-plan"
        ),
    }
}

/// What is done about each difference, and what it is about.
fn steps(group: &ComparedGroup, version: &ComparedVersion) -> Vec<(String, Fix)> {
    let case = Case {
        found: &group.group.shape,
        expected: &version.expected,
        differences: &group.differences,
    };
    let planned = planned(&case).into_iter();
    let mut steps: Vec<(String, Fix)> = planned
        .map(|planned| (planned.difference.to_string(), planned.fix))
        .collect();
    let indexes = group.group.shape.invalid_indexes().filter(|index| {
        let mut differences = group.differences.iter();
        !differences.any(|d| (d.kind, d.table.as_deref(), d.name.as_str()) == index.key())
    });
    steps.extend(indexes.map(|index| {
        (
            format!("{index} is INVALID"),
            invalid(&index.name, &index.definition),
        )
    }));
    steps
}

/// What is written for one tenant.
struct Part {
    text: String,
    /// Whether there is anything in it to be run.
    is_run: bool,
}

impl Part {
    fn of(tenant: &TenantId, steps: &[(String, Fix)]) -> Self {
        let mut text = comment(&tenant.to_string());
        for (what, fix) in steps {
            text.push_str(&comment(what));
            let (statements, reason) = match fix {
                Fix::Run(statements) => {
                    for statement in statements {
                        let _ = writeln!(text, "{}", ended(statement, tenant));
                    }
                    continue;
                }
                Fix::Decide(statements, reason) => (statements.as_slice(), reason),
                Fix::ByHand(reason) => (&[][..], reason),
            };
            let word = if statements.is_empty() {
                "not plain"
            } else {
                "not done"
            };
            text.push_str(&comment(&format!("{word}: {reason}")));
            for statement in statements {
                text.push_str(&comment(&ended(statement, tenant)));
            }
        }
        let is_run = steps.iter().any(|(_, fix)| fix.is_run());
        Self { text, is_run }
    }
}

/// A statement with its semicolon.
fn ended(statement: &str, tenant: &TenantId) -> String {
    let statement = filled(statement, tenant);
    let statement = statement.trim_end().trim_end_matches(';');
    format!("{statement};")
}

/// A comment of as many lines as the text has, so that no name can end it.
fn comment(text: &str) -> String {
    let lines = text.split(['\n', '\r']);
    lines.fold(String::new(), |all, line| all + "-- " + line + "\n")
}

/// Has psql run a part only where it is connected to the tenant's database, and the tenant is there. A shared schema
/// may hold the same names.
fn guarded(tenant: &TenantId, part: &Part, place: &Place) -> String {
    let schema = tenant.schema.quoted();
    let path: Vec<String> = std::iter::once(schema)
        .chain(place.shared.iter().map(|name| quote_identifier(name)))
        .collect();
    let of_server = match &place.system_identifier {
        Some(identifier) => format!(
            " AND (SELECT system_identifier::text FROM pg_catalog.pg_control_system()) = {}",
            quote_literal(identifier)
        ),
        None => String::new(),
    };
    let elsewhere: String = format!("left out: {tenant} is not in this database")
        .chars()
        .map(|c| {
            if "'\\".contains(c) || c.is_control() {
                '?'
            } else {
                c
            }
        })
        .collect();
    format!(
        "SELECT pg_catalog.current_database() = {}{of_server}\n  \
           AND EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {}) AS fleet_here \\gset\n\
         \\if :fleet_here\n\
         \\set fleet_ran on\n\
         SET search_path = {};\n\
         SET check_function_bodies = off;\n\
         {}\
         RESET check_function_bodies;\n\
         RESET search_path;\n\
         \\else\n\
         \\echo '{elsewhere}'\n\
         \\endif\n",
        quote_literal(&place.database),
        quote_literal(tenant.schema.as_str()),
        path.join(", "),
        part.text,
    )
}
