//! The migrator that works: refinery over a pool of connections a database.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use refinery_core::Target;
use refinery_core::traits::r#async::AsyncMigrate;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::connection::{End, OWN_TIMEOUT, TenantConnection};
use super::entry::EntryOf;
use super::failure::{self, Guard};
use super::message::{Envelope, ExpectedHead, Setup};
use super::reading::Look;
use super::repair::FixState;
use super::{
    Applied, Assignment, Knowledge, MigrateError, MigrateErrorCause, Pressure, Task,
    TenantMigrator, TransactionScope, Work, lock, pressure,
};
use crate::crash;
use crate::history;
use crate::migration::{Migration, MigrationSet, SessionUse, TransactionMode, Version};
use crate::pg::{self, CancelHandle, Pool};
use crate::plan::{HistorySnapshot, VersionColumn};
use crate::run::{Failure, FailureClass, Progress};
use crate::tenant::{DatabaseName, RoleTemplate, SchemaName, TenantId};

/// One database that holds tenants.
pub struct TenantDatabase {
    /// Its connections.
    pub pool: Pool,
    /// Shared schemas behind the tenant's own.
    pub search_path: Vec<String>,
    /// The width of the version column in history tables that fleet creates.
    pub new_history: VersionColumn,
}

/// What bounds and shapes each transaction.
#[derive(Clone, Debug)]
pub struct MigrationSettings {
    /// How much goes into one transaction.
    pub scope: TransactionScope,
    /// The history table's bare name.
    pub history_table: String,
    /// The roles that the tenants' migrations run as; None: all of them run as fleet's own.
    pub roles: Option<RoleTemplate>,
    /// Waiting for a lock; zero waits for ever.
    pub lock_timeout: Duration,
    /// Running one statement; zero is without limit.
    pub statement_timeout: Duration,
    /// Running one statement that waits for all others in its database; zero is without limit.
    pub index_build_timeout: Duration,
    /// How long to wait for the end of a session of our own that was lost, before its tenant is left in doubt.
    pub patience: Duration,
    /// Standbys that lag on purpose, by their `application_name`.
    pub ignored_replicas: Vec<String>,
    /// What the sessions of dead runs are called. One that holds a tenant's lock and does nothing is ended.
    pub dead_sessions: Vec<String>,
}

/// Migrates tenants with refinery.
pub struct RefineryMigrator {
    databases: HashMap<DatabaseName, TenantDatabase>,
    pub(super) set: Arc<MigrationSet>,
    pub(super) settings: MigrationSettings,
    pub(super) work: Work,
}

/// A tenant's attempt once its history is known: what is applied, and what is to come first.
pub(super) struct Ground<'a> {
    column: Option<VersionColumn>,
    applied: Vec<&'a Migration>,
    setup: Setup,
}

/// One attempt, once it is known what is to be done.
struct Attempt<'a> {
    assignment: &'a Assignment,
    database: &'a TenantDatabase,
    look: Look<'a>,
    pending: Arc<[Version]>,
}

impl RefineryMigrator {
    /// A migrator of tenants in these databases.
    pub fn new(
        databases: HashMap<DatabaseName, TenantDatabase>,
        set: Arc<MigrationSet>,
        settings: MigrationSettings,
    ) -> Self {
        Self {
            databases,
            set,
            settings,
            work: Work::Migrate,
        }
    }

    /// The same, with fleet's own role in all tenants.
    #[must_use]
    pub fn without_roles(mut self) -> Self {
        self.settings.roles = None;
        self
    }

    /// The same for other work.
    #[must_use]
    pub fn with_work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    pub(super) fn envelope(
        &self,
        database: &TenantDatabase,
        tenant: &TenantId,
        ground: &Ground,
    ) -> Result<Envelope, Box<Failure>> {
        let roles = self.settings.roles.as_ref();
        let role = roles.map(|roles| roles.role_of(tenant)).transpose();
        let role =
            role.map_err(|error| Failure::new(FailureClass::Permanent, error.to_string()))?;
        Ok(Envelope {
            schema: tenant.schema.clone(),
            role,
            shared: database.search_path.clone(),
            history_table: self.settings.history_table.clone(),
            setup: ground.setup,
            column: ground.column.unwrap_or(database.new_history),
            lock_timeout_ms: self.settings.lock_timeout.as_millis(),
            statement_timeout_ms: self.settings.statement_timeout.as_millis(),
            settings: database.pool.transaction_settings().to_vec(),
            checks_leaks: false,
            nonce: fastrand::u64(..),
        })
    }

    /// `column` is that of an empty history.
    pub(super) fn ground(
        &self,
        history: &HistorySnapshot,
        column: Option<VersionColumn>,
    ) -> Ground<'_> {
        let (column, rows, setup) = match history {
            HistorySnapshot::Rows { column, rows, .. } => {
                (Some(*column), rows.as_ref(), Setup::None)
            }
            HistorySnapshot::SchemaAbsent => (None, &[][..], Setup::Schema),
            _ => (column, &[][..], Setup::History),
        };
        let applied = rows.iter().filter_map(|row| self.set.get(row.version));
        Ground {
            column,
            setup,
            applied: applied.collect(),
        }
    }

    async fn run(
        &self,
        assignment: &Assignment,
        tell: impl Fn(Progress) + Send + Sync,
        abort: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        let id = &assignment.tenant.id;
        let database = self.database(&id.database).map_err(untouched)?;
        let connection = pg::checkout(&database.pool, &id.database)
            .await
            .map_err(|error| {
                untouched(MigrateErrorCause::Unreachable(Box::new(error.failure())))
            })?;
        crash::point("K3");
        let look = match self.look(&connection, assignment, &tell, abort).await {
            Ok(look) => look,
            Err(cause) => {
                if matches!(cause, MigrateErrorCause::Lost(_)) {
                    pg::discard(connection);
                }
                return Err(MigrateError {
                    applied: Applied::default(),
                    // what was not known before is not known now
                    in_doubt: assignment.knowledge == Knowledge::InDoubt,
                    cause,
                });
            }
        };
        let Some(pending) = self.pending(assignment, &look)? else {
            return Ok(self.found(assignment, &look));
        };
        if assignment.task == Task::Settle {
            return Err(MigrateError {
                applied: self.found(assignment, &look),
                in_doubt: false,
                cause: MigrateErrorCause::NotDone,
            });
        }
        let attempt = Attempt {
            assignment,
            database,
            look,
            pending,
        };
        self.attempt(attempt, connection, &tell, abort).await
    }

    /// Applies what is pending.
    async fn attempt(
        &self,
        attempt: Attempt<'_>,
        connection: Object,
        tell: &(impl Fn(Progress) + Send + Sync),
        abort: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        let Attempt {
            assignment,
            database,
            look,
            pending,
        } = attempt;
        let (schema, history) = (&assignment.tenant.id.schema, &look.history);
        let ground = self.ground(history, look.column);
        let is_fix_due = matches!(look.fix, FixState::Due(_));
        let envelope = self.envelope(database, &assignment.tenant.id, &ground);
        let mut envelope =
            envelope.map_err(|failure| untouched(MigrateErrorCause::Failed(failure)))?;
        envelope.checks_leaks = assignment.checks_leaks || is_fix_due;
        let mut tenant = TenantConnection {
            cancel: CancelHandle::of(&connection, database.pool.url()),
            abort,
            envelope,
            expected: ExpectedHead::of(history),
            history: Vec::new(),
            pending: VecDeque::new(),
            fix: match look.fix {
                FixState::Due(due) => Some(due),
                FixState::None | FixState::Run | FixState::RunBefore(_) => None,
            },
            index_build_timeout: self.settings.index_build_timeout,
            tell,
            applied: self.found(assignment, &look),
            ended: None,
            session: SessionUse::None,
            client: &connection,
            pool: &database.pool,
        };
        let outcome = self
            .carry_out(&mut tenant, history, ground.applied, &pending, assignment)
            .await;
        // what the files have left on the session ends with the attempt, not with its next use
        database.pool.send_reset(&connection);
        let (applied, ended, expected) = (tenant.applied, tenant.ended, tenant.expected);
        let (cause, in_doubt) = match outcome {
            Ok(()) => return Ok(applied),
            Err(Stopped::Deferred) => (MigrateErrorCause::Deferred, false),
            Err(Stopped::TurnOver) => (MigrateErrorCause::TurnOver, false),
            Err(Stopped::Refinery(refused)) => {
                // a schema that was to be made is rolled back with its first migration
                let is_there = *history != HistorySnapshot::SchemaAbsent;
                let ended = ended.ok_or(refused);
                self.explain_end(ended, expected, connection, (schema, is_there))
                    .await
            }
            Err(Stopped::Ended(end)) => {
                self.explain_end(Ok(end), expected, connection, (schema, true))
                    .await
            }
        };
        Err(MigrateError {
            applied,
            in_doubt,
            cause,
        })
    }

    /// Does what is left to do in the tenant.
    async fn carry_out<'a, T: Fn(Progress) + Send + Sync>(
        &'a self,
        tenant: &mut TenantConnection<'a, T>,
        history: &HistorySnapshot,
        applied: Vec<&'a Migration>,
        pending: &[Version],
        assignment: &Assignment,
    ) -> Result<(), Stopped> {
        let Work::Enter(entry) = self.work else {
            return self
                .segments(tenant, applied, pending, assignment.has_turn)
                .await;
        };
        let files = pending.iter().filter_map(|version| self.set.get(*version));
        let of = EntryOf {
            entry,
            history,
            files: files.collect(),
        };
        tenant.enter(&of).await.map_err(Stopped::Ended)
    }

    /// Hands refinery what is pending, in pieces: steps are a piece of their own, and the turn for
    /// those that wait for others is asked for when it is needed.
    async fn segments<'a, T: Fn(Progress) + Send + Sync>(
        &'a self,
        tenant: &mut TenantConnection<'a, T>,
        mut applied: Vec<&'a Migration>,
        pending: &[Version],
        has_turn: bool,
    ) -> Result<(), Stopped> {
        let mut after_build = false;
        let pending: Vec<&Migration> = pending.iter().filter_map(|v| self.set.get(*v)).collect();
        let is_stepwise =
            |migration: &Migration| migration.mode == TransactionMode::NonTransactional;
        if pending.first().is_none_or(|first| is_stepwise(first))
            && let Some(due) = tenant.fix.take()
        {
            tenant.run_fix(due).await.map_err(Stopped::Ended)?;
            if !pending.is_empty() {
                let note = format!("{} is committed, whatever follows", due.fix());
                tenant.applied.notes.push(note);
            }
        }
        let table = &self.settings.history_table;
        for segment in pending.chunk_by(|a, b| !is_stepwise(a) && !is_stepwise(b)) {
            let needs_turn = segment.iter().any(|migration| migration.waits_for_others());
            if needs_turn && !has_turn {
                return Err(Stopped::Deferred);
            }
            if after_build && !needs_turn {
                return Err(Stopped::TurnOver);
            }
            after_build = needs_turn;
            // what follows a fix is all or nothing with it
            let grouped = self.settings.scope == TransactionScope::Tenant || tenant.fix.is_some();
            tenant.history = applied_rows(&applied);
            tenant.pending = segment.iter().copied().collect();
            let files = refinery_files(&applied, segment);
            tenant
                .migrate(&files, true, true, grouped, Target::Latest, table)
                .await
                .map_err(Stopped::Refinery)?;
            applied.extend(segment);
        }
        Ok(())
    }

    pub(super) fn database(
        &self,
        name: &DatabaseName,
    ) -> Result<&TenantDatabase, MigrateErrorCause> {
        let unknown = || Failure::new(FailureClass::Permanent, "unknown database");
        let database = self.databases.get(name);
        database.ok_or_else(|| MigrateErrorCause::Failed(Box::new(unknown())))
    }

    /// Why a migration was not recorded, and whether more is committed than is known. A connection of
    /// unknown state goes back to nobody.
    pub(super) async fn explain_end(
        &self,
        ended: Result<End, refinery_core::Error>,
        expected: ExpectedHead,
        connection: Object,
        (schema, is_there): (&SchemaName, bool),
    ) -> (MigrateErrorCause, bool) {
        let (failure, guard) = match ended {
            Ok(End::Cancelled) => return (MigrateErrorCause::Cancelled, false),
            Ok(End::Refused(refusal)) => {
                return (MigrateErrorCause::Refused(Box::new(refusal)), false);
            }
            Ok(End::Failed {
                failure,
                lost: true,
                ..
            }) => {
                pg::discard(connection);
                return (MigrateErrorCause::Lost(failure), true);
            }
            Ok(End::Failed { failure, guard, .. }) => (*failure, guard),
            Err(refused) => {
                let refused = format!("refinery refused: {refused}");
                let failure = Failure::new(FailureClass::Permanent, refused);
                return (MigrateErrorCause::Failed(Box::new(failure)), false);
            }
        };
        let table = &self.settings.history_table;
        let reading = history::read_one(&connection, schema, table);
        let Ok(now) = tokio::time::timeout(OWN_TIMEOUT, reading).await else {
            pg::discard(connection);
            return (MigrateErrorCause::Lost(Box::new(failure)), true);
        };
        let failure = match (now, guard) {
            (Ok(HistorySnapshot::SchemaAbsent), _) if is_there => {
                return (MigrateErrorCause::Gone, false);
            }
            (
                Ok(now @ (HistorySnapshot::Rows { .. } | HistorySnapshot::NoTable { .. })),
                None | Some(Guard::History),
            ) if ExpectedHead::of(&now) != expected => {
                // whatever failed, failed on what somebody else has made of the tenant
                Guard::History.failure()
            }
            (Ok(_), Some(Guard::History)) if !matches!(self.work, Work::Enter(_)) => {
                failure::file_wrote_history(failure.migration)
            }
            _ => failure,
        };
        if guard == Some(Guard::Leak) {
            return (MigrateErrorCause::Leaked(Box::new(failure)), false);
        }
        // what a dead run has in flight there ends soon, one way or the other
        let in_doubt = guard == Some(Guard::Lock)
            && matches!(lock::holder(&connection, schema).await, Ok(Some(holder))
                if holder.is_of(&self.settings.dead_sessions));
        (MigrateErrorCause::Failed(Box::new(failure)), in_doubt)
    }
}

impl TenantMigrator for RefineryMigrator {
    async fn migrate(
        &self,
        assignment: &Assignment,
        tell: impl Fn(Progress) + Send + Sync,
        abort: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        self.run(assignment, tell, abort).await
    }

    async fn probe(&self, database: &DatabaseName) -> Result<(), Box<Failure>> {
        match self.databases.get(database) {
            Some(open) => pressure::answers(&open.pool, database).await,
            None => Ok(()),
        }
    }

    fn give_back(&self, database: &DatabaseName, connections: usize) {
        if let Some(open) = self.databases.get(database) {
            open.pool.keep(connections);
        }
    }

    async fn pressure(&self, database: &DatabaseName) -> Result<Pressure, Box<Failure>> {
        match self.databases.get(database) {
            Some(open) => {
                pressure::look(&open.pool, database, &self.settings.ignored_replicas).await
            }
            None => Ok(Pressure::default()),
        }
    }
}

/// Why not all of a tenant's pieces were handed over.
enum Stopped {
    /// The next one waits for others, and it is not this tenant's turn.
    Deferred,
    /// What needed the turn is done, and what comes next does not.
    TurnOver,
    /// One was not recorded.
    Refinery(refinery_core::Error),
    /// What was done without refinery was not recorded.
    Ended(End),
}

/// The end of an attempt that has touched nothing.
fn untouched(cause: MigrateErrorCause) -> MigrateError {
    MigrateError {
        applied: Applied::default(),
        in_doubt: false,
        cause,
    }
}

/// The history as refinery would have read it, with the checksums of its 64-bit build: planning has
/// compared them in whichever width the table holds.
fn applied_rows(applied: &[&Migration]) -> Vec<refinery_core::Migration> {
    applied
        .iter()
        .map(|migration| {
            refinery_core::Migration::applied(
                migration.version(),
                migration.name().to_owned(),
                OffsetDateTime::UNIX_EPOCH,
                migration.checksum_int8(),
            )
        })
        .collect()
}

/// The files that refinery checks and applies. Those that are applied already go without their
/// text: refinery copies every text twice a tenant.
fn refinery_files(applied: &[&Migration], pending: &[&Migration]) -> Vec<refinery_core::Migration> {
    let mut files = applied_rows(applied);
    files.extend(pending.iter().map(|migration| migration.refinery.clone()));
    files
}
