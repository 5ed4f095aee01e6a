//! The ledger: what *we* tried, run by run, in the control schema. The truth about a tenant is its
//! own history; everything here can be dropped and rebuilt.

mod acts;
mod control;
mod events;
mod failures;
mod follow;
mod holds;
mod lease;
mod past;
mod queries;
mod reconcile;
mod records;
mod reversals;
mod rows;
mod run;
mod waves;

use std::future::Future;
use std::time::Duration;

pub use acts::{ActRecord, ActedOn, ActsOfRun, FixRecord, HistoryRow, NewAct};
pub use control::{Control, ControlState};
pub use events::RunEvent;
pub use follow::{EndedAttempt, Follower, Look, News};
pub use holds::{NewHold, PastHold, SetHold};
pub use lease::{Lease, LeaseTerms};
pub use reconcile::{Disagreement, LastSeen};
pub use records::{
    AttemptRecord, HaltRecord, Past, RunDetail, RunEventRecord, RunRecord, RunState,
    RunTenantRecord, WaveRecord,
};
pub use reversals::{LeftShape, Reversal};
pub use run::{NewRun, NewRunTenant, Opened, Patience, PgLedger, TakeOver};
pub use waves::{LeftWave, NewRunWave, WaveEntry};

use crate::migration::Version;
use crate::pg::{self, PgError};
use crate::run::{
    Approval, AttemptNumber, Failure, FailureClass, Halt, Outcome, RunOutcome, WaveNumber,
};
use crate::tenant::TenantId;

/// The ledger of one run, as the engine sees it.
pub trait Ledger: Send + 'static {
    /// Writes attempts that have ended and claims what comes next, in one commit. A claim is durable
    /// when this returns: its tenant may be touched only then. Answers the approval that was asked for, if it
    /// is given.
    fn record(
        &mut self,
        entries: &Entries,
    ) -> impl Future<Output = Result<Option<Approval>, LedgerError>> + Send;

    /// Closes the run.
    fn close(&mut self, closing: &Closing) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// What is written together.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Attempts that have ended.
    pub ended: Vec<AttemptEnd>,
    /// Tenants that were done and have failed all the same.
    pub reversals: Vec<Reversal>,
    /// Tenants that will be worked on.
    pub claims: Vec<Claim>,
    /// What has happened beside.
    pub events: Vec<RunEvent>,
    /// Where the waves are.
    pub waves: Vec<WaveEntry>,
    /// The wave whose approval is asked for.
    pub awaits: Option<WaveNumber>,
}

/// A tenant about to be worked on.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Which tenant.
    pub tenant: TenantId,
    /// Which attempt, from 1.
    pub attempt: AttemptNumber,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct AttemptEnd {
    /// Which tenant.
    pub tenant: TenantId,
    /// Which attempt, from 1.
    pub attempt: AttemptNumber,
    /// How the attempt ended.
    pub outcome: Outcome,
    /// Whether the tenant is done with or waits for another attempt.
    pub then: AfterAttempt,
    /// The stems of the migrations that it applied.
    pub applied: Vec<String>,
    /// The tenant's version now, where the attempt found it out.
    pub version: Option<Version>,
    /// How long it took.
    pub duration: Duration,
    /// Where this run has brought the tenant to its target: what that took.
    pub took: Option<Past>,
    /// Why it was skipped or interrupted.
    pub reason: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// How steps were settled whose end was not known.
    pub notes: Vec<String>,
}

/// What follows an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterAttempt {
    /// The tenant has its outcome.
    Done,
    /// Another attempt, after a pause.
    Retry,
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Closing {
    /// How it ended.
    pub outcome: RunOutcome,
    /// What the process will exit with.
    pub exit_code: u8,
    /// Tenants that have no recorded outcome yet.
    pub left: Vec<Left>,
    /// What has happened beside and is not recorded yet.
    pub events: Vec<RunEvent>,
    /// Where the waves are, as far as that is not recorded yet.
    pub waves: Vec<WaveEntry>,
    /// Why it halted, where it did.
    pub halt: Option<Halt>,
}

/// A tenant that got its outcome without an attempt.
#[derive(Clone, Debug)]
pub struct Left {
    /// Which tenant.
    pub tenant: TenantId,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its version now, where that is known.
    pub version: Option<Version>,
    /// Why it was left.
    pub reason: String,
}

/// What can go wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No connection to the control database.
    #[error("control database: {0}")]
    Connect(#[from] PgError),
    /// A statement failed.
    #[error("the ledger could not {action}: {}", pg::describe(cause))]
    Query {
        /// What we were doing.
        action: &'static str,
        /// What PostgreSQL said; it is in the text already and therefore not a source.
        cause: tokio_postgres::Error,
    },
    /// The control schema could not be created or upgraded.
    #[error("the control schema {schema} could not be brought up to date: {source}")]
    Upgrade {
        /// Which schema.
        schema: String,
        /// What refinery said.
        source: Box<refinery::Error>,
    },
    /// The control schema was written by a later fleet.
    #[error(
        "the control schema {schema} is at version {found}, this fleet knows {known}: use the newer fleet that wrote it"
    )]
    Newer {
        /// Which schema.
        schema: String,
        /// What was found.
        found: Version,
        /// What this binary knows.
        known: Version,
    },
    /// There is no control schema yet.
    #[error("there is no control schema {0} yet: nothing was ever run (fleet migrate creates it)")]
    Missing(String),
    /// Another run holds the lease.
    #[error("another run holds the lease: {0}")]
    LeaseHeld(String),
    /// Somebody else took the run over, or closed it.
    #[error(
        "the lease of run {0} is lost: another process has taken over, or the control schema was replaced"
    )]
    LeaseLost(String),
    /// A tenant's row is not in the state that we left it in.
    #[error("the ledger of run {run} was changed by somebody else while {action}")]
    Conflict {
        /// Which run.
        run: String,
        /// What we were doing.
        action: &'static str,
    },
    /// The control database took a write and then said nothing.
    #[error("the control database does not answer any more")]
    NoAnswer,
    /// No run has this id.
    #[error("no run is called {0}; fleet runs lists them")]
    NoSuchRun(String),
    /// Several runs begin so.
    #[error("{prefix} is the beginning of several runs: {}", found.join(", "))]
    AmbiguousRun {
        /// What was asked for.
        prefix: String,
        /// What it could mean.
        found: Vec<String>,
    },
}

impl LedgerError {
    /// Whether another try may help: the connection is gone, or somebody stands in the way.
    fn is_transient(&self) -> bool {
        match self {
            Self::Connect(error) => error.class() == FailureClass::Transient,
            Self::Query { cause, .. } => pg::failure_of(cause).class == FailureClass::Transient,
            _ => false,
        }
    }

    /// Whether there is no connection any more, so that it is not known whether a write was committed.
    fn is_connection_lost(&self) -> bool {
        match self {
            Self::Connect(_) => true,
            Self::Query { cause, .. } => pg::is_connection_lost(cause),
            _ => false,
        }
    }

    /// Wraps a failed statement.
    fn query(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Self {
        move |cause| Self::Query { action, cause }
    }
}
