//! The document of `failures`.

use serde::Serialize;

use super::ledger::RunRow;
use super::run::TenantKey;
use super::{Each, RawName};
use crate::ledger::RunRecord;
use crate::report::advice::advice;
use crate::report::failures::{Cause, Statement};
use crate::run::Failure;
use crate::tenant::TenantId;

#[derive(Serialize)]
struct FailuresDocument<'a, C> {
    #[serde(flatten)]
    run: RunRow<'a>,
    failures: C,
}

#[derive(Serialize)]
struct Row<'a, N, M> {
    cause: &'a str,
    count: usize,
    #[serde(flatten)]
    example: &'a Failure,
    helps: Option<&'static str>,
    excerpt: Option<Vec<LineRow<'a>>>,
    excerpt_missing: Option<&'a str>,
    unsettled: usize,
    passed: Option<u64>,
    tenants: N,
    mended: M,
}

#[derive(Serialize)]
struct LineRow<'a> {
    line: u32,
    text: &'a str,
}

/// A run's failures by cause.
pub fn failures_document<'a>(run: &'a RunRecord, causes: &'a [Cause]) -> impl Serialize + 'a {
    FailuresDocument {
        run: RunRow::of(run),
        failures: Each::of(causes, row),
    }
}

fn row(cause: &Cause) -> impl Serialize + '_ {
    let (excerpt, excerpt_missing) = match &cause.statement {
        Some(Statement::Shown(excerpt)) => {
            let lines = excerpt.lines.iter();
            let lines = lines.map(|(line, text)| LineRow { line: *line, text });
            (Some(lines.collect()), None)
        }
        Some(Statement::Lost(why)) => (None, Some(why.as_str())),
        None => (None, None),
    };
    let mended: Vec<RawName<'_>> = cause.mended.iter().map(RawName).collect();
    Row {
        cause: cause.name.as_str(),
        count: cause.group.tenants.len(),
        example: &cause.group.example,
        helps: advice(&cause.group.example),
        excerpt,
        excerpt_missing,
        unsettled: cause.unsettled,
        passed: cause.passed,
        tenants: Each::of(&cause.group.tenants, RawName),
        mended,
    }
}

#[derive(Serialize)]
struct NoFailures {
    run: Option<()>,
    failures: [(); 0],
}

/// No run has failures.
pub fn no_failures_document() -> impl Serialize {
    NoFailures {
        run: None,
        failures: [],
    }
}

#[derive(Serialize)]
struct TenantsOf<'a> {
    run: &'a str,
    cause: &'a str,
    tenants: Vec<TenantKey<'a>>,
    mended: Vec<TenantKey<'a>>,
}

/// The tenants of one cause: those that are still open, and the others.
pub fn tenants_of_document<'a>(run: &'a RunRecord, cause: &'a Cause) -> impl Serialize + 'a {
    let key: fn(&'a TenantId) -> TenantKey<'a> = TenantKey::of;
    TenantsOf {
        run: run.id.as_str(),
        cause: cause.name.as_str(),
        tenants: cause.open().map(key).collect(),
        mended: cause.mended.iter().map(key).collect(),
    }
}
