//! Applies pending migrations to one tenant: the trait that the engine drives, and refinery behind it.

mod connection;
mod doubt;
mod entry;
mod failure;
mod index;
mod leak;
mod lock;
mod looks;
mod message;
mod notes;
mod pressure;
mod reading;
mod refinery;
mod rehearse;
mod rehearser;
mod repair;
mod role;
mod settle;
mod steps;
mod watch;

use std::future::Future;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

pub use pressure::{Pressure, Unseen};
pub use refinery::{MigrationSettings, RefineryMigrator, TenantDatabase};
pub use rehearser::{RehearsalLimits, Rehearser, TenantRehearser};
pub use repair::{Repair, RunBefore, was_run};
pub use settle::{SettleError, Settled, Verdict, settle_by_hand};

use crate::migration::Version;
use crate::plan::{Entry, HistorySnapshot, Refusal};
use crate::run::{AttemptNumber, Failure, Progress};
use crate::tenant::{DatabaseName, SchemaName, Tenant};

/// The advisory lock of a tenant, for whoever else must not be at it together with a migration.
pub fn lock_key(schema: &SchemaName) -> i64 {
    lock::key(schema)
}

/// How much goes into one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionScope {
    /// One transaction a migration.
    Migration,
    /// All pending migrations of a tenant in one.
    Tenant,
}

/// What is done in each tenant of a run.
#[derive(Clone, Debug)]
pub enum Work {
    /// What is pending is applied.
    Migrate,
    /// A fix is run before that.
    Repair(Repair),
    /// Nothing is run: rows of histories are written or changed.
    Enter(Entry),
}

/// One attempt at one tenant.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which tenant.
    pub tenant: Tenant,
    /// Its history when the plan was made.
    pub history: HistorySnapshot,
    /// What that history is still worth.
    pub knowledge: Knowledge,
    /// What is to be applied, in order, by that history.
    pub pending: Arc<[Version]>,
    /// How far it may go, whatever its history says by then: for a pinned tenant less far than for the others.
    pub target: Option<Version>,
    /// Which attempt, from 1.
    pub attempt: AttemptNumber,
    /// Whether the tenant is to be migrated, or only looked at.
    pub task: Task,
    /// Whether it is this tenant's turn to run steps that wait for all others in its database.
    pub has_turn: bool,
    /// Whether it is to be proven of each migration that it keeps to the tenant.
    pub checks_leaks: bool,
}

/// What the history that the plan has read is still worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Knowledge {
    /// It is what there is, unless a guard says otherwise.
    Planned,
    /// An earlier attempt has been there: read it again.
    Outdated,
    /// The last attempt lost its connection and may have committed without our hearing of it, or be
    /// committing still: read it again once the tenant's lock says that it has ended.
    InDoubt,
}

/// What an attempt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// To bring the tenant to its target.
    Migrate,
    /// To find out what an attempt has done that lost its connection, and no more.
    Settle,
}

/// What an attempt has done: true also where it failed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The stems of the migrations that are committed, in order.
    pub migrations: Vec<String>,
    /// The tenant's version now.
    pub version: Option<Version>,
    /// How steps were settled whose end was not known.
    pub notes: Vec<String>,
    /// Whether more was done than these migrations: a fix was run, or an entry was made in the history.
    pub has_mended: bool,
}

/// An attempt that did not bring its tenant to the target.
#[derive(Clone, Debug)]
pub struct MigrateError {
    /// What was committed before.
    pub applied: Applied,
    /// Whether more may have been committed: the connection was lost before the answer came.
    pub in_doubt: bool,
    /// Why it ended.
    pub cause: MigrateErrorCause,
}

/// Why an attempt ended early.
#[derive(Clone, Debug)]
pub enum MigrateErrorCause {
    /// Something failed; its class says whether another attempt may help.
    Failed(Box<Failure>),
    /// A migration reaches outside of its tenant, and would in every other: it was rolled back.
    Leaked(Box<Failure>),
    /// The connection was lost while the tenant was worked on.
    Lost(Box<Failure>),
    /// No connection could be had: the tenant was not touched.
    Unreachable(Box<Failure>),
    /// What comes next waits for all others in the database, and it is not this tenant's turn.
    Deferred,
    /// What waited for all others in the database is done. What follows needs no turn, and may take long.
    TurnOver,
    /// Its statement was cancelled because the run was aborted.
    Cancelled,
    /// The history, read again, says that the tenant must not be touched.
    Refused(Box<Refusal>),
    /// The schema is not there any more.
    Gone,
    /// [`Task::Settle`] is done, and migrations are pending still.
    NotDone,
}

/// Brings one tenant to its target. The engine's door to the databases.
pub trait TenantMigrator: Send + Sync + 'static {
    /// Makes one attempt. `tell` hears what is being done; `abort` cancels the statement that runs
    /// on the server.
    fn migrate(
        &self,
        assignment: &Assignment,
        tell: impl Fn(Progress) + Send + Sync,
        abort: &CancellationToken,
    ) -> impl Future<Output = Result<Applied, MigrateError>> + Send;

    /// Whether a database answers, and is the one that it was. Tries once.
    fn probe(
        &self,
        database: &DatabaseName,
    ) -> impl Future<Output = Result<(), Box<Failure>>> + Send;

    /// Closes connections to a database that nobody uses, down to so many in all: somebody else needs them.
    fn give_back(&self, database: &DatabaseName, connections: usize);

    /// What a database's server has to bear beside fleet. Tries once.
    fn pressure(
        &self,
        database: &DatabaseName,
    ) -> impl Future<Output = Result<Pressure, Box<Failure>>> + Send;
}
