//! What has happened to a run beside its tenants: how many were worked on at a time, and why.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::control::Control;
use super::rows::json;
use super::{LedgerError, RunEventRecord};
use crate::run::{Measure, PaceChange, PaceReason, RunId, ThrottleReason, milliseconds};
use crate::tenant::DatabaseName;

/// One change, to be recorded.
#[derive(Clone, Debug)]
pub struct RunEvent {
    /// In which database.
    pub database: DatabaseName,
    /// What.
    pub change: PaceChange,
    /// When it was; the row has the time by the database's clock.
    pub at: Instant,
}

#[derive(Default, Serialize)]
struct EventRow<'a> {
    age_s: f64,
    database: &'a str,
    kind: &'a str,
    tenants: Option<usize>,
    reason: Option<&'a str>,
    value: Option<u64>,
    threshold: Option<u64>,
    behind_fleet: Option<u64>,
    lasted_ms: Option<u64>,
}

fn event_row(event: &RunEvent) -> EventRow<'_> {
    let row = EventRow {
        age_s: event.at.elapsed().as_secs_f64(),
        database: event.database.as_str(),
        kind: event.change.as_str(),
        ..EventRow::default()
    };
    match event.change {
        PaceChange::Throttled { tenants, reason } => EventRow {
            tenants: Some(tenants),
            reason: Some(reason.measure.as_str()),
            value: Some(reason.value),
            threshold: Some(reason.limit),
            behind_fleet: Some(reason.behind_fleet),
            ..row
        },
        PaceChange::Released { after } => EventRow {
            lasted_ms: Some(milliseconds(after)),
            ..row
        },
        PaceChange::Found { tenants, reason } => EventRow {
            tenants: Some(tenants),
            reason: Some(reason.as_str()),
            ..row
        },
    }
}

pub(super) async fn record_events(
    tx: &Transaction<'_>,
    run: &RunId,
    events: &[RunEvent],
) -> Result<(), LedgerError> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<EventRow> = events.iter().map(event_row).collect();
    tx.client().execute_typed(
        "INSERT INTO run_events (run_id, at, database, kind, tenants, reason, value, threshold, behind_fleet, lasted_ms) \
         SELECT $1, clock_timestamp() - make_interval(secs => age_s), database, kind, tenants, reason, value, threshold, \
           behind_fleet, lasted_ms \
         FROM ROWS FROM (jsonb_to_recordset($2::text::jsonb) AS (age_s float8, database text, kind text, tenants int, \
           reason text, value bigint, threshold bigint, behind_fleet bigint, lasted_ms bigint)) WITH ORDINALITY \
         ORDER BY ordinality",
        &[(&run.as_str(), Type::TEXT), (&json(&rows), Type::TEXT)],
    )
    .await
    .map_err(LedgerError::query("record how many tenants are worked on"))?;
    Ok(())
}

impl Control {
    /// What has happened to a run beside its tenants, in order. A control schema of an older fleet has nothing of it.
    pub(super) async fn events(&self, run: &RunId) -> Result<Vec<RunEventRecord>, LedgerError> {
        Ok(self.events_behind(run, 0).await?.0)
    }

    /// Those behind the one with this number, and the number of the last.
    pub(super) async fn events_behind(
        &self,
        run: &RunId,
        number: i64,
    ) -> Result<(Vec<RunEventRecord>, i64), LedgerError> {
        let action = "read the run's events";
        let there = self
            .client()
            .query_one(
                "SELECT pg_catalog.to_regclass('run_events') IS NOT NULL",
                &[],
            )
            .await
            .map_err(LedgerError::query(action))?;
        if !there.get::<_, bool>(0) {
            return Ok((Vec::new(), number));
        }
        let rows = self
            .client()
            .query(
                "SELECT to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), database, kind, tenants, reason, \
                   value, threshold, behind_fleet, lasted_ms, number \
                 FROM run_events WHERE run_id = $1 AND number > $2 ORDER BY number",
                &[&run.as_str(), &number],
            )
            .await
            .map_err(LedgerError::query(action))?;
        let last = rows.last().map_or(number, |row| row.get(9));
        Ok((rows.iter().filter_map(event).collect(), last))
    }
}

/// None for one of a later fleet.
fn event(row: &Row) -> Option<RunEventRecord> {
    let number = |column: usize| {
        let number = row.get::<_, Option<i64>>(column).unwrap_or_default();
        u64::try_from(number).unwrap_or(0)
    };
    let tenants = usize::try_from(row.get::<_, Option<i32>>(3).unwrap_or_default()).unwrap_or(0);
    let reason: &str = row.get::<_, Option<&str>>(4).unwrap_or_default();
    let change = match row.get(2) {
        "throttled" => PaceChange::Throttled {
            tenants,
            reason: ThrottleReason {
                measure: Measure::parse(reason)?,
                value: number(5),
                limit: number(6),
                behind_fleet: number(7),
            },
        },
        "released" => PaceChange::Released {
            after: Duration::from_millis(number(8)),
        },
        "concurrency" => PaceChange::Found {
            tenants,
            reason: PaceReason::parse(reason)?,
        },
        _ => return None,
    };
    Some(RunEventRecord {
        at: row.get(0),
        database: DatabaseName::new(row.get(1)),
        change,
    })
}
