//! The lease: one run at a time writes to a control schema. It is an advisory lock of the ledger's
//! own session, so that it ends with the process, at once and whatever ended it; the row in `runs`
//! says who holds it and when it was last heard of, by the database's clock. A holder that is silent for
//! longer than the lease lasts (a machine that was paused, a network that is cut) is taken for dead:
//! its session is ended, and whatever it writes later is refused.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::LedgerError;
use super::control::Control;

const LEASE_POLL: Duration = Duration::from_millis(50);

/// A run that is still being planned has no row and no heartbeat: it is taken for dead after such a
/// silence at the earliest.
const PLANNING_PATIENCE: Duration = Duration::from_mins(5);

/// How long a session that is told to end may take.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// The right to open a run, for as long as the connection lives.
pub struct Lease {
    pub(super) control: Control,
}

/// How long one waits for a lease, and how long one lasts.
#[derive(Clone, Copy, Debug)]
pub struct LeaseTerms {
    /// Silence after which a holder is taken for dead.
    pub lasts: Duration,
    /// How long to wait for somebody else's to end.
    pub wait: Duration,
}

/// Who holds the lease.
struct Holder {
    pid: i32,
    words: String,
    /// Since it was last heard of, by the database's clock.
    silent: Duration,
    /// How long its own lease lasts; None where it has no run yet.
    lasts: Option<Duration>,
}

impl Holder {
    /// Whether it has been silent for longer than one that lives would be.
    fn is_dead(&self, lasts: Duration) -> bool {
        let patience = match self.lasts {
            Some(own) => own,
            None => lasts.max(PLANNING_PATIENCE),
        };
        self.silent > patience
    }
}

impl Lease {
    /// The ledger, to be read under the lease.
    pub fn control(&self) -> &Control {
        &self.control
    }
}

impl Control {
    /// The key of the advisory lock.
    pub(super) fn lease_key(&self) -> i64 {
        let mut hasher = SipHasher13::new();
        hasher.write(b"fleet lease ");
        hasher.write(self.schema().as_str().as_bytes());
        hasher.finish().cast_signed()
    }

    /// Takes the lease, waiting for somebody else's to end. `tell` hears whom it waits for, and that a
    /// dead one was taken over.
    ///
    /// # Errors
    /// [`LedgerError::LeaseHeld`] with who holds it.
    pub async fn acquire(
        self,
        terms: LeaseTerms,
        tell: impl Fn(&str),
    ) -> Result<Lease, LedgerError> {
        let patience_ends = Instant::now() + terms.wait;
        let mut told = None;
        loop {
            // asked together, for one round trip: the second answer counts only where the first is yes
            let (taken, restarting) =
                tokio::join!(self.try_acquire(), self.restarting(terms.lasts));
            let holder = if taken? {
                let Some(restarting) = restarting? else {
                    return Ok(Lease { control: self });
                };
                self.release().await?;
                restarting
            } else {
                match self.holder().await? {
                    Some(holder)
                        if holder.is_dead(terms.lasts)
                            && self.end_session(&holder, &tell).await? =>
                    {
                        continue;
                    }
                    Some(holder) => holder.words,
                    // it has just ended
                    None => continue,
                }
            };
            if Instant::now() >= patience_ends {
                return Err(LedgerError::LeaseHeld(holder));
            }
            if told.is_none() {
                tell(&format!("waiting for {holder}"));
                told = Some(());
            }
            tokio::time::sleep(LEASE_POLL).await;
        }
    }

    /// Asks for the lease once.
    pub(super) async fn try_acquire(&self) -> Result<bool, LedgerError> {
        let taken = self
            .client()
            .query_typed_one(
                "SELECT pg_catalog.pg_try_advisory_lock($1)",
                &[(&self.lease_key(), Type::INT8)],
            )
            .await
            .map_err(LedgerError::query("take the lease"))?;
        Ok(taken.get(0))
    }

    async fn release(&self) -> Result<(), LedgerError> {
        self.client()
            .execute(
                "SELECT pg_catalog.pg_advisory_unlock($1)",
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("give the lease back"))?;
        Ok(())
    }

    /// Ends the session of a holder that is taken for dead: with it goes the lock. False where that
    /// cannot be done.
    async fn end_session(
        &self,
        holder: &Holder,
        tell: &impl Fn(&str),
    ) -> Result<bool, LedgerError> {
        let ended = self
            .client()
            .query_opt(
                &format!(
                    "SELECT pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks l WHERE {IS_LEASE} AND l.pid = $2"
                ),
                &[&self.lease_key(), &holder.pid],
            )
            .await;
        match ended {
            // another role's, which is not ours to end
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                return Ok(false);
            }
            ended => ended.map_err(LedgerError::query("end the session of a dead run"))?,
        };
        let deadline = Instant::now() + END_PATIENCE;
        while self
            .holder()
            .await?
            .is_some_and(|now| now.pid == holder.pid)
        {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            tokio::time::sleep(LEASE_POLL).await;
        }
        tell(&format!(
            "taking over: not a sign of life from {}",
            holder.words
        ));
        Ok(true)
    }

    /// Who holds the lease.
    async fn holder(&self) -> Result<Option<Holder>, LedgerError> {
        let row = self
            .client()
            .query_opt(
                &format!(
                    "SELECT l.pid, {RUN_IN_WORDS}, \
                       extract(epoch FROM clock_timestamp() - coalesce(r.heartbeat_at, a.state_change, clock_timestamp()))::float8, \
                       r.lease_seconds \
                     FROM pg_catalog.pg_locks l \
                     LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
                     LEFT JOIN runs r ON r.lease_backend = l.pid AND r.finished_at IS NULL \
                       AND r.heartbeat_at >= a.backend_start \
                     WHERE {IS_LEASE} \
                     ORDER BY r.started_at DESC LIMIT 1"
                ),
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("look up who holds the lease"))?;
        Ok(row.map(|row| Holder {
            pid: row.get(0),
            words: row
                .get::<_, Option<String>>(1)
                .unwrap_or_else(|| "a run that is still being planned".to_owned()),
            silent: Duration::try_from_secs_f64(row.get(2)).unwrap_or_default(),
            lasts: row
                .get::<_, Option<f64>>(3)
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
        }))
    }

    /// A run that may be alive though nobody holds its lock: the server has restarted or recovered since it
    /// was last heard of, and from then on it has as long as its lease lasts to come back.
    async fn restarting(&self, lasts: Duration) -> Result<Option<String>, LedgerError> {
        let row = self
            .client()
            .query_typed_opt(
                &format!(
                    // the checkpointer is started anew after a crash, which the postmaster outlives
                    "SELECT {RUN_IN_WORDS} FROM runs r CROSS JOIN (SELECT coalesce( \
                         (SELECT max(backend_start) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'checkpointer'), \
                         pg_catalog.pg_postmaster_start_time()) AS since) server \
                     WHERE finished_at IS NULL AND heartbeat_at < server.since \
                       AND server.since > clock_timestamp() - pg_catalog.make_interval(secs => coalesce(r.lease_seconds, $1)) \
                     LIMIT 1"
                ),
                &[(&lasts.as_secs_f64(), Type::FLOAT8)],
            )
            .await
            .map_err(LedgerError::query("look for a run that may come back"))?;
        Ok(row.map(|row| row.get(0)))
    }

    /// Takes the lease back for a run whose connection was lost. False where somebody else has it.
    pub(super) async fn take_back(&self) -> Result<bool, LedgerError> {
        if self.try_acquire().await? {
            return Ok(true);
        }
        // the server may not have noticed yet that the old session of this process is gone; its name is
        // nobody else's
        self.client()
            .execute(
                &format!(
                    "SELECT pg_catalog.pg_terminate_backend(l.pid) FROM pg_catalog.pg_locks l \
                 JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid \
                 WHERE {IS_LEASE} AND a.application_name = current_setting('application_name') AND a.pid <> pg_backend_pid()"
                ),
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("take the lease back"))?;
        Ok(false)
    }
}

/// In SQL: whether a row `l` of `pg_locks` is the lease whose key is `$1`, held.
pub(super) const IS_LEASE: &str = "l.granted AND l.locktype = 'advisory' AND l.objsubid = 1 \
    AND ((l.classid::int8 << 32) | l.objid::int8) = $1 \
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())";

/// In SQL: a row `r` of `runs`, in words; NULL where there is none.
const RUN_IN_WORDS: &str = "'run ' || r.id || ' (' || r.command || ', started by ' || r.started_by || ' ' \
    || date_trunc('second', clock_timestamp() - r.started_at) || ' ago, last heard of ' \
    || date_trunc('second', clock_timestamp() - r.heartbeat_at) || ' ago)'";

/// What the sessions of earlier runs are called. The lease must be held: then none of them is alive, and
/// one that is paused has lost its right to go on.
pub(super) async fn dead_sessions(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT sessions FROM runs WHERE sessions IS NOT NULL ORDER BY started_at DESC LIMIT 100",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Closes runs that are open though nobody holds the lease: their process died. The lease must be
/// held, so that no living run is meant.
pub(super) async fn close_dead_runs(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "UPDATE run_tenants t SET state = 'finished', \
               outcome = CASE t.state WHEN 'pending' THEN 'skipped' ELSE 'interrupted' END, \
               reason = 'the process of the run died' \
             FROM runs r WHERE r.id = t.run_id AND r.finished_at IS NULL AND t.state <> 'finished'; \
             UPDATE runs SET finished_at = heartbeat_at, outcome = 'interrupted' WHERE finished_at IS NULL",
        )
        .await
}
