//! What is written of a run, as rows: one statement for all of them.

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};

use super::run::NewRunTenant;
use super::{AfterAttempt, AttemptEnd, Claim, Closing, LastSeen, LedgerError};
use crate::migration::Version;
use crate::run::{Halt, RunId, WaveNumber, milliseconds};
use crate::tenant::TenantId;

#[derive(Serialize)]
pub(super) struct TenantRow<'a> {
    database: &'a str,
    schema: &'a str,
    state: &'a str,
    outcome: Option<&'a str>,
    from_version: Option<Version>,
    reason: Option<&'a str>,
    wave: Option<WaveNumber>,
    odd: Option<&'a Value>,
}

#[derive(Serialize)]
struct ClaimRow<'a> {
    database: &'a str,
    schema: &'a str,
    attempt: u32,
}

#[derive(Serialize)]
pub(super) struct EndRow<'a> {
    database: &'a str,
    schema: &'a str,
    attempt: u32,
    state: &'a str,
    outcome: &'a str,
    run_outcome: Option<&'a str>,
    version: Option<Version>,
    duration_ms: u64,
    last_duration_ms: Option<u64>,
    last_migrations: Option<u32>,
    reason: Option<&'a str>,
    applied: &'a [String],
    migration: Option<&'a str>,
    statement: Option<u32>,
    line: Option<u32>,
    line_column: Option<u32>,
    sqlstate: Option<&'a str>,
    class: Option<&'a str>,
    message: Option<&'a str>,
    detail: Option<&'a str>,
    hint: Option<&'a str>,
    context: Option<&'a str>,
    blocked_by: Option<&'a str>,
    notes: &'a [String],
}

pub(super) const END_COLUMNS: &str = "database text, schema text, attempt int, state text, outcome text, \
    run_outcome text, version bigint, duration_ms bigint, last_duration_ms bigint, last_migrations int, reason text, applied text[], migration text, \
    statement int, line int, line_column int, sqlstate text, class text, message text, detail text, hint text, context text, blocked_by text, notes text[]";

/// A parameter with its type, which spares a round trip to ask for it.
pub(super) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

pub(super) fn tenant_row(new: &NewRunTenant) -> TenantRow<'_> {
    let (state, outcome, reason) = match &new.settled {
        Some((outcome, reason)) => ("finished", Some(outcome.as_str()), Some(reason.as_str())),
        None => ("pending", None, None),
    };
    TenantRow {
        database: new.tenant.database.as_str(),
        schema: new.tenant.schema.as_str(),
        state,
        outcome,
        from_version: new.from,
        reason,
        wave: new.wave,
        odd: new.odd.as_ref(),
    }
}

pub(super) async fn record_closing(
    tx: &Transaction<'_>,
    run: &RunId,
    closing: &Closing,
) -> Result<(), tokio_postgres::Error> {
    let left: Vec<TenantRow> = closing
        .left
        .iter()
        .map(|left| TenantRow {
            database: left.tenant.database.as_str(),
            schema: left.tenant.schema.as_str(),
            state: "finished",
            outcome: Some(left.outcome.as_str()),
            from_version: left.version,
            reason: Some(&left.reason),
            wave: None,
            odd: None,
        })
        .collect();
    let left = json(&left);
    let of_left: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&left, Type::TEXT)];
    let left = tx.client().execute_typed(
        "UPDATE run_tenants t SET state = r.state, outcome = r.outcome, reason = r.reason, \
           to_version = coalesce(r.from_version, t.to_version) \
         FROM jsonb_to_recordset($2::text::jsonb) \
           AS r(database text, schema text, state text, outcome text, from_version bigint, reason text) \
         WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema AND t.state <> 'finished'",
        &of_left,
    );
    let exit_code = i16::from(closing.exit_code);
    let halted_by = closing.halt.as_ref().map(Halt::as_str);
    let halt_reason = closing.halt.as_ref().map(ToString::to_string);
    let of_run: [Parameter; 5] = [
        (&run.as_str(), Type::TEXT),
        (&closing.outcome.as_str(), Type::TEXT),
        (&exit_code, Type::INT2),
        (&halted_by, Type::TEXT),
        (&halt_reason, Type::TEXT),
    ];
    let closed = tx.client().execute_typed(
        "UPDATE runs SET finished_at = clock_timestamp(), outcome = $2, exit_code = $3, halted_by = $4, \
           halt_reason = $5 WHERE id = $1",
        &of_run,
    );
    let (left, closed) = tokio::join!(left, closed);
    left.and(closed).map(drop)
}

pub(super) async fn record_ended(
    tx: &Transaction<'_>,
    run: &RunId,
    ended: &[AttemptEnd],
) -> Result<(), LedgerError> {
    if ended.is_empty() {
        return Ok(());
    }
    let action = "record attempts";
    let rows = json(&ended.iter().map(end_row).collect::<Vec<_>>());
    let attempts = append_attempts();
    let run_tenants = format!(
        "UPDATE run_tenants t SET state = r.state, outcome = r.run_outcome, \
           to_version = coalesce(r.version, t.to_version), \
           duration_ms = t.duration_ms + r.duration_ms, reason = r.reason \
         FROM jsonb_to_recordset($2::text::jsonb) AS r({END_COLUMNS}) \
         WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema \
           AND t.state = 'claimed' AND t.attempts = r.attempt"
    );
    let tenants = format!(
        "INSERT INTO tenants AS t (database, schema, version, last_duration_ms, last_migrations) \
         SELECT database, schema, version, last_duration_ms, last_migrations \
         FROM jsonb_to_recordset($1::text::jsonb) AS r({END_COLUMNS}) WHERE version IS NOT NULL \
         ON CONFLICT (database, schema) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at, \
           last_duration_ms = coalesce(excluded.last_duration_ms, t.last_duration_ms), \
           last_migrations = coalesce(excluded.last_migrations, t.last_migrations)"
    );
    let of_run: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&rows, Type::TEXT)];
    let of_all: [Parameter; 1] = [(&rows, Type::TEXT)];
    let client = tx.client();
    let (attempted, updated, known) = tokio::join!(
        client.execute_typed(&attempts, &of_run),
        client.execute_typed(&run_tenants, &of_run),
        client.execute_typed(&tenants, &of_all)
    );
    let written = attempted.and(updated).and_then(|n| known.map(|_| n));
    let updated = written.map_err(LedgerError::query(action))?;
    expect(updated, ended.len(), run, "recording attempts")
}

/// Appends the rows of `$2`.
pub(super) fn append_attempts() -> String {
    format!(
        "INSERT INTO attempts (run_id, database, schema, attempt, duration_ms, outcome, applied, migration, \
           statement, line, line_column, sqlstate, class, message, detail, hint, context, blocked_by, notes) \
         SELECT $1, database, schema, attempt, duration_ms, outcome, applied, migration, \
           statement, line, line_column, sqlstate, class, message, detail, hint, context, blocked_by, notes \
         FROM jsonb_to_recordset($2::text::jsonb) AS r({END_COLUMNS})"
    )
}

pub(super) async fn record_claims(
    tx: &Transaction<'_>,
    run: &RunId,
    claims: &[Claim],
) -> Result<(), LedgerError> {
    if claims.is_empty() {
        return Ok(());
    }
    let rows: Vec<ClaimRow> = claims
        .iter()
        .map(|claim| ClaimRow {
            database: claim.tenant.database.as_str(),
            schema: claim.tenant.schema.as_str(),
            attempt: claim.attempt,
        })
        .collect();
    let claimed = tx
        .client()
        .execute_typed(
            "UPDATE run_tenants t SET state = 'claimed', attempts = r.attempt \
             FROM jsonb_to_recordset($2::text::jsonb) AS r(database text, schema text, attempt int) \
             WHERE t.run_id = $1 AND t.database = r.database AND t.schema = r.schema \
               AND t.state IN ('pending', 'waiting') AND t.attempts = r.attempt - 1",
            &[(&run.as_str(), Type::TEXT), (&json(&rows), Type::TEXT)],
        )
        .await
        .map_err(LedgerError::query("claim tenants"))?;
    expect(claimed, claims.len(), run, "claiming tenants")
}

pub(super) fn expect(
    written: u64,
    wanted: usize,
    run: &RunId,
    action: &'static str,
) -> Result<(), LedgerError> {
    if usize::try_from(written) == Ok(wanted) {
        Ok(())
    } else {
        Err(LedgerError::Conflict {
            run: run.to_string(),
            action,
        })
    }
}

pub(super) fn end_row(end: &AttemptEnd) -> EndRow<'_> {
    let failure = end.failure.as_ref();
    let (state, run_outcome) = match end.then {
        AfterAttempt::Done => ("finished", Some(end.outcome.as_str())),
        AfterAttempt::Retry => ("waiting", None),
    };
    EndRow {
        database: end.tenant.database.as_str(),
        schema: end.tenant.schema.as_str(),
        attempt: end.attempt,
        state,
        outcome: end.outcome.as_str(),
        run_outcome,
        version: end.version,
        duration_ms: milliseconds(end.duration),
        last_duration_ms: end.took.map(|took| milliseconds(took.duration)),
        last_migrations: end.took.map(|took| took.migrations.get()),
        reason: end.reason.as_deref(),
        applied: &end.applied,
        migration: failure.and_then(|f| f.migration.as_deref()),
        statement: failure.and_then(|f| f.statement),
        line: failure.and_then(|f| f.line),
        line_column: failure.and_then(|f| f.column),
        sqlstate: failure.and_then(|f| f.sqlstate.as_deref()),
        class: failure.map(|f| f.class.as_str()),
        message: failure.map(|f| f.message.as_str()),
        detail: failure.and_then(|f| f.detail.as_deref()),
        hint: failure.and_then(|f| f.hint.as_deref()),
        context: failure.and_then(|f| f.context.as_deref()),
        blocked_by: failure.and_then(|f| f.blocked_by.as_deref()),
        notes: &end.notes,
    }
}

/// Rows as one parameter. NUL, which `jsonb` cannot hold, never comes from PostgreSQL's own texts.
pub(super) fn json<T: Serialize>(rows: &[T]) -> String {
    serde_json::to_string(rows).unwrap_or_else(|_| "[]".to_owned())
}

/// Takes over what the histories say, where the ledger says something else.
pub(super) async fn catch_up(
    tx: &Transaction<'_>,
    seen: &[(TenantId, LastSeen)],
) -> Result<(), tokio_postgres::Error> {
    let ids: Vec<&TenantId> = seen.iter().map(|(id, _)| id).collect();
    let versions: Vec<LastSeen> = seen.iter().map(|(_, version)| *version).collect();
    let (databases, schemas) = columns(&ids);
    tx.client().execute_typed(
        "INSERT INTO tenants AS t (database, schema, version) \
         SELECT s.* FROM unnest($1::text[], $2::text[], $3::bigint[]) AS s(database, schema, version) \
         LEFT JOIN tenants k USING (database, schema) \
         WHERE k.schema IS NULL OR k.version IS DISTINCT FROM s.version \
         ON CONFLICT (database, schema) DO UPDATE SET version = excluded.version, seen_at = excluded.seen_at",
        &[
            (&databases, Type::TEXT_ARRAY),
            (&schemas, Type::TEXT_ARRAY),
            (&versions, Type::INT8_ARRAY),
        ],
    )
    .await?;
    Ok(())
}

/// Tenants as two array parameters.
pub(super) fn columns<'a>(tenants: &[&'a TenantId]) -> (Vec<&'a str>, Vec<&'a str>) {
    tenants
        .iter()
        .map(|id| (id.database.as_str(), id.schema.as_str()))
        .unzip()
}
