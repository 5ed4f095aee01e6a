//! Which objects the schemas hold, by OID: one scan a catalogue for all of them.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::{Oid, Type};
use tokio_postgres::{Client, Error};

use super::{ShapeOptions, Shapes};
use crate::tenant::{DatabaseName, SchemaName, TenantId};

/// A schema with what it holds.
#[derive(Clone, Debug)]
pub(super) struct Objects {
    /// Its name.
    pub(super) schema: SchemaName,
    /// Its OID.
    pub(super) oid: Oid,
    /// A search path to it alone.
    pub(super) path: String,
    /// The tenant's own roles, and what stands for them.
    pub(super) own_roles: String,
    /// Tables, views, sequences, composite types.
    pub(super) relations: Vec<Oid>,
    /// How many of them may be locked when definitions are printed.
    pub(super) lockable: usize,
    /// Functions of all kinds.
    pub(super) functions: Vec<Oid>,
    /// Enums, domains, ranges, and types that are written in C.
    pub(super) types: Vec<Oid>,
}

/// What was found.
pub(super) struct Found {
    /// The server's major version.
    pub(super) major: u32,
    /// Schemas that can be read.
    pub(super) schemas: Vec<Objects>,
    /// Those of them in which somebody has a table for himself, or waits for it.
    pub(super) locked: HashSet<Oid>,
}

/// Looks the schemas up. Those that cannot be read at all go to the answer.
pub(super) async fn look(
    client: &Client,
    database: &DatabaseName,
    schemas: &[SchemaName],
    options: &ShapeOptions,
    answer: &mut Shapes,
) -> Result<Found, Error> {
    let major = client
        .query_typed(
            "SELECT pg_catalog.current_setting('server_version_num')::int / 10000",
            &[],
        )
        .await?;
    let major: i32 = major.first().map_or(0, |row| row.get(0));
    let mut found = namespaces(client, database, schemas, options, answer).await?;
    let oids: Vec<Oid> = found.iter().map(|schema| schema.oid).collect();
    let (relations, functions, types, locked) = tokio::try_join!(
        relations(client, &oids, options),
        grouped(
            client,
            "SELECT p.pronamespace, pg_catalog.array_agg(p.oid) FROM pg_catalog.unnest($1) AS s(oid) \
             JOIN pg_catalog.pg_proc p ON p.pronamespace = s.oid GROUP BY 1",
            &oids
        ),
        grouped(
            client,
            "SELECT t.typnamespace, pg_catalog.array_agg(t.oid) FROM pg_catalog.unnest($1) AS s(oid) \
             JOIN pg_catalog.pg_type t ON t.typnamespace = s.oid \
             WHERE t.typtype IN ('e', 'd', 'r', 'p') OR (t.typtype = 'b' AND t.typelem = 0) GROUP BY 1",
            &oids
        ),
        locked(client, &oids),
    )?;
    let (mut relations, mut functions, mut types) = (relations, functions, types);
    for schema in &mut found {
        (schema.relations, schema.lockable) = relations.remove(&schema.oid).unwrap_or_default();
        schema.functions = functions.remove(&schema.oid).unwrap_or_default();
        schema.types = types.remove(&schema.oid).unwrap_or_default();
    }
    Ok(Found {
        major: u32::try_from(major).unwrap_or(0),
        schemas: found,
        locked,
    })
}

async fn namespaces(
    client: &Client,
    database: &DatabaseName,
    schemas: &[SchemaName],
    options: &ShapeOptions,
    answer: &mut Shapes,
) -> Result<Vec<Objects>, Error> {
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let rows = client
        .query_typed(
            "SELECT n.nspname::text, n.oid, pg_catalog.has_schema_privilege(n.oid, 'USAGE'), current_user::text \
             FROM pg_catalog.pg_namespace n WHERE n.nspname = ANY($1)",
            &[(&names, Type::NAME_ARRAY)],
        )
        .await?;
    let mut there = HashMap::with_capacity(rows.len());
    for row in &rows {
        let (name, oid, is_usable): (&str, Oid, bool) = (row.get(0), row.get(1), row.get(2));
        there.insert(name, (oid, is_usable, row.get::<_, &str>(3)));
    }
    let mut found = Vec::with_capacity(rows.len());
    for schema in schemas {
        match there.remove(schema.as_str()) {
            None => answer.absent.push(schema.clone()),
            // without it no search path leads there, and all names would be printed with the schema's
            Some((_, false, role)) => {
                let reason = format!("role {role} lacks USAGE on the schema");
                answer.unreadable.insert(schema.clone(), reason);
            }
            Some((oid, true, _)) => found.push(Objects {
                schema: schema.clone(),
                oid,
                // its own names come first, also where they are those of the system
                path: format!("{}, pg_catalog", schema.quoted()),
                own_roles: options.own_roles_of(&TenantId {
                    database: database.clone(),
                    schema: schema.clone(),
                }),
                relations: Vec::new(),
                lockable: 0,
                functions: Vec::new(),
                types: Vec::new(),
            }),
        }
    }
    Ok(found)
}

async fn relations(
    client: &Client,
    oids: &[Oid],
    options: &ShapeOptions,
) -> Result<HashMap<Oid, (Vec<Oid>, usize)>, Error> {
    let rows = client
        .query_typed(
            "SELECT c.relnamespace, pg_catalog.array_agg(c.oid), \
               pg_catalog.count(*) FILTER (WHERE c.relkind NOT IN ('S', 'c')) \
             FROM pg_catalog.unnest($1) AS s(oid) JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid \
             WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND c.relname <> ALL ($2) GROUP BY 1",
            &[(&oids, Type::OID_ARRAY), (&options.left_out, Type::TEXT_ARRAY)],
        )
        .await?;
    let counted = rows.iter().map(|row| {
        let lockable = usize::try_from(row.get::<_, i64>(2)).unwrap_or(usize::MAX);
        (row.get(0), (row.get(1), lockable))
    });
    Ok(counted.collect())
}

async fn grouped(
    client: &Client,
    query: &str,
    oids: &[Oid],
) -> Result<HashMap<Oid, Vec<Oid>>, Error> {
    let rows = client
        .query_typed(query, &[(&oids, Type::OID_ARRAY)])
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn locked(client: &Client, oids: &[Oid]) -> Result<HashSet<Oid>, Error> {
    let rows = client
        .query_typed(
            "SELECT DISTINCT c.relnamespace FROM pg_catalog.pg_locks l \
             JOIN pg_catalog.pg_database d ON d.oid = l.database AND d.datname = pg_catalog.current_database() \
             JOIN pg_catalog.pg_class c ON c.oid = l.relation \
             WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND c.relnamespace = ANY($1)",
            &[(&oids, Type::OID_ARRAY)],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}
