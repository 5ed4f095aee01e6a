//! Where every tenant is: the plan says what is pending, the ledger what was tried last.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{Action, Hold, Plan, Position};
use crate::migration::Version;
use crate::run::{Failure, RunId};
use crate::tenant::TenantId;

/// What the ledger says about tenants, for those that it has something to say about.
#[derive(Clone, Debug, Default)]
pub struct LedgerView {
    /// The last recorded failure of a tenant, unless a later attempt succeeded.
    pub failures: HashMap<TenantId, LastFailure>,
    /// Tenants that a living run is working on now.
    pub in_progress: HashMap<TenantId, RunId>,
    /// Tenants whose last attempt was cut off.
    pub interrupted: HashMap<TenantId, RunId>,
    /// Tenants that were found to be unlike the others, and not to be like them since.
    pub unlike: HashMap<TenantId, LastFailure>,
}

/// A failure with its place in the ledger.
#[derive(Clone, Debug)]
pub struct LastFailure {
    /// In which run.
    pub run: RunId,
    /// When the attempt ended, RFC 3339 in UTC, by the database's clock.
    pub at: String,
    /// Why.
    pub failure: Failure,
}

/// One word for where a tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// A living run works on it.
    InProgress,
    /// Its last attempt failed.
    Failed,
    /// Its last attempt was cut off.
    Interrupted,
    /// Somebody has to look at it before it can be migrated.
    Refused,
    /// Migrations are pending, and somebody holds it, or it is outside of its windows.
    Held,
    /// Migrations are pending.
    Pending,
    /// Nothing is pending.
    UpToDate,
}

impl TenantState {
    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Refused => "refused",
            Self::Held => "held",
            Self::Pending => "pending",
            Self::UpToDate => "up_to_date",
        }
    }
}

/// One tenant of `status`.
#[derive(Clone, Debug)]
pub struct StatusRow {
    /// Which tenant.
    pub tenant: TenantId,
    /// Its version, None for an empty history.
    pub version: Option<Version>,
    /// How many migrations are pending, also while it is held; of a pinned one those up to its pin, unless it
    /// is there.
    pub pending: usize,
    /// Where it is.
    pub state: TenantState,
    /// How far it is in a migration that it is in the middle of.
    pub halfway: Option<Position>,
    /// Why it is refused, or held.
    pub reason: Option<String>,
    /// What to do about it.
    pub hint: Option<&'static str>,
    /// Holds and pins of it that are in force.
    pub holds: Vec<Hold>,
    /// The last failure, unless it succeeded since.
    pub last_failure: Option<LastFailure>,
}

/// How many tenants are at one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct VersionCount {
    /// The version, None for an empty history.
    pub version: Option<Version>,
    /// How many tenants.
    pub tenants: u64,
}

/// Where the whole fleet is.
#[derive(Clone, Debug)]
pub struct FleetStatus {
    /// The set's highest version.
    pub head: Option<Version>,
    /// Every tenant, by name.
    pub tenants: Vec<StatusRow>,
    /// Tenants by state.
    pub states: BTreeMap<TenantState, u64>,
    /// Tenants by version, ascending.
    pub versions: Vec<VersionCount>,
}

impl FleetStatus {
    /// Joins what is pending with what was tried.
    pub fn new(plan: &Plan, ledger: &LedgerView) -> Self {
        let tenants: Vec<StatusRow> = plan
            .tenants
            .iter()
            .map(|tenant| status_row(tenant, ledger))
            .collect();
        let mut states = BTreeMap::new();
        let mut versions: BTreeMap<Option<Version>, u64> = BTreeMap::new();
        for row in &tenants {
            *states.entry(row.state).or_default() += 1;
            *versions.entry(row.version).or_default() += 1;
        }
        Self {
            head: plan.target,
            tenants,
            states,
            versions: versions
                .into_iter()
                .map(|(version, tenants)| VersionCount { version, tenants })
                .collect(),
        }
    }
}

fn status_row(plan: &super::TenantPlan, ledger: &LedgerView) -> StatusRow {
    let id = &plan.tenant.id;
    let (reason, hint) = match &plan.action {
        Action::Refuse(refusal) => (Some(refusal.to_string()), Some(refusal.hint())),
        Action::Hold(held) => (Some(held.to_string()), None),
        Action::UpToDate | Action::Migrate(_) => (None, None),
    };
    // the history is the truth: a tenant at head has no failure left, whatever the ledger says, but that it is
    // unlike the others
    let failures = match plan.action {
        Action::UpToDate => &ledger.unlike,
        _ => &ledger.failures,
    };
    let last_failure = failures.get(id).cloned();
    let state = match &plan.action {
        _ if ledger.in_progress.contains_key(id) => TenantState::InProgress,
        Action::Refuse(_) => TenantState::Refused,
        Action::Hold(_) => TenantState::Held,
        Action::UpToDate | Action::Migrate(_) if last_failure.is_some() => TenantState::Failed,
        Action::UpToDate => TenantState::UpToDate,
        Action::Migrate(_) if ledger.interrupted.contains_key(id) => TenantState::Interrupted,
        Action::Migrate(_) => TenantState::Pending,
    };
    StatusRow {
        tenant: id.clone(),
        version: plan.from,
        pending: plan.action.outstanding().len(),
        state,
        halfway: super::halfway(&plan.history),
        reason,
        hint,
        holds: plan.holds.clone(),
        last_failure,
    }
}
