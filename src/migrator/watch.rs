//! A session that works for long, watched from another one: who blocks it, how far an index is, and
//! whether the server is still at it at all.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Timeouts;
use tokio_postgres::{Client, Row};

use super::lock;
use crate::pg::{self, Pool};
use crate::run::Progress;
use crate::tenant::SchemaName;

/// How soon a session counts as one that works for long, and how often it is looked at then. Shorter
/// than any sensible `lock_timeout`, so that the one in the way is seen while it is there.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a look may take: longer means that the server does not answer.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// How many looks in a row must find the session gone before its answer is given up. Between the end
/// of a transaction and our reading of the answer there may be one.
const LOOKS_UNTIL_LOST: u32 = 10;

/// How many looks may pass until a message has reached the server, and how much of one each more look
/// is for: a large file over a slow line takes its time.
const LOOKS_UNTIL_NEVER: usize = 120;
const BYTES_A_LOOK: usize = 32 * 1024;

/// What was seen of one session that works for a tenant.
pub(super) struct Watch<'a> {
    pool: &'a Pool,
    schema: &'a SchemaName,
    /// Stands in the text of the message that the session works on.
    mark: Mark,
    /// How many bytes the message has.
    size: usize,
    blocker: Mutex<Option<String>>,
}

impl<'a> Watch<'a> {
    /// Of the session that holds this tenant's lock, or works on a message with a mark of its own.
    pub(super) fn new(pool: &'a Pool, schema: &'a SchemaName, mark: Mark, size: usize) -> Self {
        Self {
            pool,
            schema,
            mark,
            size,
            blocker: Mutex::new(None),
        }
    }

    /// Who was last seen in the session's way.
    pub(super) fn blocker(&self) -> Option<String> {
        self.blocker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Looks again and again, and tells of indexes. Ends only when the server has long been done
    /// with the session and no answer has come: then none will.
    pub(super) async fn until_lost(&self, tell: impl Fn(Progress)) {
        let mut done = 0;
        let mut unseen = 0;
        let mut seen = false;
        while done < LOOKS_UNTIL_LOST && unseen < LOOKS_UNTIL_NEVER + self.size / BYTES_A_LOOK {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.look(&tell).await {
                Look::AtWork => (seen, done) = (true, 0),
                Look::Done => done += 1,
                Look::Gone if seen => done += 1,
                // the message may still be on its way
                Look::Gone => unseen += 1,
                Look::Unknown => {}
            }
        }
    }

    async fn look(&self, tell: impl Fn(Progress)) -> Look {
        let timeouts = Timeouts {
            wait: Some(LOOK_EVERY),
            ..self.pool.timeouts()
        };
        // workers come first: where all connections are busy nobody looks
        let getting = tokio::time::timeout(LOOK_TIMEOUT, self.pool.timeout_get(&timeouts));
        let Ok(Ok(client)) = getting.await else {
            return Look::Unknown;
        };
        let looking = look(&client, self.schema, &self.mark);
        let looked = match tokio::time::timeout(LOOK_TIMEOUT, looking).await {
            Ok(looked) => Ok(looked.ok()),
            Err(late) => {
                // its answer may still come, and must not be somebody else's
                pg::discard(client);
                Err(late)
            }
        };
        match looked {
            Ok(Some(None)) => Look::Gone,
            Ok(Some(Some(row))) if row.get::<_, Option<&str>>(3) == Some("idle") => {
                if row.get::<_, Option<bool>>(4) == Some(true) {
                    Look::Done
                } else {
                    Look::Gone
                }
            }
            Ok(Some(Some(row))) => {
                let blocker: Option<String> = row.get(0);
                if let Some(blocker) = &blocker {
                    let mut last = self.blocker.lock().unwrap_or_else(PoisonError::into_inner);
                    *last = Some(blocker.clone());
                }
                if let Some(progress) = index_build(&row, blocker) {
                    tell(progress);
                }
                Look::AtWork
            }
            Ok(None) | Err(_) => Look::Unknown,
        }
    }
}

/// What tells a message from others in `pg_stat_activity`.
pub(super) enum Mark {
    /// No other session has it: it tells the session too.
    Own(String),
    /// Other tenants' sessions may have it: the lock tells the session, and the mark that it has the message.
    Shared(String),
}

/// What one look has shown.
enum Look {
    /// The session works.
    AtWork,
    /// It has had the message, and does nothing any more.
    Done,
    /// There is no such session, or it has not had the message.
    Gone,
    /// It could not be seen.
    Unknown,
}

async fn look(
    client: &Client,
    schema: &SchemaName,
    mark: &Mark,
) -> Result<Option<Row>, tokio_postgres::Error> {
    let query = format!(
        "SELECT b.words, p.phase, \
           CASE WHEN p.phase LIKE 'waiting for%' AND p.lockers_total > 0 THEN p.lockers_done * 100 / p.lockers_total \
                WHEN p.tuples_total > 0 THEN p.tuples_done * 100 / p.tuples_total \
                WHEN p.blocks_total > 0 THEN p.blocks_done * 100 / p.blocks_total END, s.state, \
           $1 <> '' AND strpos(s.query, $1) > 0 \
         FROM pg_catalog.pg_stat_activity s \
         LEFT JOIN pg_catalog.pg_stat_progress_create_index p ON p.pid = s.pid \
         LEFT JOIN LATERAL (SELECT {} AS words FROM unnest(pg_catalog.pg_blocking_pids(s.pid)) u(pid) \
           JOIN pg_catalog.pg_stat_activity a ON a.pid = u.pid ORDER BY a.xact_start LIMIT 1) b ON true \
         WHERE s.pid <> pg_catalog.pg_backend_pid() AND s.datname = pg_catalog.current_database() \
           AND (($2 AND strpos(s.query, $1) > 0) OR EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.pid = s.pid AND {})) \
         LIMIT 1",
        lock::SESSION_IN_WORDS,
        lock::is_held(schema)
    );
    let (text, is_own) = match mark {
        Mark::Own(text) => (text, true),
        Mark::Shared(text) => (text, false),
    };
    client.query_opt(&query, &[text, &is_own]).await
}

fn index_build(row: &Row, waits_for: Option<String>) -> Option<Progress> {
    let phase: String = row.get::<_, Option<String>>(1)?;
    Some(Progress::IndexBuild {
        phase,
        percent: row
            .get::<_, Option<i64>>(2)
            .and_then(|percent| u8::try_from(percent).ok()),
        waits_for,
    })
}

/// Says who stands in the way, as far as it can still be seen afterwards: holders of the tenant's
/// lock, or of locks on the tenant's relations.
pub(super) async fn blocker_afterwards(client: &Client, schema: &SchemaName) -> Option<String> {
    let query = format!(
        "SELECT {} FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
         LEFT JOIN pg_catalog.pg_class c ON l.locktype = 'relation' AND c.oid = l.relation \
           AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $1) \
         WHERE l.granted AND l.pid <> pg_catalog.pg_backend_pid() \
           AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) \
           AND (c.oid IS NOT NULL OR ({})) \
         ORDER BY a.xact_start LIMIT 1",
        lock::SESSION_IN_WORDS,
        lock::is_held(schema)
    );
    let row = client.query_opt(&query, &[&schema.as_str()]).await;
    row.ok()??.get(0)
}
