//! What the catalogue says of many tenants: their shapes, whose they are, and what guards them.
//!
//! Reads the shapes of many schemas from the catalogue: the server hashes each tenant's items, and only for one tenant
//! of each fingerprint the items themselves come over the wire.
//!
//! `pg_class`, `pg_proc` and `pg_type` have no index that leads with the schema. Each is scanned once a reading, for
//! the OIDs of all schemas together; everything else is found by OID, in transactions that are bounded by the
//! relations that they may lock (printing a view locks what it reads) and by the time that they may wait for a lock.
//! What of one tenant reaches another is a question of its own, and locks nothing.

mod batch;
mod comments;
mod grants;
mod items;
mod lookup;
mod reach;
mod read;
mod relations;
mod roles;
mod routines;
mod standing;
mod types;

pub use reach::{ReachAnswer, ReachQuestion, read_reaches};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

pub use roles::{
    ApplyError, Change, Facts, Neighbours, Wanted, apply, changes, read_facts, read_gaps,
};
pub use standing::{Standing, standing};

use crate::pg::{self, PgError, Pool};
use crate::shape::{Fingerprint, Shape};
use crate::tenant::{DatabaseName, RoleTemplate, SchemaName, TenantId};

/// What belongs to a shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShapeOptions {
    /// Grants and default privileges.
    pub grants: bool,
    /// Comments.
    pub comments: bool,
    /// Relations that are no part of it in any schema, by name: the history and what fleet keeps beside it.
    pub left_out: Vec<String>,
    /// Roles that each tenant has of its own: they are written as the template, and make no difference.
    pub own_roles: Vec<RoleTemplate>,
}

impl ShapeOptions {
    /// A tenant's own roles, and what stands for them in definitions, as a JSON object.
    fn own_roles_of(&self, tenant: &TenantId) -> String {
        let roles = self.own_roles.iter().filter_map(|template| {
            let role = template.role_of(tenant).ok()?;
            Some((role.as_str().to_owned(), template.to_string().into()))
        });
        serde_json::Value::Object(roles.collect()).to_string()
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

/// Why the catalogue of a database could not be read. What concerns one tenant is in [`Shapes::unreadable`].
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
