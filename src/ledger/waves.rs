//! The waves of a run in the ledger: what holds for each, where it is, and who has approved of it.

use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::control::Control;
use super::queries::tenant_id;
use super::rows::{Parameter, json};
use super::{LedgerError, WaveRecord};
use crate::run::{Approval, RunId, WaveNumber, WaveState, WaveTerms};
use crate::tenant::TenantId;

/// A wave of a run to be opened.
#[derive(Clone, Debug)]
pub struct NewRunWave {
    /// Which, from 1.
    pub wave: WaveNumber,
    /// What holds for it.
    pub terms: WaveTerms,
    /// Where an earlier run has left it.
    pub state: WaveState,
    /// Who has approved of it already.
    pub approved_by: Option<String>,
}

/// Where a wave is by now.
#[derive(Clone, Debug)]
pub struct WaveEntry {
    /// Which.
    pub wave: WaveNumber,
    /// Where it is.
    pub state: WaveState,
    /// Why it has halted.
    pub reason: Option<String>,
    /// Who has approved of it.
    pub approved_by: Option<String>,
}

/// A wave that an earlier run has left, with all that were ever in it.
#[derive(Clone, Debug)]
pub struct LeftWave {
    /// What is recorded of it.
    pub record: WaveRecord,
    /// Its tenants: of the run, and of the runs that this one carried on.
    pub members: Vec<TenantId>,
}

#[derive(Serialize)]
struct NewRow<'a> {
    wave: WaveNumber,
    name: &'a str,
    terms: &'a WaveTerms,
    state: &'a str,
    approved_by: Option<&'a str>,
}

#[derive(Serialize)]
struct EntryRow<'a> {
    wave: WaveNumber,
    state: &'a str,
    reason: Option<&'a str>,
    approved_by: Option<&'a str>,
}

pub(super) async fn open_waves(
    tx: &Transaction<'_>,
    run: &RunId,
    waves: &[NewRunWave],
) -> Result<(), tokio_postgres::Error> {
    if waves.is_empty() {
        return Ok(());
    }
    let rows: Vec<NewRow> = waves
        .iter()
        .map(|new| NewRow {
            wave: new.wave,
            name: &new.terms.name,
            terms: &new.terms,
            state: new.state.as_str(),
            approved_by: new.approved_by.as_deref(),
        })
        .collect();
    let rows = json(&rows);
    let parameters: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&rows, Type::TEXT)];
    tx.client()
        .execute_typed(
            "INSERT INTO run_waves (run_id, wave, name, terms, state, approved_by, approved_at) \
             SELECT $1, wave, name, terms, state, approved_by, CASE WHEN approved_by IS NOT NULL THEN clock_timestamp() END \
             FROM jsonb_to_recordset($2::text::jsonb) \
               AS r(wave int, name text, terms jsonb, state text, approved_by text)",
            &parameters,
        )
        .await?;
    Ok(())
}

pub(super) async fn record_waves(
    tx: &Transaction<'_>,
    run: &RunId,
    waves: &[WaveEntry],
) -> Result<(), LedgerError> {
    if waves.is_empty() {
        return Ok(());
    }
    // of several changes of one wave the last one counts
    let is_last = |index: usize| {
        !waves[index + 1..]
            .iter()
            .any(|w| w.wave == waves[index].wave)
    };
    let rows: Vec<EntryRow> = waves
        .iter()
        .enumerate()
        .filter(|(index, _)| is_last(*index))
        .map(|(_, entry)| EntryRow {
            wave: entry.wave,
            state: entry.state.as_str(),
            reason: entry.reason.as_deref(),
            approved_by: entry.approved_by.as_deref(),
        })
        .collect();
    let rows = json(&rows);
    let parameters: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&rows, Type::TEXT)];
    tx.client()
        .execute_typed(
            "UPDATE run_waves w SET state = r.state, reason = r.reason, changed_at = clock_timestamp(), \
               approved_by = coalesce(w.approved_by, r.approved_by), \
               approved_at = CASE WHEN coalesce(w.approved_by, r.approved_by) IS NOT NULL \
                 THEN coalesce(w.approved_at, clock_timestamp()) END \
             FROM jsonb_to_recordset($2::text::jsonb) AS r(wave int, state text, reason text, approved_by text) \
             WHERE w.run_id = $1 AND w.wave = r.wave",
            &parameters,
        )
        .await
        .map_err(LedgerError::query("record where the waves are"))?;
    Ok(())
}

/// The approval that a wave waits for, once it is given.
pub(super) async fn approval(
    tx: &Transaction<'_>,
    run: &RunId,
    awaits: Option<WaveNumber>,
) -> Result<Option<Approval>, LedgerError> {
    let Some(wave) = awaits.and_then(|wave| i32::try_from(wave).ok()) else {
        return Ok(None);
    };
    let rows = tx
        .client()
        .query_typed(
            "SELECT approved_by FROM run_waves WHERE run_id = $1 AND wave = $2 AND approved_by IS NOT NULL",
            &[(&run.as_str(), Type::TEXT), (&wave, Type::INT4)],
        )
        .await
        .map_err(LedgerError::query("ask for an approval"))?;
    Ok(rows.first().map(|row| Approval { by: row.get(0) }))
}

impl Control {
    /// The waves of a run in order. A control schema of an older fleet has none.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn waves(&self, run: &RunId) -> Result<Vec<WaveRecord>, LedgerError> {
        let action = "read the run's waves";
        let there = self
            .client()
            .query_one(
                "SELECT pg_catalog.to_regclass('run_waves') IS NOT NULL",
                &[],
            )
            .await
            .map_err(LedgerError::query(action))?;
        if !there.get::<_, bool>(0) {
            return Ok(Vec::new());
        }
        let rows = self
            .client()
            .query(
                "SELECT w.wave, w.terms::text, w.state, w.reason, w.approved_by, \
                   to_char(w.approved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
                   (SELECT count(*) FROM run_tenants t WHERE t.run_id = w.run_id AND t.wave = w.wave), \
                   (SELECT count(*) FROM run_tenants t WHERE t.run_id = w.run_id AND t.wave = w.wave \
                      AND t.outcome IN ('succeeded', 'up_to_date')), \
                   (SELECT count(*) FROM run_tenants t WHERE t.run_id = w.run_id AND t.wave = w.wave \
                      AND t.outcome = 'failed') \
                 FROM run_waves w WHERE w.run_id = $1 ORDER BY w.wave",
                &[&run.as_str()],
            )
            .await
            .map_err(LedgerError::query(action))?;
        Ok(rows.iter().filter_map(wave_record).collect())
    }

    /// The waves of a run that is to be carried on.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn left_waves(&self, run: &RunId) -> Result<Vec<LeftWave>, LedgerError> {
        let records = self.waves(run).await?;
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .client()
            .query(
                "WITH RECURSIVE chain(id, before) AS ( \
                   SELECT id, coalesce(resumes, waves_of) FROM runs WHERE id = $1 \
                   UNION SELECT r.id, coalesce(r.resumes, r.waves_of) FROM runs r JOIN chain c ON r.id = c.before) \
                 SELECT DISTINCT t.database, t.schema, t.wave FROM run_tenants t JOIN chain c ON t.run_id = c.id \
                 WHERE t.wave IS NOT NULL ORDER BY 1, 2",
                &[&run.as_str()],
            )
            .await
            .map_err(LedgerError::query("read who is in the run's waves"))?;
        let members: Vec<(TenantId, WaveNumber)> = rows
            .iter()
            .filter_map(|row| Some((tenant_id(row, 0)?, number(row, 2)?)))
            .collect();
        let of = |wave: WaveNumber| {
            let of_wave = members.iter().filter(move |(_, of)| *of == wave);
            of_wave.map(|(tenant, _)| tenant.clone()).collect()
        };
        let left = records.into_iter().map(|record| LeftWave {
            members: of(record.wave),
            record,
        });
        Ok(left.collect())
    }

    /// Approves of the wave that a run waits for. Answers its name; None where the run waits for no approval.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub async fn approve(&self, run: &RunId, by: &str) -> Result<Option<String>, LedgerError> {
        let row = self
            .client()
            .query_opt(
                "UPDATE run_waves SET approved_by = $2, approved_at = clock_timestamp() \
                 WHERE run_id = $1 AND state = 'awaiting' AND approved_by IS NULL \
                   AND EXISTS (SELECT FROM runs WHERE id = $1 AND superseded_by IS NULL) RETURNING name",
                &[&run.as_str(), &by],
            )
            .await
            .map_err(LedgerError::query("approve"))?;
        Ok(row.map(|row| row.get(0)))
    }
}

fn number(row: &Row, column: usize) -> Option<WaveNumber> {
    WaveNumber::try_from(row.get::<_, i32>(column)).ok()
}

/// None for one of a later fleet.
fn wave_record(row: &Row) -> Option<WaveRecord> {
    let count = |column: usize| u64::try_from(row.get::<_, i64>(column)).unwrap_or(0);
    Some(WaveRecord {
        wave: number(row, 0)?,
        terms: serde_json::from_str(row.get(1)).ok()?,
        state: WaveState::parse(row.get(2))?,
        reason: row.get(3),
        approved_by: row.get(4),
        approved_at: row.get(5),
        tenants: count(6),
        succeeded: count(7),
        failed: count(8),
    })
}
