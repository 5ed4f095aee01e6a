//! The documents of `plan` and `status`.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::Each;
use super::hold::HoldRow;
use super::waves::PlannedWaveRow;
use crate::migration::{MigrationSet, Version};
use crate::plan::{
    Action, FleetStatus, LastFailure, Position, StatusRow, TenantPlan, TenantState, VersionCount,
    halfway,
};
use crate::report::plan::Planned;
use crate::report::wording::stem;
use crate::run::{Failure, RunId, WaveNumber};
use crate::tenant::{Presence, TenantId};

#[derive(Serialize)]
struct PlanDocument<'a, T> {
    target: Option<Version>,
    head: Option<Version>,
    totals: PlanTotals,
    goes_on_with: Option<&'a str>,
    waves: Vec<PlannedWaveRow<'a>>,
    tenants: T,
}

#[derive(Default, Serialize)]
struct PlanTotals {
    tenants: usize,
    migrate: usize,
    up_to_date: usize,
    refuse: usize,
    hold: usize,
}

#[derive(Serialize)]
struct PlanRow<'a> {
    database: &'a str,
    schema: &'a str,
    from: Option<Version>,
    pending: Stems<'a>,
    action: &'static str,
    reason: Option<String>,
    hint: Option<&'static str>,
    wave: Option<WaveNumber>,
    create: bool,
    halfway: Option<Halfway>,
    holds: Vec<HoldRow<'a>>,
}

/// The migration that a tenant is in the middle of.
#[derive(Serialize)]
struct Halfway {
    version: Version,
    statements_done: usize,
    in_doubt: Option<u32>,
}

impl Halfway {
    fn of(halfway: Option<Position>) -> Option<Self> {
        halfway.map(|position| Self {
            version: position.version,
            statements_done: position.done,
            in_doubt: position.in_doubt,
        })
    }
}

/// Migrations by the stems of their files.
struct Stems<'a> {
    set: &'a MigrationSet,
    versions: &'a [Version],
}

impl Serialize for Stems<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.versions.iter().map(|version| stem(self.set, *version)))
    }
}

/// What would be done.
pub fn plan_document<'a>(planned: Planned<'a>, set: &'a MigrationSet) -> impl Serialize + 'a {
    let Planned { plan, waves, .. } = planned;
    let numbers: HashMap<&TenantId, WaveNumber> = waves
        .iter()
        .flat_map(|wave| wave.tenants.iter().map(|tenant| (tenant, wave.number)))
        .collect();
    let mut totals = PlanTotals {
        tenants: plan.tenants.len(),
        ..PlanTotals::default()
    };
    for tenant in &plan.tenants {
        match tenant.action {
            Action::Migrate(_) => totals.migrate += 1,
            Action::UpToDate => totals.up_to_date += 1,
            Action::Refuse(_) => totals.refuse += 1,
            Action::Hold(_) => totals.hold += 1,
        }
    }
    PlanDocument {
        target: plan.target,
        head: set.head(),
        totals,
        goes_on_with: planned.goes_on.map(RunId::as_str),
        waves: waves.iter().map(PlannedWaveRow::of).collect(),
        tenants: Each::of(&plan.tenants, move |tenant: &'a TenantPlan| {
            let wave = numbers.get(&tenant.tenant.id).copied();
            plan_row(tenant, wave, planned.failure_of(tenant), set)
        }),
    }
}

fn plan_row<'a>(
    plan: &'a TenantPlan,
    wave: Option<WaveNumber>,
    failure: Option<&Failure>,
    set: &'a MigrationSet,
) -> PlanRow<'a> {
    let (reason, hint) = match &plan.action {
        Action::Refuse(refusal) => (Some(refusal.to_string()), Some(refusal.hint())),
        Action::Hold(held) => (Some(held.to_string()), None),
        Action::UpToDate | Action::Migrate(_) => {
            let reason = failure.map(|failure| failure.message.clone());
            (
                reason,
                failure.map(|_| "fleet verify shows in what it differs"),
            )
        }
    };
    PlanRow {
        database: plan.tenant.id.database.as_str(),
        schema: plan.tenant.id.schema.as_str(),
        from: plan.from,
        pending: Stems {
            set,
            versions: plan.action.outstanding(),
        },
        action: plan.action.as_str(),
        reason,
        hint,
        wave,
        create: plan.tenant.presence == Presence::ToCreate,
        halfway: Halfway::of(halfway(&plan.history)),
        holds: plan.holds.iter().map(HoldRow::of).collect(),
    }
}

#[derive(Serialize)]
struct StatusDocument<'a, T> {
    head: Option<Version>,
    totals: StatusTotals,
    versions: &'a [VersionCount],
    tenants: T,
}

/// Every state, also those that nobody is in: a script need not know which.
#[derive(Serialize)]
struct StatusTotals {
    tenants: usize,
    up_to_date: u64,
    pending: u64,
    failed: u64,
    interrupted: u64,
    refused: u64,
    in_progress: u64,
    held: u64,
}

#[derive(Serialize)]
struct StatusDocumentRow<'a> {
    database: &'a str,
    schema: &'a str,
    version: Option<Version>,
    pending: usize,
    state: TenantState,
    halfway: Option<Halfway>,
    reason: Option<&'a str>,
    holds: Vec<HoldRow<'a>>,
    last_failure: Option<LastFailureRow<'a>>,
}

#[derive(Serialize)]
struct LastFailureRow<'a> {
    run: &'a str,
    at: &'a str,
    #[serde(flatten)]
    failure: &'a Failure,
}

impl<'a> LastFailureRow<'a> {
    fn of(last: &'a LastFailure) -> Self {
        Self {
            run: last.run.as_str(),
            at: &last.at,
            failure: &last.failure,
        }
    }
}

/// Where every tenant is.
pub fn status_document<'a>(status: &'a FleetStatus) -> impl Serialize + 'a {
    let count = |state| status.states.get(&state).copied().unwrap_or(0);
    StatusDocument {
        head: status.head,
        totals: StatusTotals {
            tenants: status.tenants.len(),
            up_to_date: count(TenantState::UpToDate),
            pending: count(TenantState::Pending),
            failed: count(TenantState::Failed),
            interrupted: count(TenantState::Interrupted),
            refused: count(TenantState::Refused),
            in_progress: count(TenantState::InProgress),
            held: count(TenantState::Held),
        },
        versions: &status.versions,
        tenants: Each::of(&status.tenants, |row: &'a StatusRow| StatusDocumentRow {
            database: row.tenant.database.as_str(),
            schema: row.tenant.schema.as_str(),
            version: row.version,
            pending: row.pending,
            state: row.state,
            halfway: Halfway::of(row.halfway),
            reason: row.reason.as_deref(),
            holds: row.holds.iter().map(HoldRow::of).collect(),
            last_failure: row.last_failure.as_ref().map(LastFailureRow::of),
        }),
    }
}
