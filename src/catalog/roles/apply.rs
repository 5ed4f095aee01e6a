//! Gives one tenant a role of its own, in one transaction.

use std::collections::BTreeSet;

use tokio_postgres::Client;

use super::facts::facts;
use super::statements::{Change, changes};
use super::{Wanted, gaps};
use crate::pg;
use crate::plan::Gap;
use crate::run::{Failure, FailureClass};
use crate::tenant::SchemaName;

/// Why a tenant has not got its role.
#[derive(Debug)]
pub enum ApplyError {
    /// The server refused, or somebody is at the tenant.
    Failed(Box<Failure>),
    /// Something stands that only a person can decide about.
    ByHand(Vec<Gap>),
}

/// What is known of the other tenants of a database.
#[derive(Clone, Debug, Default)]
pub struct Neighbours {
    /// Shared schemas of the search path.
    pub shared: Vec<String>,
    /// The schemas of all tenants.
    pub schemas: Vec<SchemaName>,
    /// The roles of all tenants.
    pub roles: BTreeSet<String>,
}

/// Does what lacks, under the tenant's lock, and says what it was. Nothing is done by halves.
///
/// # Errors
/// Why nothing was done.
pub async fn apply(
    client: &mut Client,
    wanted: &Wanted,
    lock_key: i64,
    neighbours: &Neighbours,
) -> Result<Vec<Change>, ApplyError> {
    let failed = |error: tokio_postgres::Error| ApplyError::Failed(Box::new(failure(&error)));
    let tx = client.transaction().await.map_err(failed)?;
    let locked = tx
        .query_one(
            "SELECT pg_catalog.pg_try_advisory_xact_lock($1)",
            &[&lock_key],
        )
        .await
        .map_err(failed)?;
    if !locked.get::<_, bool>(0) {
        let busy = Failure::new(
            FailureClass::Transient,
            "another session is migrating this tenant",
        );
        return Err(ApplyError::Failed(Box::new(busy)));
    }
    tx.batch_execute("SET LOCAL jit=off")
        .await
        .map_err(failed)?;
    let one = std::slice::from_ref(wanted);
    let facts = facts(tx.client(), one, &neighbours.shared, &neighbours.schemas);
    let facts = facts.await.map_err(failed)?;
    let changes: Vec<Change> = facts
        .iter()
        .flat_map(|facts| changes(facts, &neighbours.roles))
        .collect();
    let statements: Vec<&str> = changes.iter().map(|change| change.sql.as_str()).collect();
    tx.batch_execute(&statements.join(";\n"))
        .await
        .map_err(failed)?;
    let left = gaps(tx.client(), one, &neighbours.shared).await;
    if let Some(left) = left.map_err(failed)?.remove(&wanted.schema) {
        return Err(ApplyError::ByHand(left));
    }
    tx.commit().await.map_err(failed)?;
    Ok(changes)
}

/// The server's words, with what a role needs that makes roles.
fn failure(error: &tokio_postgres::Error) -> Failure {
    let failure = pg::failure_of(error);
    match failure.sqlstate.as_deref() {
        Some("42501") => failure.with_hint(
            "fleet roles apply needs CREATEROLE, CREATE on the database, and the ownership of what is handed over (or \
             membership in its owner's role): run it once as such a role, or let a superuser run what fleet roles plan \
             prints",
        ),
        _ => failure,
    }
}
