//! Which schema it is that has a name: two looks at one name may be at two schemas.

use std::collections::HashMap;

use tokio_postgres::Client;
use tokio_postgres::types::{Oid, Type};

use super::InventoryError;
use crate::tenant::{DatabaseName, SchemaName};

/// One schema for as long as it has its name. The OID changes where it is dropped and made anew, the transaction that
/// wrote its row where it is renamed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incarnation {
    oid: Oid,
    written_by: String,
}

/// Those of the schemas that there are.
///
/// # Errors
/// Where the connection is lost.
pub async fn incarnations(
    client: &Client,
    database: &DatabaseName,
    schemas: &[SchemaName],
) -> Result<HashMap<SchemaName, Incarnation>, InventoryError> {
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let rows = client
        .query_typed(
            "SELECT n.nspname::text, n.oid, n.xmin::text FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($1)",
            &[(&names, Type::NAME_ARRAY)],
        )
        .await
        .map_err(|cause| InventoryError::Catalog {
            database: database.clone(),
            cause,
        })?;
    let found = rows.iter().filter_map(|row| {
        let incarnation = Incarnation {
            oid: row.get(1),
            written_by: row.get(2),
        };
        Some((SchemaName::parse(row.get(0)).ok()?, incarnation))
    });
    Ok(found.collect())
}
