//! Decisions before anything is touched: tenants, their histories and the set make a [`Plan`].
//! Pure: no I/O, nothing async, nothing written.

mod arrival;
mod decide;
mod entry;
mod evidence;
mod failures;
mod guard;
mod hold;
mod refusal;
mod snapshot;
mod status;
mod waves;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

pub use arrival::{Arrival, Behind};
pub use decide::decide;
pub use entry::{AfterFix, Entry, is_halfway_in, rows_to_change};
use evidence::Evidence;
pub use failures::Blame;
pub use guard::{Gap, Unguarded, hints};
pub use hold::{Held, HeldBy, Hold, HoldKind, Restraints};
pub use refusal::{Divergence, Halfway, Refusal};
pub use snapshot::{AppliedRow, HistorySnapshot, StepRow, VersionColumn};
pub use status::{FleetStatus, LastFailure, LedgerView, StatusRow, TenantState, VersionCount};
pub use waves::{REST, Wave, WaveRule, WaveSelector, WaveSize, divide};
pub use window::{Closed, InvalidWindow, Window, WindowRule};

use crate::migration::{MigrationSet, Version};
use crate::tenant::Tenant;

/// What would be done, tenant by tenant.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The version to reach: `--to`, else the set's head; None for an empty set.
    pub target: Option<Version>,
    /// Every tenant that was selected, by name.
    pub tenants: Vec<TenantPlan>,
    /// Those that were not: nothing is done with them, and what they are at says something of the others.
    pub others: Vec<TenantPlan>,
}

/// What would be done with one tenant.
#[derive(Clone, Debug)]
pub struct TenantPlan {
    /// Which tenant.
    pub tenant: Tenant,
    /// Its history when the plan was made.
    pub history: HistorySnapshot,
    /// Its version, None for an empty history.
    pub from: Option<Version>,
    /// What happens to it.
    pub action: Action,
    /// Holds and pins of it that are in force, whether they change anything or not.
    pub holds: Vec<Hold>,
}

/// One tenant's fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing is pending.
    UpToDate,
    /// These versions would be applied, in this order. Empty only where a fix is all that is to be run.
    Migrate(Arc<[Version]>),
    /// Not touched, for a reason that somebody has to look at.
    Refuse(Refusal),
    /// Not touched, for that was asked for.
    Hold(Box<Held>),
}

impl Action {
    /// The word in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UpToDate => "up_to_date",
            Self::Migrate(_) => "migrate",
            Self::Refuse(_) => "refuse",
            Self::Hold(_) => "hold",
        }
    }

    /// The versions that would be applied.
    pub fn pending(&self) -> &[Version] {
        match self {
            Self::Migrate(pending) => pending,
            Self::UpToDate | Self::Refuse(_) | Self::Hold(_) => &[],
        }
    }

    /// The versions that are to be applied some day: now, or when nothing holds the tenant any more.
    pub fn outstanding(&self) -> &[Version] {
        match self {
            Self::Hold(held) => &held.pending,
            Self::Migrate(_) | Self::UpToDate | Self::Refuse(_) => self.pending(),
        }
    }
}

/// A target that the set does not hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub struct UnknownTarget {
    /// What was asked for.
    pub version: Version,
    /// The versions around it, or the whole range, to choose from.
    pub known: String,
}

impl fmt::Display for UnknownTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no migration has version {}; {}",
            self.version, self.known
        )
    }
}

/// Checks the version that was asked for against the set.
///
/// # Errors
/// Where the set has no such version.
pub fn resolve_target(
    set: &MigrationSet,
    asked: Option<Version>,
) -> Result<Option<Version>, UnknownTarget> {
    let Some(version) = asked else {
        return Ok(set.head());
    };
    if set.get(version).is_some() {
        return Ok(Some(version));
    }
    let known = match (set.migrations().first(), set.migrations().last()) {
        (Some(first), Some(last)) => {
            format!(
                "the set goes from {} to {}",
                first.version(),
                last.version()
            )
        }
        _ => "the set is empty".to_owned(),
    };
    Err(UnknownTarget { version, known })
}

/// Decides every tenant's fate, first by its own history (equal ones are decided once), then in the light of what all
/// others say about the set. `others` are tenants that are not selected.
pub fn build(
    tenants: Vec<(Tenant, HistorySnapshot)>,
    others: Vec<(Tenant, HistorySnapshot)>,
    set: &MigrationSet,
    target: Option<Version>,
) -> Plan {
    let mut decided: HashMap<*const AppliedRow, Vec<(HistorySnapshot, Action)>> = HashMap::new();
    let mut plan = |(tenant, history): (Tenant, HistorySnapshot)| {
        let action = match &history {
            HistorySnapshot::Rows { rows, .. } => {
                let same_rows = decided.entry(rows.as_ptr()).or_default();
                if let Some((_, action)) = same_rows.iter().find(|(h, _)| *h == history) {
                    action.clone()
                } else {
                    let action = decide(tenant.presence, &history, set, target);
                    same_rows.push((history.clone(), action.clone()));
                    action
                }
            }
            _ => decide(tenant.presence, &history, set, target),
        };
        TenantPlan {
            from: version_of(&history),
            tenant,
            history,
            action,
            holds: Vec::new(),
        }
    };
    let mut plans: Vec<TenantPlan> = tenants.into_iter().map(&mut plan).collect();
    let others: Vec<TenantPlan> = others.into_iter().map(&mut plan).collect();
    let all = plans.iter().chain(&others);
    let evidence = Evidence::gather(all.map(|plan| &plan.history), set);
    for plan in &mut plans {
        evidence.reconsider(plan);
    }
    plans.sort_by(|a, b| a.tenant.id.cmp(&b.tenant.id));
    Plan {
        target,
        tenants: plans,
        others,
    }
}

/// The version that a history says, None for an empty one.
pub fn version_of(history: &HistorySnapshot) -> Option<Version> {
    match history {
        HistorySnapshot::Rows { rows, .. } => rows.last().map(|row| row.version),
        _ => None,
    }
}

/// How far a tenant is in a migration that runs without a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which migration.
    pub version: Version,
    /// How many of its statements are done.
    pub done: usize,
    /// The statement that was begun and whose end is not known.
    pub in_doubt: Option<u32>,
}

/// Where in a migration a tenant is. None for one that is between two, as nearly all are.
pub fn halfway(history: &HistorySnapshot) -> Option<Position> {
    let HistorySnapshot::Rows { rows, steps, .. } = history else {
        return None;
    };
    let version = decide::halfway(rows, steps)?;
    let of_version = || steps.iter().filter(|row| row.version == version);
    Some(Position {
        version,
        done: of_version().filter(|row| row.is_done).count(),
        in_doubt: of_version().find(|row| !row.is_done).map(|row| row.step),
    })
}

#[cfg(test)]
mod tests;
