//! The lock of a tenant: an advisory lock in the session that runs its migrations, so that there is
//! at most one applier whatever clocks and leases say.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::time::Instant;
use tokio_postgres::Client;

use crate::pg;
use crate::run::{Failure, FailureClass, Progress};
use crate::tenant::SchemaName;

/// How often a lock is asked for again that somebody holds.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The key. PostgreSQL keeps advisory locks by database, so key and database together name the tenant.
pub(super) fn key(schema: &SchemaName) -> i64 {
    let mut hasher = SipHasher13::new();
    hasher.write(b"fleet tenant ");
    hasher.write(schema.as_str().as_bytes());
    hasher.finish().cast_signed()
}

/// Both halves of a key, as `pg_locks` shows those of one number.
fn halves(key: i64) -> (i64, i64) {
    ((key >> 32) & 0xffff_ffff, key & 0xffff_ffff)
}

/// In SQL: whether a row `l` of `pg_locks` is the tenant's lock, held.
pub(super) fn is_held(schema: &SchemaName) -> String {
    let (high, low) = halves(key(schema));
    format!(
        "l.granted AND l.locktype = 'advisory' AND l.objsubid = 1 \
         AND l.classid::pg_catalog.int8 = {high} AND l.objid::pg_catalog.int8 = {low} \
         AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    )
}

/// In SQL: one session of `pg_stat_activity`, called `a`, in words.
pub(super) const SESSION_IN_WORDS: &str = "pg_catalog.format('pid %s (%s, %s), in %s since %s: %s', a.pid, a.usename, \
    coalesce(nullif(a.application_name, ''), 'no application name'), coalesce(a.state, 'a state that its role hides'), \
    date_trunc('second', coalesce(a.xact_start, a.query_start)), pg_catalog.left(a.query, 200))";

/// Somebody who holds a tenant's lock.
pub(super) struct Holder {
    pid: i32,
    application: String,
    /// Whether it has no statement in work.
    is_idle: bool,
    /// Pid, application, what it does and since when.
    pub(super) words: String,
}

impl Holder {
    /// Whether it is a session of one of these runs, which are dead.
    pub(super) fn is_of(&self, dead_sessions: &[String]) -> bool {
        dead_sessions.contains(&self.application)
    }
}

/// Who holds the tenant's lock, other than the asking session.
pub(super) async fn holder(
    client: &Client,
    schema: &SchemaName,
) -> Result<Option<Holder>, tokio_postgres::Error> {
    let query = format!(
        "SELECT l.pid, coalesce(a.application_name, ''), coalesce({SESSION_IN_WORDS}, format('pid %s', l.pid)), \
           coalesce(a.state LIKE 'idle%', false) \
         FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         WHERE {} AND l.pid <> pg_catalog.pg_backend_pid() LIMIT 1",
        is_held(schema)
    );
    let row = client.query_opt(&query, &[]).await?;
    Ok(row.map(|row| Holder {
        pid: row.get(0),
        application: row.get(1),
        words: row.get(2),
        is_idle: row.get(3),
    }))
}

/// Why a lock could not be waited for.
pub(super) struct WaitError {
    /// What to tell.
    pub(super) failure: Failure,
    /// Whether the connection is of no more use.
    pub(super) lost: bool,
}

impl From<tokio_postgres::Error> for WaitError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self {
            lost: pg::is_connection_lost(&error),
            failure: pg::failure_of(&error),
        }
    }
}

/// Waits until nobody holds the tenant's lock: what was in flight there has committed or was rolled
/// back by then, and the history tells which. It is asked for, never queued for: a session that waits
/// for a lock has a snapshot, for which a concurrent index build waits in turn.
///
/// A session of this very process that still holds it is one that we have lost, and one of a dead run
/// that does nothing is nobody's: both are ended, since nobody will ever read their answers.
pub(super) async fn wait_until_free(
    client: &Client,
    schema: &SchemaName,
    patience: Duration,
    dead_sessions: &[String],
    tell: &(impl Fn(Progress) + Send + Sync),
) -> Result<(), WaitError> {
    let deadline = Instant::now() + patience;
    let mut is_told = false;
    loop {
        let Some(holder) = holder(client, schema).await? else {
            return Ok(());
        };
        let is_dead = holder.is_idle && holder.is_of(dead_sessions);
        client
            .execute(
                "SELECT pg_catalog.pg_terminate_backend(a.pid) FROM pg_catalog.pg_stat_activity a \
                 WHERE a.pid = $1 AND a.application_name = $2 \
                   AND ($3 OR $2 = pg_catalog.current_setting('application_name'))",
                &[&holder.pid, &holder.application, &is_dead],
            )
            .await?;
        if Instant::now() >= deadline {
            return Err(WaitError {
                failure: Failure {
                    blocked_by: Some(holder.words),
                    ..Failure::new(
                        FailureClass::Transient,
                        "another session is still at the tenant",
                    )
                },
                lost: false,
            });
        }
        if !is_told {
            tell(Progress::Waiting(holder.words));
            is_told = true;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}
