//! The plan of `fleet verify --fix-plan`, for which the servers are asked what they call their databases.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use tokio_postgres::error::SqlState;

use super::fleet::Fleet;
use crate::pg::{self, PgError, Pool};
use crate::shape::{self, Place, Verification};
use crate::tenant::DatabaseName;

/// The SQL for all tenants that differ.
pub(super) async fn plan(fleet: &Fleet, verification: &Verification) -> anyhow::Result<String> {
    let places = try_join_all(fleet.pools().map(async |(name, pool)| {
        let databases = &mut fleet.config.databases.iter();
        let config = databases.find(|database| database.name == *name);
        let shared = config.map(|database| database.search_path.clone());
        let place = place(name, pool, shared.unwrap_or_default()).await?;
        anyhow::Ok((name.clone(), place))
    }));
    let places: BTreeMap<DatabaseName, Place> = places.await?.into_iter().collect();
    Ok(shape::fix_plan(verification, &places))
}

async fn place(name: &DatabaseName, pool: &Pool, shared: Vec<String>) -> anyhow::Result<Place> {
    let failed = |error| PgError::query("asking which database this is", error);
    let client = pg::checkout(pool, name).await?;
    let database = client
        .query_one("SELECT pg_catalog.current_database()::text", &[])
        .await
        .map_err(failed)?;
    let identifier = client
        .query_one(
            "SELECT system_identifier::text FROM pg_catalog.pg_control_system()",
            &[],
        )
        .await;
    let system_identifier = match identifier {
        Ok(row) => Some(row.get(0)),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => None,
        Err(error) => return Err(failed(error).into()),
    };
    Ok(Place {
        database: database.get(0),
        system_identifier,
        shared,
    })
}
