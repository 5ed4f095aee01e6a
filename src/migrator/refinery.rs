//! The migrator that works: refinery over a pool of connections a database.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Object;
use refinery_core::Target;
use refinery_core::traits::r#async::AsyncMigrate;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::connection::{End, TenantConnection};
use super::failure::{self, Guard};
use super::message::{Envelope, ExpectedHead, Setup};
use super::{
    Applied, Assignment, MigrateError, MigrateErrorCause, TenantMigrator, TransactionScope,
    lock_key,
};
use crate::history;
use crate::migration::{Migration, MigrationSet, SessionUse, Version};
use crate::pg::{self, CancelHandle, Pool};
use crate::plan::{self, Action, HistorySnapshot, VersionColumn};
use crate::run::{Failure, FailureClass};
use crate::tenant::{DatabaseName, SchemaName};

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
    /// Waiting for a lock; zero waits for ever.
    pub lock_timeout: Duration,
    /// Running one statement; zero is without limit.
    pub statement_timeout: Duration,
}

/// Migrates tenants with refinery.
pub struct RefineryMigrator {
    databases: HashMap<DatabaseName, TenantDatabase>,
    set: Arc<MigrationSet>,
    target: Option<Version>,
    settings: MigrationSettings,
}

/// A tenant's attempt once its history is known: what is applied and what is to come.
struct Work<'a> {
    column: Option<VersionColumn>,
    applied: Vec<&'a Migration>,
    pending: VecDeque<&'a Migration>,
    setup: Setup,
}

impl RefineryMigrator {
    /// A migrator of tenants in these databases to `target`.
    pub fn new(
        databases: HashMap<DatabaseName, TenantDatabase>,
        set: Arc<MigrationSet>,
        target: Option<Version>,
        settings: MigrationSettings,
    ) -> Self {
        Self {
            databases,
            set,
            target,
            settings,
        }
    }

    fn envelope(&self, database: &TenantDatabase, schema: &SchemaName, work: &Work) -> Envelope {
        Envelope {
            schema: schema.clone(),
            shared: database.search_path.clone(),
            history_table: self.settings.history_table.clone(),
            setup: work.setup,
            column: work.column.unwrap_or(database.new_history),
            lock_timeout_ms: self.settings.lock_timeout.as_millis(),
            statement_timeout_ms: self.settings.statement_timeout.as_millis(),
            settings: database.pool.transaction_settings().to_vec(),
            nonce: fastrand::u64(..),
        }
    }

    /// The history is the plan's for the first attempt; a later one reads it again, since the
    /// earlier may have committed without our hearing of it.
    async fn current_history(
        &self,
        client: &tokio_postgres::Client,
        assignment: &Assignment,
    ) -> Result<HistorySnapshot, tokio_postgres::Error> {
        if assignment.attempt == 1 {
            return Ok(assignment.history.clone());
        }
        let schema = &assignment.tenant.id.schema;
        history::read_one(client, schema, &self.settings.history_table).await
    }

    fn work(&self, history: &HistorySnapshot, pending: &[Version]) -> Work<'_> {
        let (column, rows, setup) = match history {
            HistorySnapshot::Rows { column, rows } => (Some(*column), rows.as_ref(), Setup::None),
            HistorySnapshot::SchemaAbsent => (None, &[][..], Setup::Schema),
            _ => (None, &[][..], Setup::History),
        };
        Work {
            column,
            setup,
            applied: rows
                .iter()
                .filter_map(|row| self.set.get(row.version))
                .collect(),
            pending: pending
                .iter()
                .filter_map(|version| self.set.get(*version))
                .collect(),
        }
    }

    async fn run(
        &self,
        assignment: &Assignment,
        begin: impl Fn(&str) + Send + Sync,
        abort: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        let id = &assignment.tenant.id;
        let database = self
            .databases
            .get(&id.database)
            .ok_or_else(|| failed(Failure::new(FailureClass::Permanent, "unknown database")))?;
        let connection = pg::checkout(&database.pool, &id.database)
            .await
            .map_err(|error| failed(error.failure()))?;
        let history = self
            .current_history(&connection, assignment)
            .await
            .map_err(|error| failed(pg::failure_of(&error)))?;
        let Some(pending) = self.pending(assignment, &history)? else {
            return Ok(self.found(assignment, &history));
        };
        let work = self.work(&history, &pending);
        let files = refinery_files(&work);
        let mut tenant = TenantConnection {
            cancel: CancelHandle::of(&connection, database.pool.url()),
            abort,
            envelope: self.envelope(database, &id.schema, &work),
            expected: ExpectedHead::of(&history),
            history: applied_rows(&work.applied),
            pending: work.pending,
            begin,
            applied: self.found(assignment, &history),
            ended: None,
            session: SessionUse::None,
            client: &connection,
            pool: &database.pool,
        };
        let grouped = self.settings.scope == TransactionScope::Tenant;
        let table = &self.settings.history_table;
        let outcome = tenant
            .migrate(&files, true, true, grouped, Target::Latest, table)
            .await;
        // what the files have left on the session ends with the attempt, not with its next use
        database.pool.send_reset(&connection);
        let (applied, ended, expected) = (tenant.applied, tenant.ended, tenant.expected);
        let Err(refused) = outcome else {
            return Ok(applied);
        };
        let in_doubt = matches!(ended, Some(End::Failed { lost: true, .. }));
        let ended = ended.ok_or(refused);
        let cause = self.explain_end(ended, expected, connection, &id.schema);
        Err(MigrateError {
            applied,
            in_doubt,
            cause: cause.await,
        })
    }

    /// Why a migration did not commit. A connection of unknown state goes back to nobody.
    async fn explain_end(
        &self,
        ended: Result<End, refinery_core::Error>,
        expected: ExpectedHead,
        connection: Object,
        schema: &SchemaName,
    ) -> MigrateErrorCause {
        let failure = match ended {
            Ok(End::Cancelled) => return MigrateErrorCause::Cancelled,
            Ok(End::Failed {
                failure,
                lost: true,
                ..
            }) => {
                pg::discard(connection);
                failure
            }
            Ok(End::Failed {
                failure,
                guard: guard @ (None | Some(Guard::History)),
                ..
            }) => {
                let table = &self.settings.history_table;
                let now = history::read_one(&connection, schema, table).await;
                match (now, guard) {
                    // whatever failed, failed on what somebody else has made of the tenant
                    (Ok(now), _) if ExpectedHead::of(&now) != expected => Guard::History.failure(),
                    (Ok(_), Some(Guard::History)) => failure::file_wrote_history(failure.migration),
                    _ => name_blocker(&connection, schema, failure).await,
                }
            }
            Ok(End::Failed { failure, .. }) => name_blocker(&connection, schema, failure).await,
            Err(refused) => Failure::new(
                FailureClass::Permanent,
                format!("refinery refused: {refused}"),
            ),
        };
        MigrateErrorCause::Failed(Box::new(failure))
    }

    /// What of the assignment the history holds already: ours where the last attempt's end is not
    /// known, else somebody else's.
    fn found(&self, assignment: &Assignment, history: &HistorySnapshot) -> Applied {
        let migrations = match history {
            HistorySnapshot::Rows { rows, .. } if assignment.in_doubt => assignment
                .pending
                .iter()
                .filter(|version| rows.iter().any(|row| row.version == **version))
                .filter_map(|version| Some(self.set.get(*version)?.to_string()))
                .collect(),
            _ => Vec::new(),
        };
        Applied {
            migrations,
            version: plan::version_of(history),
        }
    }

    /// What is to be applied; None where nothing is left.
    fn pending(
        &self,
        assignment: &Assignment,
        history: &HistorySnapshot,
    ) -> Result<Option<Arc<[Version]>>, MigrateError> {
        if assignment.attempt == 1 {
            return Ok(Some(Arc::clone(&assignment.pending)));
        }
        match plan::decide(assignment.tenant.presence, history, &self.set, self.target) {
            Action::Migrate(pending) => Ok(Some(pending)),
            Action::UpToDate => Ok(None),
            Action::Refuse(refusal) => Err(MigrateError {
                applied: self.found(assignment, history),
                in_doubt: false,
                cause: MigrateErrorCause::Refused(refusal),
            }),
        }
    }
}

impl TenantMigrator for RefineryMigrator {
    async fn migrate(
        &self,
        assignment: &Assignment,
        begin: impl Fn(&str) + Send + Sync,
        abort: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        self.run(assignment, begin, abort).await
    }
}

fn failed(failure: Failure) -> MigrateError {
    MigrateError {
        applied: Applied::default(),
        in_doubt: false,
        cause: MigrateErrorCause::Failed(Box::new(failure)),
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
fn refinery_files(work: &Work) -> Vec<refinery_core::Migration> {
    let mut files = applied_rows(&work.applied);
    files.extend(
        work.pending
            .iter()
            .map(|migration| migration.refinery.clone()),
    );
    files
}

/// Says who stands in the way, as far as it can still be seen: holders of the tenant's advisory lock
/// where that was the matter, else of locks on the tenant's relations.
async fn name_blocker(
    client: &tokio_postgres::Client,
    schema: &SchemaName,
    mut failure: Failure,
) -> Failure {
    if failure.class != FailureClass::Transient {
        return failure;
    }
    let key = lock_key(schema);
    // both halves of the key, as pg_locks shows a bigint key
    let (high, low) = ((key >> 32) & 0xffff_ffff, key & 0xffff_ffff);
    let query = "SELECT pg_catalog.format('pid %s (%s, %s), in %s since %s: %s', a.pid, a.usename, \
           coalesce(nullif(a.application_name, ''), 'no application name'), a.state, \
           date_trunc('second', coalesce(a.xact_start, a.query_start)), pg_catalog.left(a.query, 200)) \
         FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         LEFT JOIN pg_catalog.pg_class c ON l.locktype = 'relation' AND c.oid = l.relation \
           AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1) \
         WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid() \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
           AND (c.oid IS NOT NULL OR (l.locktype = 'advisory' AND l.objsubid = 1 \
                AND l.classid::int8 = $2 AND l.objid::int8 = $3)) \
         ORDER BY a.xact_start LIMIT 1";
    if let Ok(Some(row)) = client
        .query_opt(query, &[&schema.as_str(), &high, &low])
        .await
    {
        failure.blocked_by = row.get(0);
    }
    failure
}
