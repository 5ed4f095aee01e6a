//! The lease: one run at a time writes to a control schema. It is an advisory lock of the ledger's
//! own session, so that it ends with the process, at once and whatever ended it; the row in `runs`
//! only says who holds it.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip::SipHasher13;
use tokio::time::Instant;
use tokio_postgres::Client;

use super::LedgerError;
use super::control::Control;

/// How long to ask again before somebody else's lease is taken for a living run's: the session of a
/// killed process ends when its server notices, which takes a second where a statement runs.
const LEASE_PATIENCE: Duration = Duration::from_secs(3);
const LEASE_POLL: Duration = Duration::from_millis(50);

/// The right to open a run, for as long as the connection lives.
pub struct Lease {
    pub(super) control: Control,
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

    /// Takes the lease.
    ///
    /// # Errors
    /// [`LedgerError::LeaseHeld`] with who holds it.
    pub async fn acquire(self) -> Result<Lease, LedgerError> {
        let patience_ends = Instant::now() + LEASE_PATIENCE;
        while !self.try_acquire().await? {
            if Instant::now() >= patience_ends {
                return Err(LedgerError::LeaseHeld(self.lease_holder().await?));
            }
            tokio::time::sleep(LEASE_POLL).await;
        }
        Ok(Lease { control: self })
    }

    async fn try_acquire(&self) -> Result<bool, LedgerError> {
        let taken = self
            .client()
            .query_one(
                "SELECT pg_catalog.pg_try_advisory_lock($1)",
                &[&self.lease_key()],
            )
            .await
            .map_err(LedgerError::query("take the lease"))?;
        Ok(taken.get(0))
    }

    /// Who holds the lease, in words.
    async fn lease_holder(&self) -> Result<String, LedgerError> {
        let run = self
            .client()
            .query_opt(
                "SELECT format('run %s (%s, started by %s %s ago, last heard of %s ago)', id, command, started_by, \
                   date_trunc('second', clock_timestamp() - started_at), \
                   date_trunc('second', clock_timestamp() - heartbeat_at)) \
                 FROM runs WHERE finished_at IS NULL ORDER BY started_at DESC LIMIT 1",
                &[],
            )
            .await
            .map_err(LedgerError::query("look up who holds the lease"))?;
        Ok(run.map_or_else(
            || "a run that is still being planned".to_owned(),
            |row| row.get(0),
        ))
    }
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
