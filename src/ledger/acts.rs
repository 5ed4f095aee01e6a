//! What somebody has done to single tenants beside migrating them: who, what, why and when, and what was
//! there before.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::control::Control;
use super::queries::tenant_id;
use super::rows::{Parameter, json};
use super::{LedgerError, NewRun};
use crate::migration::{Fix, Version};
use crate::run::{Act, Outcome, RunId};
use crate::tenant::TenantId;

/// How much of a fix's text is kept.
const KEPT_BYTES: usize = 64 * 1024;

/// What makes a new run an act. It is recorded with the run, before any tenant is touched.
#[derive(Clone, Debug)]
pub struct NewAct {
    /// What is done.
    pub act: Act,
    /// Why, as it was typed.
    pub reason: Option<String>,
    /// The SQL of a repair.
    pub fix: Option<Arc<Fix>>,
    /// In which tenants.
    pub tenants: Vec<ActedOn>,
}

/// What an act is about in one tenant.
#[derive(Clone, Debug)]
pub struct ActedOn {
    /// Which tenant.
    pub tenant: TenantId,
    /// The history's rows that it is about; of a repair the migrations that follow the fix.
    pub versions: Vec<Version>,
    /// Those rows as they are before.
    pub was: Vec<HistoryRow>,
    /// Those rows as they are to be.
    pub now: Vec<HistoryRow>,
}

/// One row of a tenant's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRow {
    /// The version.
    pub version: Version,
    /// The name behind the double underscore.
    pub name: String,
    /// refinery's checksum, in digits: it has more than a number in JSON is good for.
    pub checksum: String,
}

/// What is recorded of an act beside the run itself. Empty for a run that is none.
#[derive(Clone, Debug, Default)]
pub struct ActsOfRun {
    /// Why somebody asked for it.
    pub reason: Option<String>,
    /// The SQL of a repair.
    pub fix: Option<FixRecord>,
    /// What was to be done, tenant by tenant.
    pub acts: Vec<ActRecord>,
}

/// The SQL of a repair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FixRecord {
    /// The file's name.
    pub name: String,
    /// SHA-256 over the whole text, in hexadecimal digits.
    pub sha256: String,
    /// The size of the whole text.
    pub bytes: u64,
    /// The text, or its beginning.
    pub text: String,
}

/// What was to be done in one tenant, and what became of it.
#[derive(Clone, Debug)]
pub struct ActRecord {
    /// RFC 3339 in UTC, by the database's clock.
    pub at: String,
    /// User, host, process id.
    pub actor: String,
    /// The word of the act.
    pub act: String,
    /// Which tenant.
    pub tenant: TenantId,
    /// See [`ActedOn::versions`].
    pub versions: Vec<Version>,
    /// Why.
    pub reason: Option<String>,
    /// See [`ActedOn::was`].
    pub was: Vec<HistoryRow>,
    /// See [`ActedOn::now`].
    pub now: Vec<HistoryRow>,
    /// What became of it; None while that is not known.
    pub outcome: Option<Outcome>,
}

#[derive(Serialize)]
struct NewRow<'a> {
    database: &'a str,
    schema: &'a str,
    versions: &'a [Version],
    detail: Detail<&'a [HistoryRow]>,
}

#[derive(Serialize, Deserialize)]
struct Detail<R> {
    was: R,
    now: R,
}

/// Writes an act down, in the transaction that opens its run.
pub(super) async fn record_act(
    tx: &Transaction<'_>,
    run: &RunId,
    new: &NewRun,
) -> Result<(), tokio_postgres::Error> {
    let Some(act) = &new.act else { return Ok(()) };
    let of_run: [Parameter; 2] = [(&run.as_str(), Type::TEXT), (&act.reason, Type::TEXT)];
    let update = "UPDATE runs SET reason = $2 WHERE id = $1";
    tx.client().execute_typed(update, &of_run).await?;
    if let Some(fix) = &act.fix {
        let bytes = i64::try_from(fix.text.len()).unwrap_or(i64::MAX);
        let parameters: [Parameter; 5] = [
            (&run.as_str(), Type::TEXT),
            (&fix.name.as_ref(), Type::TEXT),
            (&fix.sha256(), Type::TEXT),
            (&bytes, Type::INT8),
            (&beginning(&fix.text), Type::TEXT),
        ];
        let insert =
            "INSERT INTO fixes (run_id, name, sha256, bytes, text) VALUES ($1, $2, $3, $4, $5)";
        tx.client().execute_typed(insert, &parameters).await?;
    }
    let rows: Vec<NewRow> = act.tenants.iter().map(new_row).collect();
    let parameters: [Parameter; 5] = [
        (&run.as_str(), Type::TEXT),
        (&new.started_by, Type::TEXT),
        (&act.act.as_str(), Type::TEXT),
        (&act.reason, Type::TEXT),
        (&json(&rows), Type::TEXT),
    ];
    tx.client()
        .execute_typed(
            "INSERT INTO acts (run_id, actor, act, database, schema, versions, reason, detail) \
             SELECT $1, $2, $3, database, schema, versions, $4, detail \
             FROM jsonb_to_recordset($5::text::jsonb) AS r(database text, schema text, versions bigint[], detail jsonb)",
            &parameters,
        )
        .await?;
    Ok(())
}

fn new_row(on: &ActedOn) -> NewRow<'_> {
    NewRow {
        database: on.tenant.database.as_str(),
        schema: on.tenant.schema.as_str(),
        versions: &on.versions,
        detail: Detail {
            was: &on.was,
            now: &on.now,
        },
    }
}

/// As much of a text as is kept, to a whole character.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(KEPT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl Control {
    /// The last act that somebody has carried out since a run began, by the name of its own run.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn act_since(&self, run: &RunId) -> Result<Option<RunId>, LedgerError> {
        let row = self
            .client()
            .query_opt(
                "SELECT a.id FROM runs a JOIN runs r ON a.started_at > r.started_at \
                 WHERE r.id = $1 AND a.command NOT IN ('migrate', 'resume') AND a.outcome = 'succeeded' \
                 ORDER BY a.started_at DESC LIMIT 1",
                &[&run.as_str()],
            )
            .await
            .map_err(LedgerError::query("look for acts"))?;
        Ok(row.map(|row| RunId::new(row.get(0))))
    }

    /// What is recorded of a run as an act. A control schema of an older fleet has nothing of it.
    pub(super) async fn acts(&self, run: &RunId) -> Result<ActsOfRun, LedgerError> {
        let failed = LedgerError::query("read the run's acts");
        let there = "SELECT pg_catalog.to_regclass('acts') IS NOT NULL";
        let there = self.client().query_one(there, &[]).await.map_err(&failed)?;
        if !there.get::<_, bool>(0) {
            return Ok(ActsOfRun::default());
        }
        let of_run = self
            .client()
            .query_one(
                "SELECT r.reason, f.name, f.sha256, f.bytes, f.text \
                 FROM runs r LEFT JOIN fixes f ON f.run_id = r.id WHERE r.id = $1",
                &[&run.as_str()],
            )
            .await
            .map_err(&failed)?;
        let acts = self
            .client()
            .query(
                "SELECT a.database, a.schema, to_char(a.at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
                   a.actor, a.act, a.versions, a.reason, a.detail::text, t.outcome \
                 FROM acts a LEFT JOIN run_tenants t USING (run_id, database, schema) \
                 WHERE a.run_id = $1 ORDER BY a.number",
                &[&run.as_str()],
            )
            .await
            .map_err(&failed)?;
        Ok(ActsOfRun {
            reason: of_run.get(0),
            fix: fix(&of_run),
            acts: acts.iter().filter_map(act).collect(),
        })
    }
}

fn fix(row: &Row) -> Option<FixRecord> {
    Some(FixRecord {
        name: row.get::<_, Option<String>>(1)?,
        sha256: row.get::<_, Option<String>>(2)?,
        bytes: u64::try_from(row.get::<_, Option<i64>>(3)?).unwrap_or(0),
        text: row.get::<_, Option<String>>(4)?,
    })
}

fn act(row: &Row) -> Option<ActRecord> {
    // somebody else may have written it
    let detail: Option<Detail<Vec<HistoryRow>>> = serde_json::from_str(row.get(7)).ok();
    let (was, now) = detail.map_or_else(Default::default, |detail| (detail.was, detail.now));
    Some(ActRecord {
        tenant: tenant_id(row, 0)?,
        at: row.get(2),
        actor: row.get(3),
        act: row.get(4),
        versions: row.get(5),
        reason: row.get(6),
        was,
        now,
        outcome: row.get::<_, Option<&str>>(8).and_then(Outcome::parse),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_text_ends_with_a_whole_character() {
        let long = "ä".repeat(KEPT_BYTES);
        assert_eq!(beginning(&format!("x{long}")).len(), KEPT_BYTES - 1);
        assert_eq!(beginning("short"), "short");
    }
}
