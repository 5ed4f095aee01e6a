//! Which of the tenants that were found are meant.

use std::collections::HashSet;

use super::error::Refusal;
use super::fleet::Found;
use super::options::Selection;
use crate::report;
use crate::tenant::{Tenant, TenantFilter, TenantId};

/// Sets those apart that the command line selects. Each part of the selection must find something.
pub(super) fn select(all: Vec<Tenant>, selection: &Selection) -> Result<Found, Refusal> {
    let filter = selection.filter();
    let empty = |selection: String| Refusal::EmptySelection {
        selection,
        found: all.len(),
    };
    // one typo among several patterns is one too many
    for pattern in &filter.tenants {
        if !all.iter().any(|tenant| pattern.matches(&tenant.id)) {
            return Err(empty(format!("--tenant {}", pattern.as_str())));
        }
    }
    check_listed(&filter, &all)?;
    match selection.typed() {
        Some(selection) if !all.iter().any(|tenant| filter.matches(tenant)) => {
            Err(empty(selection))
        }
        _ => {
            let (selected, others) = all.into_iter().partition(|t| filter.matches(t));
            Ok(Found { selected, others })
        }
    }
}

/// Who names tenants one by one means all of them.
fn check_listed(filter: &TenantFilter, all: &[Tenant]) -> Result<(), Refusal> {
    let there: HashSet<&TenantId> = all.iter().map(|tenant| &tenant.id).collect();
    let unknown = filter.exactly.iter().filter(|id| !there.contains(id));
    let unknown: Vec<&TenantId> = unknown.collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal::UnknownTenants {
        names: report::some_names(&unknown),
        found: all.len(),
    })
}
