//! Pending migrations of one tenant in one transaction that is rolled back: what is sent is what a run
//! would send, up to its COMMIT.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_postgres::SimpleQueryMessage;

use super::TransactionScope;
use super::connection::{End, OWN_TIMEOUT, TenantConnection, no_answer, now};
use super::failure;
use super::looks::{Course, Looks, Seen, Taken};
use super::message::{Deferred, Frame, Message, Piece};
use super::role::RoleScope;
use super::watch::{Mark, Watch};
use crate::migration::{Migration, SessionUse};
use crate::run::{LockMode, MigrationStem, Progress, RehearsedMigration, TableLock};

/// The deferrable constraints that may have something to check: those with a trigger on a relation that the
/// transaction has touched. With each name whether it can be deferred again, and is by itself.
const DEFERRABLE: &str = "\
    SELECT pg_catalog.quote_ident(n.nspname)||'.'||pg_catalog.quote_ident(c.conname), \
      pg_catalog.bool_and(c.condeferrable AND c.condeferred) \
    FROM (SELECT DISTINCT relation FROM pg_catalog.pg_locks \
      WHERE pid=pg_catalog.pg_backend_pid() AND locktype='relation') l \
    JOIN pg_catalog.pg_trigger t ON t.tgrelid=l.relation AND t.tgdeferrable \
    JOIN pg_catalog.pg_constraint k ON k.oid=t.tgconstraint \
    JOIN pg_catalog.pg_constraint c ON c.conname=k.conname AND c.connamespace=k.connamespace \
    JOIN pg_catalog.pg_namespace n ON n.oid=k.connamespace GROUP BY 1";

/// The tables that relations belong to, as they are without the transaction: what is not there is new, and
/// nobody's matter. A lock on an index keeps waiting whoever plans a query on its table.
const TABLES: &str = "\
    SELECT c.oid, n.nspname, t.relname FROM pg_catalog.pg_class c \
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid=c.oid \
    JOIN pg_catalog.pg_class t ON t.oid=coalesce(i.indrelid,c.oid) \
    JOIN pg_catalog.pg_namespace n ON n.oid=t.relnamespace \
    WHERE c.oid=ANY($1) AND t.relkind IN ('r','p','m','f','v') AND n.nspname NOT LIKE 'pg\\_%'";

/// What is known of a rehearsal so far.
#[derive(Default)]
pub(super) struct Rehearsed {
    /// What has gone through, and how long each took.
    pub(super) done: Vec<(MigrationStem, Duration)>,
    /// How long all took, those included that failed.
    pub(super) took: Duration,
    /// How long the last one took.
    pub(super) last_took: Duration,
    course: Course,
    /// In the time of the course, when each migration was over.
    ends_us: Vec<i64>,
}

impl<T: Fn(Progress) + Send + Sync> TenantConnection<'_, T> {
    /// Runs migrations and rolls them back. `rehearsed` grows with each that goes through.
    pub(super) async fn rehearse(
        &mut self,
        migrations: &[&Migration],
        scope: TransactionScope,
        rehearsed: &mut Rehearsed,
    ) -> Result<(), End> {
        // PostgreSQL 12 takes the time of a message by what was set before it; sent as a reset is, and
        // taken back by the next one
        let limit = format!(
            "SET statement_timeout={}",
            self.envelope.statement_timeout_ms
        );
        let _ = self.client.batch_execute(&limit).now_or_never();
        for (number, migration) in migrations.iter().enumerate() {
            let is_last = number + 1 == migrations.len();
            let mut before = match number.checked_sub(1) {
                None => self.envelope.prefix(),
                Some(previous) => self.between(migrations[previous], scope),
            };
            before.push(self.envelope.look());
            let frame = Frame {
                before,
                after: self.envelope.look(),
                deferred: match scope {
                    _ if is_last => Deferred::Done,
                    TransactionScope::Migration => Deferred::Apart,
                    TransactionScope::Tenant => Deferred::Left,
                },
            };
            self.rehearse_one(migration, &frame, rehearsed).await?;
            if frame.deferred == Deferred::Apart {
                let started = Instant::now();
                let fired = self.fire_deferred(migration).await;
                rehearsed.took += started.elapsed();
                fired?;
                self.prove(migration).await?;
            }
            let took = rehearsed.last_took;
            rehearsed.done.push((MigrationStem::of(migration), took));
            rehearsed.ends_us.push(rehearsed.course.now_us());
            self.expected = self.expected.with(migration.version());
        }
        self.roll_back().await
    }

    async fn rehearse_one(
        &self,
        migration: &Migration,
        frame: &Frame,
        rehearsed: &mut Rehearsed,
    ) -> Result<(), End> {
        if self.abort.is_cancelled() {
            // whatever comes of it, the transaction ends with its session at the latest
            let _ = self.roll_back().await;
            return Err(End::Cancelled);
        }
        let pieces = &[Piece::Migration(migration)];
        let message = self
            .envelope
            .framed(frame, pieces, self.expected, &now())
            .with_looks(pieces, &self.envelope.look());
        let seen: Mutex<Vec<Seen>> = Mutex::default();
        let heard = |_, answer: &SimpleQueryMessage| {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.extend(self.envelope.seen(answer));
        };
        let started = Instant::now();
        let sent = self.send_and_hear(&message, pieces, heard).await;
        let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
        let looking: i64 = seen.iter().map(|seen| seen.to_us - seen.from_us).sum();
        let looking = Duration::from_micros(u64::try_from(looking).unwrap_or(0));
        let took = started.elapsed().saturating_sub(looking);
        rehearsed.took += took;
        rehearsed.last_took = took;
        rehearsed.course.follow(rehearsed.done.len(), &seen);
        rehearsed.course.pause();
        sent
    }

    /// The proof of a file behind which COMMIT would stand in a run.
    async fn prove(&self, migration: &Migration) -> Result<(), End> {
        let piece = Piece::Migration(migration);
        let checks = self.envelope.leak_check(&piece).after;
        if checks.is_empty() {
            return Ok(());
        }
        let message = Message::proof(&checks);
        self.send_and_hear(&message, &[piece], |_, _| {}).await
    }

    /// What stands between two migrations instead of COMMIT, a session made as new, and BEGIN.
    fn between(&self, previous: &Migration, scope: TransactionScope) -> Vec<String> {
        let mut statements: Vec<String> = Vec::new();
        match scope {
            TransactionScope::Tenant => statements.extend(self.envelope.settings_again()),
            TransactionScope::Migration => {
                if previous.session == SessionUse::Possible {
                    // what DISCARD ALL does that a transaction may do
                    statements.extend(
                        [
                            "CLOSE ALL",
                            "DEALLOCATE ALL",
                            "UNLISTEN *",
                            "SELECT pg_catalog.pg_advisory_unlock_all()",
                            "DISCARD TEMP",
                            "DISCARD SEQUENCES",
                        ]
                        .map(str::to_owned),
                    );
                }
                statements.extend(
                    ["RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL"].map(str::to_owned),
                );
                let settings = self.envelope.settings.iter();
                statements.extend(settings.map(|setting| format!("SET LOCAL {setting}")));
                statements.extend(self.envelope.set_role(RoleScope::Transaction));
            }
        }
        statements.push(self.envelope.pin("pg_try_advisory_xact_lock", true));
        statements
    }

    /// What COMMIT would check and fire, with constraints deferred again afterwards: the next migration has
    /// a transaction of its own in a run. `SET CONSTRAINTS ALL` would also reach those that it makes.
    async fn fire_deferred(&self, migration: &Migration) -> Result<(), End> {
        let looking = self.client.simple_query(DEFERRABLE);
        let Ok(found) = tokio::time::timeout(OWN_TIMEOUT, looking).await else {
            return Err(no_answer("the server does not answer any more"));
        };
        let message = Message {
            text: match found {
                Ok(answers) => fire(&answers),
                Err(error) => return Err(self.failed_at_commit(migration, &error).await),
            },
            files: Vec::new(),
            looks: Looks::default(),
        };
        if message.text.is_empty() {
            return Ok(());
        }
        self.send_and_hear(&message, &[Piece::Migration(migration)], |_, _| {})
            .await
    }

    async fn failed_at_commit(&self, migration: &Migration, error: &tokio_postgres::Error) -> End {
        let empty = Message {
            text: String::new(),
            files: Vec::new(),
            looks: Looks::default(),
        };
        let (failure, guard) = failure::explain(&empty, &[Piece::Migration(migration)], 0, error);
        let schema = &self.envelope.schema;
        let watch = Watch::new(self.pool, schema, Mark::Shared(String::new()), 0);
        self.end(error, failure, guard, &watch).await
    }

    async fn roll_back(&self) -> Result<(), End> {
        let rolling = self.client.batch_execute("ROLLBACK");
        match tokio::time::timeout(OWN_TIMEOUT, rolling).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(no_answer("the transaction could not be rolled back")),
        }
    }

    /// What has gone through, with the locks that each took; asked after the transaction.
    pub(super) async fn with_locks(
        &self,
        rehearsed: &Rehearsed,
        scope: TransactionScope,
    ) -> Result<Vec<RehearsedMigration>, End> {
        let taken = rehearsed.course.taken();
        let relations: Vec<u32> = taken.iter().map(|taken| taken.relation).collect();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&relations];
        let asking = self.client.query(TABLES, &parameters);
        let Ok(Ok(rows)) = tokio::time::timeout(OWN_TIMEOUT, asking).await else {
            return Err(no_answer("the server does not answer any more"));
        };
        let mut tables: HashMap<u32, Arc<str>> = HashMap::new();
        for row in rows {
            let (schema, table): (&str, &str) = (row.get(1), row.get(2));
            let is_own = schema == self.envelope.schema.as_str();
            if is_own && table == self.envelope.history_table {
                continue;
            }
            let name = if is_own {
                table.to_owned()
            } else {
                format!("{schema}.{table}")
            };
            tables.insert(row.get(0), name.into());
        }
        let done = rehearsed.done.iter().enumerate();
        Ok(done
            .map(|(number, (migration, duration))| RehearsedMigration {
                migration: migration.clone(),
                duration: *duration,
                locks: locks(rehearsed, number, scope, &tables),
            })
            .collect())
    }
}

/// The statements that check what is deferred, and defer it again. Empty where there is nothing.
fn fire(answers: &[SimpleQueryMessage]) -> String {
    let mut all = Vec::new();
    let mut deferred = Vec::new();
    for answer in answers {
        if let SimpleQueryMessage::Row(row) = answer
            && let Some(name) = row.get(0)
        {
            all.push(name);
            if row.get(1) == Some("t") {
                deferred.push(name);
            }
        }
    }
    let mut statements = Vec::new();
    for (names, word) in [(all, "IMMEDIATE"), (deferred, "DEFERRED")] {
        if !names.is_empty() {
            statements.push(format!("SET CONSTRAINTS {} {word}", names.join(",")));
        }
    }
    statements.join(";")
}

/// The strongest lock of one migration on each table, by the table's name.
fn locks(
    rehearsed: &Rehearsed,
    number: usize,
    scope: TransactionScope,
    tables: &HashMap<u32, Arc<str>>,
) -> Vec<TableLock> {
    let end_us = match scope {
        TransactionScope::Migration => rehearsed.ends_us.get(number).copied(),
        TransactionScope::Tenant => None,
    };
    let end_us = end_us.unwrap_or(rehearsed.course.now_us());
    let mut strongest: HashMap<&Arc<str>, (LockMode, i64)> = HashMap::new();
    let of_this = |taken: &&Taken| taken.migration == number;
    for taken in rehearsed.course.taken().iter().filter(of_this) {
        let Some(table) = tables.get(&taken.relation) else {
            continue;
        };
        let held = (taken.mode, end_us - taken.at_us);
        let known = strongest.entry(table).or_insert(held);
        *known = held.max(*known);
    }
    let mut locks: Vec<TableLock> = strongest
        .into_iter()
        .map(|(table, (mode, held_us))| TableLock {
            table: Arc::clone(table),
            mode,
            held: Duration::from_micros(u64::try_from(held_us).unwrap_or(0)),
        })
        .collect();
    locks.sort_by(|a, b| a.table.cmp(&b.table));
    locks
}
