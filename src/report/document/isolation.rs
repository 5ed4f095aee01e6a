//! The document of `verify --isolation`.

use serde::Serialize;

use super::Each;
use crate::reach::{Found, Origin};
use crate::report::Isolation;
use crate::run::ExitCode;
use crate::tenant::SchemaName;

#[derive(Serialize)]
struct Document<'a, R> {
    exit_code: u8,
    isolated: bool,
    totals: Totals,
    reaches: R,
    faults: &'a [String],
    not_looked_at: &'a [String],
}

#[derive(Serialize)]
struct Totals {
    tenants: usize,
    not_isolated: usize,
    reaches: usize,
}

/// One finding. `to` is null where every tenant of the database is reached.
#[derive(Serialize)]
struct Row<'a> {
    database: &'a str,
    from: From<'a>,
    to: Option<&'a str>,
    kind: &'static str,
    objects: &'a [String],
    count: u64,
    how: &'a str,
    remedy: Option<&'a str>,
}

/// Who reaches; `tenant` is there for one, `tenants` counts those that can act as the role.
#[derive(Default, Serialize)]
struct From<'a> {
    kind: &'static str,
    tenant: Option<&'a str>,
    role: Option<&'a str>,
    schema: Option<&'a str>,
    tenants: usize,
}

/// What was found, each finding in a row of its own.
pub fn isolation_document(isolation: &Isolation, exit: ExitCode) -> impl Serialize + '_ {
    Document {
        exit_code: exit.code(),
        isolated: isolation.is_proved(),
        totals: Totals {
            tenants: isolation.tenants.len(),
            not_isolated: isolation.concerned(),
            reaches: isolation.reaches.len(),
        },
        reaches: Each::of(&isolation.reaches, row),
        faults: &isolation.faults,
        not_looked_at: &isolation.not_looked_at,
    }
}

fn row((database, reach): &Found) -> Row<'_> {
    Row {
        database: database.as_str(),
        from: from(&reach.from),
        to: reach.to.as_ref().map(SchemaName::as_str),
        kind: reach.kind.as_str(),
        objects: &reach.objects,
        count: reach.count,
        how: &reach.how,
        remedy: reach.remedy.as_deref(),
    }
}

fn from(origin: &Origin) -> From<'_> {
    let tenants = origin.tenants().len();
    match origin {
        Origin::Everyone => From {
            kind: "public",
            ..From::default()
        },
        Origin::Application(role) => From {
            kind: "application",
            role: Some(role),
            ..From::default()
        },
        Origin::Tenants(_, role) => From {
            kind: "tenants",
            role: Some(role),
            tenants,
            ..From::default()
        },
        Origin::Tenant(tenant, role) => From {
            kind: "tenant",
            tenant: Some(tenant.as_str()),
            role: role.as_deref(),
            tenants,
            ..From::default()
        },
        Origin::Shared(schema) => From {
            kind: "schema",
            schema: Some(schema),
            ..From::default()
        },
        Origin::Database => From {
            kind: "database",
            ..From::default()
        },
    }
}
