//! Holds and pins of tenants in the control schema. They bind plans, and are no part of any run: setting and
//! releasing them needs no lease. Times are the database's.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::types::Type;
use tokio_postgres::{Row, Transaction};

use super::control::{Control, ControlState};
use super::queries::tenant_id;
use super::{LedgerError, rows};
use crate::migration::Version;
use crate::plan::{Hold, HoldKind};
use crate::tenant::TenantId;

/// The version of the control schema that brought them.
const SINCE: Version = 6;

const COLUMNS: &str = "h.database, h.schema, h.kind, h.version, h.reason, \
    to_char(h.until AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), h.set_by, \
    to_char(h.set_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";

const IN_FORCE: &str = "h.ended_at IS NULL AND (h.until IS NULL OR h.until > clock_timestamp())";

/// Who has ended one that nobody has.
const EXPIRY: &str = "expiry";

/// What somebody says about tenants.
#[derive(Clone, Debug)]
pub struct NewHold {
    /// About whom.
    pub tenants: Vec<TenantId>,
    /// What.
    pub kind: HoldKind,
    /// Why.
    pub reason: Option<String>,
    /// Until when; None: until it is released.
    pub until: Option<Timestamp>,
    /// Who says it.
    pub by: String,
}

/// One that was set.
#[derive(Clone, Debug)]
pub struct SetHold {
    /// What is in force now.
    pub hold: Hold,
    /// What was in force before.
    pub replaces: Option<Hold>,
}

/// One that is or was in force.
#[derive(Clone, Debug)]
pub struct PastHold {
    /// What was said.
    pub hold: Hold,
    /// Who ended it and when, RFC 3339 in UTC; None while it is in force.
    pub ended: Option<(String, String)>,
}

impl Control {
    /// What time it is.
    ///
    /// # Errors
    /// Where the database does not say.
    pub async fn now(&self) -> Result<Timestamp, LedgerError> {
        let row = self
            .client()
            .query_typed_one(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::int8",
                &[],
            )
            .await
            .map_err(LedgerError::query("ask for the time"))?;
        // a clock beyond what can be said is beyond every window too
        Ok(Timestamp::from_millisecond(row.get(0)).unwrap_or(Timestamp::MAX))
    }

    /// What is in force now. A control schema that is not there, or an older fleet's, holds nobody.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn holds(&self, state: ControlState) -> Result<Vec<Hold>, LedgerError> {
        if !has_holds(state) {
            return Ok(Vec::new());
        }
        let rows = self
            .client()
            .query_typed(
                &format!(
                    "SELECT {COLUMNS} FROM holds h WHERE {IN_FORCE} ORDER BY h.database, h.schema, h.kind"
                ),
                &[],
            )
            .await
            .map_err(LedgerError::query("read who is held"))?;
        Ok(rows.iter().filter_map(hold).collect())
    }

    /// The newest holds and pins of one tenant, those in force included, newest first.
    ///
    /// # Errors
    /// Where the ledger cannot be read.
    pub async fn holds_of(
        &self,
        state: ControlState,
        tenant: &TenantId,
        limit: i64,
    ) -> Result<Vec<PastHold>, LedgerError> {
        if !has_holds(state) {
            return Ok(Vec::new());
        }
        let rows = self
            .client()
            .query(
                &format!(
                    "SELECT {COLUMNS}, CASE WHEN NOT ({IN_FORCE}) THEN coalesce(h.ended_by, '{EXPIRY}') END, \
                       to_char(coalesce(h.ended_at, h.until) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') \
                     FROM holds h WHERE h.database = $1 AND h.schema = $2 ORDER BY h.number DESC LIMIT $3"
                ),
                &[&tenant.database.as_str(), &tenant.schema.as_str(), &limit],
            )
            .await
            .map_err(LedgerError::query("read the tenant's holds"))?;
        let past = |row: &Row| {
            let ended_by: Option<String> = row.get(8);
            Some(PastHold {
                hold: hold(row)?,
                ended: ended_by.zip(row.get(9)),
            })
        };
        Ok(rows.iter().filter_map(past).collect())
    }

    /// Holds or pins tenants, in the place of what of the same kind is in force.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub async fn hold_tenants(&mut self, new: &NewHold) -> Result<Vec<SetHold>, LedgerError> {
        let action = LedgerError::query("hold tenants");
        let tx = self.client_mut().transaction().await.map_err(&action)?;
        let replaced = end_before(&tx, new).await.map_err(&action)?;
        let set = insert(&tx, new).await.map_err(&action)?;
        tx.commit().await.map_err(&action)?;
        let mut replaced: HashMap<TenantId, Hold> = replaced
            .into_iter()
            .map(|hold| (hold.tenant.clone(), hold))
            .collect();
        let mut set: Vec<SetHold> = set
            .into_iter()
            .map(|hold| SetHold {
                replaces: replaced.remove(&hold.tenant),
                hold,
            })
            .collect();
        set.sort_by(|a, b| a.hold.tenant.cmp(&b.hold.tenant));
        Ok(set)
    }

    /// Ends all that is in force for these tenants, and answers what that was.
    ///
    /// # Errors
    /// Where the ledger cannot be written.
    pub async fn release_tenants(
        &self,
        tenants: &[&TenantId],
        by: &str,
    ) -> Result<Vec<Hold>, LedgerError> {
        let (databases, schemas) = rows::columns(tenants);
        let rows = self
            .client()
            .query_typed(
                &format!(
                    "UPDATE holds h SET ended_by = $1, ended_at = clock_timestamp() \
                     FROM unnest($2::text[], $3::text[]) AS t(database, schema) \
                     WHERE h.database = t.database AND h.schema = t.schema AND {IN_FORCE} RETURNING {COLUMNS}"
                ),
                &[
                    (&by, Type::TEXT),
                    (&databases, Type::TEXT_ARRAY),
                    (&schemas, Type::TEXT_ARRAY),
                ],
            )
            .await
            .map_err(LedgerError::query("release tenants"))?;
        let mut released: Vec<Hold> = rows.iter().filter_map(hold).collect();
        released.sort_by(|a, b| {
            let kinds = a.kind.as_str().cmp(b.kind.as_str());
            a.tenant.cmp(&b.tenant).then(kinds)
        });
        Ok(released)
    }
}

/// Ends what a new one replaces, and answers what of it was in force.
async fn end_before(
    tx: &Transaction<'_>,
    new: &NewHold,
) -> Result<Vec<Hold>, tokio_postgres::Error> {
    // two of one kind at a time would meet at the unique index
    tx.batch_execute("LOCK TABLE holds IN SHARE ROW EXCLUSIVE MODE")
        .await?;
    let tenants: Vec<&TenantId> = new.tenants.iter().collect();
    let (databases, schemas) = rows::columns(&tenants);
    let rows = tx
        .query(
            &format!(
                "UPDATE holds h SET ended_at = least(h.until, clock_timestamp()), \
                   ended_by = CASE WHEN h.until <= clock_timestamp() THEN '{EXPIRY}' ELSE $1 END \
                 FROM unnest($2::text[], $3::text[]) AS t(database, schema) \
                 WHERE h.database = t.database AND h.schema = t.schema AND h.kind = $4 AND h.ended_at IS NULL \
                 RETURNING {COLUMNS}, h.ended_by"
            ),
            &[&new.by, &databases, &schemas, &new.kind.as_str()],
        )
        .await?;
    let was_in_force = |row: &&Row| row.get::<_, &str>(8) != EXPIRY;
    Ok(rows.iter().filter(was_in_force).filter_map(hold).collect())
}

async fn insert(tx: &Transaction<'_>, new: &NewHold) -> Result<Vec<Hold>, tokio_postgres::Error> {
    let tenants: Vec<&TenantId> = new.tenants.iter().collect();
    let (databases, schemas) = rows::columns(&tenants);
    let until = new.until.map(|until| until.to_string());
    let rows = tx
        .query(
            &format!(
                "INSERT INTO holds AS h (database, schema, kind, version, reason, set_by, until) \
                 SELECT database, schema, $3, $4, $5, $6, $7::text::timestamptz \
                 FROM unnest($1::text[], $2::text[]) AS t(database, schema) RETURNING {COLUMNS}"
            ),
            &[
                &databases,
                &schemas,
                &new.kind.as_str(),
                &new.kind.version(),
                &new.reason,
                &new.by,
                &until,
            ],
        )
        .await?;
    Ok(rows.iter().filter_map(hold).collect())
}

fn has_holds(state: ControlState) -> bool {
    match state {
        ControlState::Missing => false,
        ControlState::Older(version) => version >= SINCE,
        ControlState::Current => true,
    }
}

fn hold(row: &Row) -> Option<Hold> {
    let kind = match (row.get(2), row.get(3)) {
        ("pin", Some(version)) => HoldKind::Pin(version),
        _ => HoldKind::Hold,
    };
    Some(Hold {
        tenant: tenant_id(row, 0)?,
        kind,
        reason: row.get(4),
        until: row.get(5),
        set_by: row.get(6),
        set_at: row.get(7),
    })
}
