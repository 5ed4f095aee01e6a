//! Reads the shapes of many schemas from the catalogue: the server hashes each tenant's items, and only for one tenant
//! of each fingerprint the items themselves come over the wire.
//!
//! `pg_class`, `pg_proc` and `pg_type` have no index that leads with the schema. Each is scanned once a reading, for
//! the OIDs of all schemas together; everything else is found by OID, in transactions that are bounded by the
//! relations that they may lock (printing a view locks what it reads) and by the time that they may wait for a lock.

mod batch;
mod comments;
mod grants;
mod items;
mod lookup;
mod read;
mod relations;
mod routines;
mod types;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::pg::{self, PgError, Pool};
use crate::shape::{Fingerprint, Shape};
use crate::tenant::{DatabaseName, SchemaName};

/// What belongs to a shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShapeOptions {
    /// Grants and default privileges.
    pub grants: bool,
    /// Comments.
    pub comments: bool,
    /// Relations that are no part of it in any schema, by name: the history and what fleet keeps beside it.
    pub left_out: Vec<String>,
    /// The name of a tenant's own role, with `{schema}` and `{database}` in it, so that such roles make no difference.
    pub own_role: Option<String>,
}

impl ShapeOptions {
    fn own_role_of(&self, database: &DatabaseName, schema: &SchemaName) -> Option<String> {
        let template = self.own_role.as_ref()?;
        let name = template.replace("{schema}", schema.as_str());
        Some(name.replace("{database}", database.as_str()))
    }
}

/// The shapes of some schemas of one database.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    /// By schema. Different fingerprints may still be no difference, see [`crate::shape::Item::is_like`].
    pub fingerprints: HashMap<SchemaName, Fingerprint>,
    /// One shape for each fingerprint.
    pub shapes: HashMap<Fingerprint, Arc<Shape>>,
    /// Schemas that could not be read, with the reason.
    pub unreadable: BTreeMap<SchemaName, String>,
    /// Schemas that there are not.
    pub absent: Vec<SchemaName>,
}

impl Shapes {
    /// The shape of a schema.
    pub fn shape_of(&self, schema: &SchemaName) -> Option<&Arc<Shape>> {
        self.shapes.get(self.fingerprints.get(schema)?)
    }
}

/// Why the shapes of a database could not be read. What concerns one tenant is in [`Shapes::unreadable`].
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] PgError),
    /// The catalogue could not be read.
    #[error(
        "database {database}: the catalogue cannot be read: {}",
        pg::describe(cause)
    )]
    Query {
        /// Which database.
        database: DatabaseName,
        /// What PostgreSQL said; it is in the text already and therefore not a source.
        cause: tokio_postgres::Error,
    },
}

/// Reads the shapes of these schemas. Each schema has a fingerprint in the answer, or is unreadable or absent. Nothing
/// is written, and a schema that somebody changes at the same time is read as it is at one moment or another.
///
/// # Errors
/// Where no connection can be had or the catalogue cannot be read at all.
pub async fn read_shapes(
    pool: &Pool,
    database: &DatabaseName,
    schemas: &[SchemaName],
    options: &ShapeOptions,
) -> Result<Shapes, CatalogError> {
    let reader = read::Reader {
        pool,
        database,
        options,
    };
    reader.read(schemas).await
}
