//! Following a run that another process executes: a look now and then, which reads no more than what is new.

use std::time::Duration;

use super::control::Control;
use super::queries::{ATTEMPTS, RUNS, attempt, run_record, tenant_id};
use super::{AttemptRecord, LedgerError, RunEventRecord, RunRecord, WaveRecord};
use crate::migration::Version;
use crate::run::{AttemptNumber, RunId};
use crate::tenant::TenantId;

/// How long a lease lasts that does not say so: a run of an older fleet.
const LEASE: f64 = 10.0;

/// Remembers what was seen of a run.
#[derive(Debug)]
pub struct Follower {
    run: RunId,
    writes: Option<i64>,
    /// When the last attempt that was seen has ended, as PostgreSQL writes it.
    ended_at: Option<String>,
    event: i64,
}

/// What a look has found.
#[derive(Debug)]
pub struct Look {
    /// The run as it is now.
    pub run: RunRecord,
    /// Since its process was last heard of.
    pub silent: Duration,
    /// Silence after which it is taken for dead.
    pub lease: Duration,
    /// What has happened since the last look; None where nothing was written.
    pub news: Option<News>,
}

/// What has happened between two looks.
#[derive(Debug)]
pub struct News {
    /// Tenants that are worked on, or about to be, by name.
    pub at_work: Vec<(TenantId, AttemptNumber)>,
    /// Attempts that have ended, in that order. The first look has only those by which a tenant has failed.
    pub ended: Vec<EndedAttempt>,
    /// What else has happened.
    pub events: Vec<RunEventRecord>,
    /// Where its waves are by now; none for a run without.
    pub waves: Vec<WaveRecord>,
}

/// An attempt that has ended.
#[derive(Debug)]
pub struct EndedAttempt {
    /// The attempt.
    pub attempt: AttemptRecord,
    /// Whether the tenant is done with, and has no other attempt to come.
    pub is_last: bool,
    /// The tenant's version before the run.
    pub from: Option<Version>,
    /// Its version now.
    pub to: Option<Version>,
}

impl Follower {
    /// Nothing of the run was seen yet.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            writes: None,
            ended_at: None,
            event: 0,
        }
    }
}

impl Control {
    /// The run that was opened last and is not closed.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn open_run(&self) -> Result<Option<RunRecord>, LedgerError> {
        let row = self
            .client()
            .query_opt(
                &format!("{RUNS} WHERE r.finished_at IS NULL ORDER BY r.started_at DESC LIMIT 1"),
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("look for a run"))?;
        Ok(row.as_ref().map(run_record))
    }

    /// Looks at a run. What is new is read only where the run has written something.
    ///
    /// # Errors
    /// Where the ledger cannot be read, or the run is gone.
    pub async fn look(&self, follower: &mut Follower) -> Result<Look, LedgerError> {
        let run = follower.run.as_str();
        let row = self
            .client()
            .query_opt(
                // the columns of a later fleet's schema are not there in an older one
                &format!(
                    "SELECT q.*, (to_jsonb(w) ->> 'writes')::int8 AS writes, \
                       extract(epoch FROM clock_timestamp() - w.heartbeat_at)::float8 AS silent_s, \
                       coalesce((to_jsonb(w) ->> 'lease_seconds')::float8, {LEASE}::float8) AS lease_s \
                     FROM ({RUNS} WHERE r.id = $2) q JOIN runs w ON w.id = $2"
                ),
                &[&self.lease_key(), &run],
            )
            .await
            .map_err(LedgerError::query("look at the run"))?;
        let row = row.ok_or_else(|| LedgerError::NoSuchRun(run.to_owned()))?;
        let record = run_record(&row);
        let writes: Option<i64> = row.get("writes");
        let seconds =
            |column: &str| Duration::try_from_secs_f64(row.get(column)).unwrap_or_default();
        let is_new = writes.is_none() || writes != follower.writes || record.finished_at.is_some();
        let news = if is_new {
            Some(self.news(follower).await?)
        } else {
            None
        };
        follower.writes = writes;
        Ok(Look {
            run: record,
            silent: seconds("silent_s"),
            lease: seconds("lease_s"),
            news,
        })
    }

    async fn news(&self, follower: &mut Follower) -> Result<News, LedgerError> {
        let (at_work, ended, events, waves) = tokio::try_join!(
            self.at_work(&follower.run),
            self.ended(&follower.run, follower.ended_at.as_deref()),
            self.events_behind(&follower.run, follower.event),
            self.waves(&follower.run)
        )?;
        let (ended, last) = ended;
        let seen = last.or_else(|| follower.ended_at.take());
        follower.ended_at = seen.or_else(|| Some("-infinity".to_owned()));
        let (events, number) = events;
        follower.event = number;
        Ok(News {
            at_work,
            ended,
            events,
            waves,
        })
    }

    async fn at_work(&self, run: &RunId) -> Result<Vec<(TenantId, AttemptNumber)>, LedgerError> {
        let rows = self
            .client()
            .query(
                "SELECT database, schema, attempts FROM run_tenants \
                 WHERE run_id = $1 AND state = 'claimed' ORDER BY database, schema",
                &[&run.as_str()],
            )
            .await
            .map_err(LedgerError::query("read who is worked on"))?;
        let number = |attempts: i32| AttemptNumber::try_from(attempts).unwrap_or(0);
        Ok(rows
            .iter()
            .filter_map(|row| Some((tenant_id(row, 0)?, number(row.get(2)))))
            .collect())
    }

    /// The attempts that have ended since, and when the last of them has.
    async fn ended(
        &self,
        run: &RunId,
        since: Option<&str>,
    ) -> Result<(Vec<EndedAttempt>, Option<String>), LedgerError> {
        let is_first = since.is_none();
        let rows = self
            .client()
            .query(
                &format!(
                    "SELECT {ATTEMPTS}, t.state = 'finished' AND t.attempts <= a.attempt AS is_last, \
                       t.from_version, t.to_version, a.ended_at::text AS ended \
                     FROM attempts a JOIN run_tenants t USING (run_id, database, schema) \
                     WHERE a.run_id = $1 AND a.ended_at > $2::text::timestamptz \
                     ORDER BY a.ended_at"
                ),
                &[&run.as_str(), &since.unwrap_or("-infinity")],
            )
            .await
            .map_err(LedgerError::query("read the run's attempts"))?;
        let last = rows.last().map(|row| row.get("ended"));
        let ended = rows.iter().filter_map(|row| {
            Some(EndedAttempt {
                attempt: attempt(row)?,
                is_last: row.get("is_last"),
                from: row.get("from_version"),
                to: row.get("to_version"),
            })
        });
        let failed = |ended: &EndedAttempt| ended.is_last && ended.attempt.failure.is_some();
        let shown = ended.filter(|ended| !is_first || failed(ended));
        Ok((shown.collect(), last))
    }
}
