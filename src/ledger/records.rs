//! What the ledger gives back when it is asked.

use std::num::NonZeroU32;
use std::time::Duration;

use super::acts::ActsOfRun;
use crate::migration::Version;
use crate::run::{
    AttemptNumber, Failure, Outcome, PaceChange, RunId, RunOutcome, Totals, WaveNumber, WaveState,
    WaveTerms,
};
use crate::tenant::{DatabaseName, TenantId};

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunState {
    /// Its process lives.
    Running,
    /// Its process died without closing it; `resume` carries it on.
    Abandoned,
    /// It was closed.
    Finished(RunOutcome),
}

impl RunState {
    /// The word in JSON and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Abandoned => "abandoned",
            Self::Finished(outcome) => outcome.as_str(),
        }
    }
}

/// One run.
#[derive(Clone, Debug)]
pub struct RunRecord {
    /// Which run.
    pub id: RunId,
    /// `migrate`, `resume`, or the word of an act.
    pub command: String,
    /// The run that it carried on.
    pub resumes: Option<RunId>,
    /// Where it is.
    pub state: RunState,
    /// RFC 3339 in UTC, by the database's clock.
    pub started_at: String,
    /// None while it is open.
    pub finished_at: Option<String>,
    /// Seconds from start to end, or to now.
    pub duration_s: f64,
    /// The version to reach.
    pub target: Option<Version>,
    /// Why it halted, where it did.
    pub halt: Option<HaltRecord>,
    /// What somebody said had changed since the run that it carried on was halted.
    pub what_changed: Option<String>,
    /// The migration set's fingerprint.
    pub set_fingerprint: String,
    /// Who started it: user, host, process id.
    pub started_by: String,
    /// The version of fleet that ran it.
    pub fleet_version: String,
    /// What the process exited with, None while it is open.
    pub exit_code: Option<u8>,
    /// Tenants by outcome; those without one are `totals.tenants - totals.finished()`.
    pub totals: Totals,
}

/// One tenant of a run.
#[derive(Clone, Debug)]
pub struct RunTenantRecord {
    /// Which tenant.
    pub tenant: TenantId,
    /// How it ended, None while it has not.
    pub outcome: Option<Outcome>,
    /// Whether it was claimed, so that work may have begun.
    pub claimed: bool,
    /// Version before.
    pub from: Option<Version>,
    /// Version after.
    pub to: Option<Version>,
    /// Attempts made.
    pub attempts: AttemptNumber,
    /// Milliseconds spent in attempts.
    pub duration_ms: u64,
    /// Why it was skipped or interrupted.
    pub reason: Option<String>,
}

/// One attempt at one tenant. Appended, never overwritten.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// Which tenant.
    pub tenant: TenantId,
    /// Which attempt, from 1.
    pub attempt: AttemptNumber,
    /// RFC 3339 in UTC, by the database's clock.
    pub ended_at: String,
    /// Milliseconds.
    pub duration_ms: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The stems of the migrations that it applied.
    pub applied: Vec<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How steps were settled whose end was not known.
    pub notes: Vec<String>,
}

/// Something that has happened to a run beside its tenants.
#[derive(Clone, Debug)]
pub struct RunEventRecord {
    /// RFC 3339 in UTC, by the database's clock.
    pub at: String,
    /// In which database.
    pub database: DatabaseName,
    /// What.
    pub change: PaceChange,
}

/// One run with all that is known of it.
#[derive(Clone, Debug)]
pub struct RunDetail {
    /// The run.
    pub run: RunRecord,
    /// Its tenants by name.
    pub tenants: Vec<RunTenantRecord>,
    /// Attempts that did not succeed, or that found a statement in doubt, by tenant and number.
    pub failed_attempts: Vec<AttemptRecord>,
    /// How many tenants were worked on at a time, and why, as it changed.
    pub events: Vec<RunEventRecord>,
    /// Where it is an act: why, and what in which tenant.
    pub acts: ActsOfRun,
    /// Its waves in order.
    pub waves: Vec<WaveRecord>,
}

/// One wave of a run.
#[derive(Clone, Debug)]
pub struct WaveRecord {
    /// Which, from 1.
    pub wave: WaveNumber,
    /// What holds for it.
    pub terms: WaveTerms,
    /// Where it is.
    pub state: WaveState,
    /// Why it has halted.
    pub reason: Option<String>,
    /// Who has approved of it.
    pub approved_by: Option<String>,
    /// RFC 3339 in UTC, by the database's clock.
    pub approved_at: Option<String>,
    /// Its tenants in this run.
    pub tenants: u64,
    /// Those that are at their target.
    pub succeeded: u64,
    /// Those that have failed.
    pub failed: u64,
}

/// Why a run halted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaltRecord {
    /// By what, as [`crate::run::Halt::as_str`] has it.
    pub by: String,
    /// In words.
    pub reason: String,
}

/// How long a tenant's last successful migrating took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Time in attempts that applied something. Those that a lock or a lost connection brought to nothing
    /// say little about the tenant.
    pub duration: Duration,
    /// How many migrations that was for.
    pub migrations: NonZeroU32,
}
