//! Roles of tenants as documents.

use serde::Serialize;

use super::{Each, TenantKey};
use crate::catalog::Change;
use crate::report::roles::why;
use crate::report::{RoleOutcome, RolePlan, RoleResult};
use crate::run::Failure;

#[derive(Serialize)]
struct PlanDocument<T> {
    tenants: T,
}

#[derive(Serialize)]
struct PlanRow<'a> {
    #[serde(flatten)]
    tenant: TenantKey<'a>,
    role: &'a str,
    statements: Vec<&'a str>,
    by_hand: Vec<String>,
    notes: &'a [String],
}

/// What `roles plan` would do.
pub fn roles_plan_document<'a>(plans: &'a [RolePlan]) -> impl Serialize + 'a {
    PlanDocument {
        tenants: Each::of(plans, |plan: &'a RolePlan| PlanRow {
            tenant: TenantKey::of(&plan.tenant),
            role: &plan.role,
            statements: statements(&plan.changes),
            by_hand: plan.by_hand.iter().map(ToString::to_string).collect(),
            notes: &plan.notes,
        }),
    }
}

#[derive(Serialize)]
struct AppliedDocument<T> {
    exit_code: u8,
    totals: Totals,
    tenants: T,
}

#[derive(Default, Serialize)]
struct Totals {
    tenants: usize,
    done: usize,
    unchanged: usize,
    failed: usize,
}

#[derive(Serialize)]
struct AppliedRow<'a> {
    #[serde(flatten)]
    tenant: TenantKey<'a>,
    role: &'a str,
    outcome: &'static str,
    statements: Vec<&'a str>,
    reason: Option<String>,
    hint: Option<String>,
    failure: Option<&'a Failure>,
}

/// What `roles apply` has done.
pub fn roles_applied_document(results: &[RoleResult]) -> impl Serialize + '_ {
    let mut totals = Totals {
        tenants: results.len(),
        ..Totals::default()
    };
    for result in results {
        match result.outcome {
            RoleOutcome::Done(_) => totals.done += 1,
            RoleOutcome::Unchanged => totals.unchanged += 1,
            RoleOutcome::Failed(_) | RoleOutcome::ByHand(_) => totals.failed += 1,
        }
    }
    let exit = if totals.failed == 0 {
        crate::run::ExitCode::Done
    } else {
        crate::run::ExitCode::TenantsFailed
    };
    AppliedDocument {
        exit_code: exit.code(),
        totals,
        tenants: Each::of(results, applied),
    }
}

fn applied(result: &RoleResult) -> AppliedRow<'_> {
    let (reason, hint) = why(result);
    AppliedRow {
        tenant: TenantKey::of(&result.tenant),
        role: &result.role,
        outcome: result.outcome.as_str(),
        statements: match &result.outcome {
            RoleOutcome::Done(changes) => statements(changes),
            _ => Vec::new(),
        },
        reason: (!reason.is_empty()).then_some(reason),
        hint,
        failure: match &result.outcome {
            RoleOutcome::Failed(failure) => Some(failure),
            _ => None,
        },
    }
}

fn statements(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.sql.as_str()).collect()
}
