//! Applies pending migrations to one tenant: the trait that the engine drives, and refinery behind it.

mod connection;
mod failure;
mod message;
mod refinery;

use std::future::Future;
use std::hash::Hasher;
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use tokio_util::sync::CancellationToken;

pub use refinery::{MigrationSettings, RefineryMigrator, TenantDatabase};

use crate::migration::Version;
use crate::plan::{HistorySnapshot, Refusal};
use crate::run::{AttemptNumber, Failure};
use crate::tenant::{SchemaName, Tenant};

/// How much goes into one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionScope {
    /// One transaction a migration.
    Migration,
    /// All pending migrations of a tenant in one.
    Tenant,
}

/// One attempt at one tenant.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Which tenant.
    pub tenant: Tenant,
    /// Its history when the plan was made. Later attempts read it again.
    pub history: HistorySnapshot,
    /// What is to be applied, in order.
    pub pending: Arc<[Version]>,
    /// Which attempt, from 1.
    pub attempt: AttemptNumber,
    /// Whether the last attempt lost its connection, so that it may have committed without our
    /// hearing of it.
    pub in_doubt: bool,
}

/// What an attempt has done: true also where it failed afterwards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The stems of the migrations that are committed, in order.
    pub migrations: Vec<String>,
    /// The tenant's version now.
    pub version: Option<Version>,
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
    /// Its statement was cancelled because the run was aborted.
    Cancelled,
    /// The history, read again, says that the tenant must not be touched.
    Refused(Refusal),
}

/// Brings one tenant to its target. The engine's door to the databases.
pub trait TenantMigrator: Send + Sync + 'static {
    /// Makes one attempt. `begin` is told each migration before it is sent; `abort` cancels the
    /// statement that runs on the server.
    fn migrate(
        &self,
        assignment: &Assignment,
        begin: impl Fn(&str) + Send + Sync,
        abort: &CancellationToken,
    ) -> impl Future<Output = Result<Applied, MigrateError>> + Send;
}

/// The key of the advisory lock that an applier of a tenant holds. PostgreSQL keeps advisory locks
/// by database, so key and database together name the tenant.
pub fn lock_key(schema: &SchemaName) -> i64 {
    let mut hasher = SipHasher13::new();
    hasher.write(b"fleet tenant ");
    hasher.write(schema.as_str().as_bytes());
    hasher.finish().cast_signed()
}
