//! Findings about the set-up as a document.

use serde::Serialize;

use super::{Each, TenantKey};
use crate::report::Finding;
use crate::run::ExitCode;
use crate::tenant::{DatabaseName, TenantId};

#[derive(Serialize)]
struct Document<F> {
    exit_code: u8,
    findings: F,
}

#[derive(Serialize)]
struct FindingRow<'a> {
    check: &'static str,
    database: Option<&'a str>,
    status: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
    tenants: Vec<TenantRow<'a>>,
}

#[derive(Serialize)]
struct TenantRow<'a> {
    #[serde(flatten)]
    tenant: TenantKey<'a>,
    reason: &'a str,
}

/// What `doctor` has found.
pub fn doctor_document<'a>(findings: &'a [Finding], exit: ExitCode) -> impl Serialize + 'a {
    Document {
        exit_code: exit.code(),
        findings: Each::of(findings, |finding: &'a Finding| FindingRow {
            check: finding.check,
            database: finding.database.as_ref().map(DatabaseName::as_str),
            status: finding.health.as_str(),
            message: &finding.message,
            hint: finding.hint.as_deref(),
            tenants: finding
                .tenants
                .iter()
                .map(|(tenant, reason)| row(tenant, reason))
                .collect(),
        }),
    }
}

fn row<'a>(tenant: &'a TenantId, reason: &'a str) -> TenantRow<'a> {
    TenantRow {
        tenant: TenantKey::of(tenant),
        reason,
    }
}
