//! Writing one run: opened under the lease, written in groups, closed at the end. Every write is a
//! compare-and-set on (run, lease token) and on the tenant's state and attempt.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::acts::{NewAct, record_act};
use super::events::record_events;
use super::lease::{self, Lease};
use super::reversals::record_reversals;
use super::rows::{
    Parameter, TenantRow, catch_up, json, record_claims, record_closing, record_ended, tenant_row,
};
use super::waves::{NewRunWave, approval, open_waves, record_waves};
use super::{Closing, Entries, LastSeen, Ledger, LedgerError, Past, past};
use crate::crash;
use crate::migration::Version;
use crate::run::{Approval, Outcome, RunId, WaveNumber};
use crate::tenant::TenantId;

/// A run to be opened.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// `migrate`, `resume`, or the word of an act.
    pub command: &'static str,
    /// What makes it an act.
    pub act: Option<NewAct>,
    /// The run that it carries on.
    pub resumes: Option<RunId>,
    /// Of which runs nothing is left to resume once this one is open.
    pub takes_over: TakeOver,
    /// The version to reach.
    pub target: Option<Version>,
    /// The migration set's fingerprint.
    pub set_fingerprint: String,
    /// The selection as it was typed, None for the whole fleet.
    pub selection: Option<String>,
    /// User, host, process id.
    pub started_by: String,
    /// What its sessions are called in `pg_stat_activity`.
    pub sessions: String,
    /// Silence after which it is to be taken for dead.
    pub lease: Duration,
    /// Tenants that have nothing to do.
    pub up_to_date: u64,
    /// Of the others those that are held.
    pub held: u64,
    /// The others.
    pub tenants: Vec<NewRunTenant>,
    /// Its waves; none where all tenants go together.
    pub waves: Vec<NewRunWave>,
    /// The earlier run whose waves it goes on with, without carrying that run on.
    pub waves_of: Option<RunId>,
    /// What somebody says has changed since the run that it carries on was halted.
    pub what_changed: Option<String>,
    /// What the histories say, which the ledger takes over: an earlier run may have died before it could
    /// write down what it had done.
    pub seen: Vec<(TenantId, LastSeen)>,
}

/// Of which earlier runs a new one does all that they left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakeOver {
    /// Of every one: it is about the whole fleet.
    Every,
    /// Of the one that it carries on: all that was left is in it.
    Resumed,
    /// Of none: some of what was left is not in it.
    None,
}

/// A tenant of a run to be opened.
#[derive(Clone, Debug)]
pub struct NewRunTenant {
    /// Which tenant.
    pub tenant: TenantId,
    /// Its version.
    pub from: Option<Version>,
    /// Its outcome and why, where planning has settled it already.
    pub settled: Option<(Outcome, String)>,
    /// Its wave, where there are any.
    pub wave: Option<WaveNumber>,
    /// How it differs from the others already, where that was asked and it does.
    pub odd: Option<Value>,
}

/// A run that was opened.
pub struct Opened {
    /// Which run.
    pub run: RunId,
    /// Its ledger.
    pub ledger: PgLedger,
    /// What the sessions of earlier runs are called that died open: one that is idle is nobody's.
    pub dead_sessions: Vec<String>,
    /// How long its tenants took last time, as far as that is known.
    pub pasts: HashMap<TenantId, Past>,
}

/// The ledger of one open run in PostgreSQL.
pub struct PgLedger {
    lease: Lease,
    run: RunId,
    token: String,
    /// How many writes are known to be committed.
    writes: i64,
    patience: Patience,
}

/// How long to try to reach the control database again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After each loss.
    pub reconnect: Duration,
    /// No longer than that, whenever it was lost: the run's deadline.
    pub until: Option<Instant>,
}

/// What a write is given though the run is late.
const LATE: Duration = Duration::from_secs(3);

impl Patience {
    /// When a write that begins now is given up.
    fn ends(self) -> Instant {
        let now = Instant::now();
        let ends = now + self.reconnect;
        self.until
            .map_or(ends, |until| ends.min(until.max(now + LATE)))
    }

    /// How long a server that took a write may say nothing.
    fn for_one(self) -> Duration {
        let late = self.until.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            left.max(LATE)
        });
        late.map_or(WRITE_TIMEOUT, |late| late.min(WRITE_TIMEOUT))
    }
}

impl Lease {
    /// Opens a run. Runs that died open are closed as interrupted.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub async fn open(mut self, new: &NewRun, patience: Patience) -> Result<Opened, LedgerError> {
        let action = "open the run";
        let tx = self
            .control
            .client_mut()
            .transaction()
            .await
            .map_err(LedgerError::query(action))?;
        let opened = open_in(&tx, new).await;
        let (run, token, dead_sessions) = opened.map_err(LedgerError::query(action))?;
        let filled = fill(&tx, &run, new).await;
        let pasts = filled.map_err(LedgerError::query(action))?;
        tx.commit().await.map_err(LedgerError::query(action))?;
        crash::point("K2");
        let ledger = PgLedger {
            lease: self,
            run: run.clone(),
            token,
            writes: 0,
            patience,
        };
        Ok(Opened {
            run,
            ledger,
            dead_sessions,
            pasts,
        })
    }
}

/// Answers the run, its token, and what the sessions of earlier runs are called. One round trip.
async fn open_in(
    tx: &Transaction<'_>,
    new: &NewRun,
) -> Result<(RunId, String, Vec<String>), tokio_postgres::Error> {
    let resumes = new.resumes.as_ref().map(RunId::as_str);
    let waves_of = new.waves_of.as_ref().map(RunId::as_str);
    let up_to_date = i64::try_from(new.up_to_date).unwrap_or(i64::MAX);
    let held = i64::try_from(new.held).unwrap_or(i64::MAX);
    let lease_seconds = new.lease.as_secs_f64();
    let parameters: [Parameter; 13] = [
        (&new.command, Type::TEXT),
        (&resumes, Type::TEXT),
        (&new.target, Type::INT8),
        (&new.set_fingerprint, Type::TEXT),
        (&new.selection, Type::TEXT),
        (&new.started_by, Type::TEXT),
        (&env!("CARGO_PKG_VERSION"), Type::TEXT),
        (&up_to_date, Type::INT8),
        (&new.sessions, Type::TEXT),
        (&lease_seconds, Type::FLOAT8),
        (&new.what_changed, Type::TEXT),
        (&waves_of, Type::TEXT),
        (&held, Type::INT8),
    ];
    let opening = tx
        .client()
        .query_typed_one(
            "INSERT INTO runs (id, command, resumes, target, set_fingerprint, selection, started_by, \
               fleet_version, lease_token, lease_backend, up_to_date, sessions, lease_seconds, what_changed, waves_of, held) \
             SELECT c.id, \
               $1, $2, $3, $4, $5, $6, $7, md5(random()::text || clock_timestamp() || $6), pg_backend_pid(), $8, $9, $10, $11, $12, $13 \
             FROM (SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD-HH24MISS-') \
                 || substr(md5(random()::text || n), 1, 4) AS id FROM generate_series(1, 16) n) c \
             WHERE NOT EXISTS (SELECT FROM runs r WHERE r.id = c.id) LIMIT 1 \
             RETURNING id, lease_token",
            &parameters,
        );
    let (dead_sessions, closed, opened) = tokio::join!(
        lease::dead_sessions(tx.client()),
        lease::close_dead_runs(tx.client()),
        opening
    );
    let dead_sessions = dead_sessions?;
    closed?;
    let opened = opened?;
    Ok((RunId::new(opened.get(0)), opened.get(1), dead_sessions))
}

/// Writes down who is in the run and what is known of them, and answers how long they took last time. One
/// round trip.
async fn fill(
    tx: &Transaction<'_>,
    run: &RunId,
    new: &NewRun,
) -> Result<HashMap<TenantId, Past>, tokio_postgres::Error> {
    let rows: Vec<TenantRow> = new.tenants.iter().map(tenant_row).collect();
    let rows = json(&rows);
    let run_tenants: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&rows, Type::TEXT)];
    let tenants = tx.client().execute_typed(
        "INSERT INTO run_tenants (run_id, database, schema, state, outcome, from_version, to_version, reason, wave, odd) \
         SELECT $1, database, schema, state, outcome, from_version, from_version, reason, wave, odd \
         FROM jsonb_to_recordset($2::text::jsonb) \
           AS r(database text, schema text, state text, outcome text, from_version bigint, reason text, wave int, odd jsonb)",
        &run_tenants,
    );
    let has_pending = new.tenants.iter().any(|tenant| tenant.settled.is_none());
    let pasts = async {
        if has_pending {
            past::of_run(tx, run.as_str()).await
        } else {
            Ok(HashMap::new())
        }
    };
    let (tenants, waves, caught_up, superseded, pasts, acted) = tokio::join!(
        tenants,
        open_waves(tx, run, &new.waves),
        catch_up(tx, &new.seen),
        supersede(tx, run, new),
        pasts,
        record_act(tx, run, new)
    );
    tenants?;
    waves?;
    acted?;
    caught_up?;
    superseded?;
    pasts
}

/// Of earlier runs whose tenants are all in this one, nothing is left to resume.
async fn supersede(
    tx: &Transaction<'_>,
    run: &RunId,
    new: &NewRun,
) -> Result<(), tokio_postgres::Error> {
    let superseded = match new.takes_over {
        TakeOver::Every => Some("outcome <> 'succeeded' AND id <> $1 AND $2::text IS NULL"),
        TakeOver::Resumed => Some("id = $2"),
        TakeOver::None => None,
    };
    if let Some(superseded) = superseded {
        let resumes = new.resumes.as_ref().map(RunId::as_str);
        let update = format!(
            "UPDATE runs SET superseded_by = $1 WHERE superseded_by IS NULL AND {superseded}"
        );
        let parameters: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&resumes, Type::TEXT)];
        tx.client().execute_typed(&update, &parameters).await?;
    }
    Ok(())
}

/// How soon the control database is asked again after a connection was lost, at first and at last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// How long a write may take: longer than its statements may wait and run, else the server is not there.
const WRITE_TIMEOUT: Duration = Duration::from_secs(75);

/// A few rows are found by their keys. Without statistics, which a run that was just opened has none of, the
/// planner would go through all of its tenants for each write.
const BY_KEY: &str = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off";

/// One write, as it must be made again where its connection is lost before it is known to be committed.
enum Write<'a> {
    Entries(&'a Entries),
    Closing(&'a Closing),
}

impl PgLedger {
    /// Makes a write, through as many lost connections as it takes. A write whose answer was lost is
    /// never made twice: the run counts its writes, in the same transactions.
    async fn write(&mut self, write: Write<'_>) -> Result<Option<Approval>, LedgerError> {
        let deadline = self.patience.ends();
        let mut pause = FIRST_PAUSE;
        let mut is_connected = true;
        let answer = loop {
            if is_connected {
                let writing = tokio::time::timeout(self.patience.for_one(), self.try_write(&write));
                let written = match writing.await {
                    Ok(written) => written,
                    // whoever goes on has another connection: the answer of this one is nobody's any more
                    Err(_) if Instant::now() < deadline => {
                        is_connected = false;
                        continue;
                    }
                    Err(_) => return Err(LedgerError::NoAnswer),
                };
                match written {
                    Ok(answer) => break answer,
                    Err(error) if error.is_transient() && Instant::now() < deadline => {
                        is_connected = !error.is_connection_lost();
                    }
                    Err(error) => return Err(error),
                }
            }
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            if is_connected {
                continue;
            }
            match self.come_back().await {
                // its answer is lost; it is asked again with the next write
                Ok(Some(writes)) if writes > self.writes => break None,
                Ok(None) if Instant::now() >= deadline => {
                    return Err(LedgerError::LeaseLost(self.run.to_string()));
                }
                Ok(ours) => is_connected = ours.is_some(),
                Err(error) if error.is_transient() && Instant::now() < deadline => {}
                Err(error) => return Err(error),
            }
        };
        self.writes += 1;
        Ok(answer)
    }

    /// Connects again and takes the lease back. Answers how many writes are committed; None where the
    /// lease is not ours yet.
    async fn come_back(&mut self) -> Result<Option<i64>, LedgerError> {
        self.lease.control.reconnect().await?;
        let lost = || LedgerError::LeaseLost(self.run.to_string());
        let action = LedgerError::query("come back to the run");
        let client = self.lease.control.client();
        // closed by somebody else, or by the write whose answer was lost
        let row = client
            .query_opt(
                "SELECT writes FROM runs WHERE id = $1 AND lease_token = $2 AND (finished_at IS NULL OR writes > $3)",
                &[&self.run.as_str(), &self.token, &self.writes],
            )
            .await
            .map_err(&action)?;
        let writes: i64 = row.ok_or_else(lost)?.get(0);
        if !self.lease.control.take_back().await? {
            return Ok(None);
        }
        let ours = client
            .execute(
                "UPDATE runs SET heartbeat_at = clock_timestamp(), lease_backend = pg_backend_pid() \
                 WHERE id = $1 AND lease_token = $2 AND writes = $3",
                &[&self.run.as_str(), &self.token, &writes],
            )
            .await
            .map_err(&action)?;
        if ours == 1 {
            Ok(Some(writes))
        } else {
            Err(lost())
        }
    }

    async fn try_write(&mut self, write: &Write<'_>) -> Result<Option<Approval>, LedgerError> {
        let (run, writes) = (self.run.clone(), self.writes);
        let action = match write {
            Write::Entries(_) => "record attempts",
            Write::Closing(_) => "close the run",
        };
        let tx = self
            .lease
            .control
            .client_mut()
            .transaction()
            .await
            .map_err(LedgerError::query(action))?;
        // sent together, for one round trip; what the first of them says counts first
        let fenced = fence(&tx, &run, &self.token, writes);
        let by_key = tx.batch_execute(BY_KEY);
        let approved = match write {
            Write::Entries(entries) => {
                let (by_key, fenced, ended, reversed, claimed, happened, waves, approved) = tokio::join!(
                    by_key,
                    fenced,
                    record_ended(&tx, &run, &entries.ended),
                    record_reversals(&tx, &run, &entries.reversals),
                    record_claims(&tx, &run, &entries.claims),
                    record_events(&tx, &run, &entries.events),
                    record_waves(&tx, &run, &entries.waves),
                    approval(&tx, &run, entries.awaits)
                );
                by_key.map_err(LedgerError::query(action))?;
                fenced.and(ended).and(reversed).and(claimed)?;
                happened.and(waves)?;
                approved?
            }
            Write::Closing(closing) => {
                let (by_key, fenced, happened, waves, closed) = tokio::join!(
                    by_key,
                    fenced,
                    record_events(&tx, &run, &closing.events),
                    record_waves(&tx, &run, &closing.waves),
                    record_closing(&tx, &run, closing)
                );
                by_key.map_err(LedgerError::query(action))?;
                let closed = closed.map_err(LedgerError::query(action));
                fenced.and(happened).and(waves).and(closed)?;
                None
            }
        };
        tx.commit().await.map_err(LedgerError::query(action))?;
        crash::point("K9");
        Ok(approved)
    }
}

impl Ledger for PgLedger {
    async fn record(&mut self, entries: &Entries) -> Result<Option<Approval>, LedgerError> {
        self.write(Write::Entries(entries)).await
    }

    async fn close(&mut self, closing: &Closing) -> Result<(), LedgerError> {
        self.write(Write::Closing(closing)).await.map(drop)
    }
}

/// The heartbeat, the proof that the run is still ours, and the count of this write.
async fn fence(
    tx: &Transaction<'_>,
    run: &RunId,
    token: &str,
    writes: i64,
) -> Result<(), LedgerError> {
    let ours = tx
        .client()
        .execute_typed(
            "UPDATE runs SET heartbeat_at = clock_timestamp(), writes = $3 + 1 \
             WHERE id = $1 AND lease_token = $2 AND finished_at IS NULL AND writes = $3",
            &[
                (&run.as_str(), Type::TEXT),
                (&token, Type::TEXT),
                (&writes, Type::INT8),
            ],
        )
        .await
        .map_err(LedgerError::query("renew the lease"))?;
    if ours == 1 {
        Ok(())
    } else {
        Err(LedgerError::LeaseLost(run.to_string()))
    }
}
