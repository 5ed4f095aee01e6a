//! What the catalogue says about the history tables of many schemas, in one query.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::{Oid, Type};
use tokio_postgres::{Client, Row};

use super::{REPAIRS_TABLE, STEPS_TABLE};
use crate::plan::{HistorySnapshot, VersionColumn};
use crate::tenant::SchemaName;

/// `pg_catalog.int4` and `int8`; the numbers are fixed in PostgreSQL's `pg_type.dat`.
const INT4: Oid = 23;
const INT8: Oid = 20;

/// A history table that can be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HistoryTable {
    /// Whose.
    pub(super) schema: SchemaName,
    /// The width of its version column.
    pub(super) column: VersionColumn,
    /// Whether steps are noted beside it.
    pub(super) has_steps: bool,
}

/// What was found.
pub(super) struct Found {
    /// Tables to read.
    pub(super) tables: Vec<HistoryTable>,
    /// Schemas whose history is known already.
    pub(super) settled: HashMap<SchemaName, HistorySnapshot>,
}

/// The schemas of the database that hold a plain history table and no notes of steps beside it.
pub(super) async fn with_plain_history(
    client: &Client,
    table: &str,
) -> Result<HashSet<SchemaName>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT n.nspname::text, pg_catalog.bool_and(c.relname = $1) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relname IN ($1, $2) AND c.relkind = 'r' GROUP BY n.nspname",
            &[(&table, Type::NAME), (&STEPS_TABLE, Type::NAME)],
        )
        .await?;
    let plain = rows.iter().filter(|row| row.get(1));
    Ok(plain
        .filter_map(|row| SchemaName::parse(row.get(0)).ok())
        .collect())
}

/// Looks the schemas up.
pub(super) async fn look(
    client: &Client,
    schemas: &[SchemaName],
    table: &str,
) -> Result<Found, tokio_postgres::Error> {
    let mut found = Found {
        tables: Vec::new(),
        settled: schemas
            .iter()
            .map(|schema| (schema.clone(), HistorySnapshot::SchemaAbsent))
            .collect(),
    };
    let without_table = look_for_tables(client, schemas, table, &mut found).await?;
    let in_use = count_relations(client, without_table, &mut found).await?;
    if !in_use.is_empty() {
        // the relations may be younger than the first look, and the history came with them
        look_for_tables(client, &in_use, table, &mut found).await?;
    }
    Ok(found)
}

/// Adds what there is to say about schemas with a history; answers those without one.
async fn look_for_tables(
    client: &Client,
    schemas: &[SchemaName],
    table: &str,
    found: &mut Found,
) -> Result<Vec<SchemaName>, tokio_postgres::Error> {
    let names: Vec<&str> = schemas.iter().map(SchemaName::as_str).collect();
    let rows = client
        .query_typed(
            "SELECT n.nspname::text, c.oid, a.atttypid, \
               pg_catalog.has_schema_privilege(n.oid, 'USAGE'), \
               pg_catalog.has_schema_privilege(n.oid, 'CREATE'), \
               pg_catalog.has_table_privilege(c.oid, 'SELECT'), \
               current_user::text, \
               EXISTS (SELECT FROM pg_catalog.pg_class s WHERE s.relnamespace = n.oid AND s.relname = $3 AND s.relkind = 'r') \
             FROM pg_catalog.pg_namespace n \
             LEFT JOIN pg_catalog.pg_class c \
               ON c.relnamespace = n.oid AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'f') \
             LEFT JOIN pg_catalog.pg_attribute a \
               ON a.attrelid = c.oid AND a.attname = 'version' AND NOT a.attisdropped \
             WHERE n.nspname = ANY($1)",
            &[
                (&names, Type::NAME_ARRAY),
                (&table, Type::NAME),
                (&STEPS_TABLE, Type::NAME),
            ],
        )
        .await?;
    let mut without_table = Vec::new();
    for row in &rows {
        let name: &str = row.get(0);
        let Ok(schema) = SchemaName::parse(name) else {
            continue;
        };
        let (table_oid, column): (Option<Oid>, Option<Oid>) = (row.get(1), row.get(2));
        if let Some(privilege) = lacking(row, table) {
            found.settled.insert(schema, denied(row.get(6), &privilege));
        } else if table_oid.is_none() {
            without_table.push(schema);
        } else if let Some(column) = version_column(column) {
            found.settled.remove(&schema);
            found.tables.push(HistoryTable {
                schema,
                column,
                has_steps: row.get(7),
            });
        } else {
            let corrupt = HistorySnapshot::Corrupt {
                row: format!("table {table}"),
                problem: "its version column is neither integer nor bigint".to_owned(),
            };
            found.settled.insert(schema, corrupt);
        }
    }
    Ok(without_table)
}

fn version_column(type_oid: Option<Oid>) -> Option<VersionColumn> {
    match type_oid {
        Some(INT4) => Some(VersionColumn::Int4),
        Some(INT8) => Some(VersionColumn::Int8),
        _ => None,
    }
}

/// What the role may not do, and would have to: found here rather than in the middle of a run. A role
/// that may only read is enough to look at tenants.
fn lacking(row: &Row, table: &str) -> Option<String> {
    let (usable, creatable): (bool, bool) = (row.get(3), row.get(4));
    let readable: Option<bool> = row.get(5);
    match (usable, creatable, readable) {
        (false, ..) => Some("USAGE on the schema".to_owned()),
        (_, false, None) => Some("CREATE on the schema".to_owned()),
        (_, _, Some(false)) => Some(format!("SELECT on {table}")),
        _ => None,
    }
}

fn denied(role: &str, privilege: &str) -> HistorySnapshot {
    HistorySnapshot::Unreadable {
        message: format!("role {role} lacks {privilege}"),
        sqlstate: Some("42501".to_owned()),
    }
}

/// A schema without a history is either new or somebody else's: relations tell. Answers the schemas
/// that are in use.
async fn count_relations(
    client: &Client,
    without_table: Vec<SchemaName>,
    found: &mut Found,
) -> Result<Vec<SchemaName>, tokio_postgres::Error> {
    let schemas: Vec<&SchemaName> = without_table.iter().collect();
    let counts = relations(client, &schemas, "").await?;
    let in_use = counts.keys().cloned().collect();
    for schema in without_table {
        let relations = counts.get(&schema).copied().unwrap_or(0);
        let history = HistorySnapshot::NoTable { relations };
        found.settled.insert(schema, history);
    }
    Ok(in_use)
}

/// How many relations each of these schemas holds beside fleet's own tables. Those of an extension do
/// not count; schemas without any are left out.
pub(super) async fn relations(
    client: &Client,
    schemas: &[&SchemaName],
    table: &str,
) -> Result<HashMap<SchemaName, u64>, tokio_postgres::Error> {
    if schemas.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = schemas.iter().map(|schema| schema.as_str()).collect();
    let rows = client
        .query_typed(
            "SELECT n.nspname::text, pg_catalog.count(*) FROM pg_catalog.pg_class c \
             JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
             WHERE n.nspname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND c.relname NOT IN ($2, $3, $4) \
               AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d \
                 WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e') \
             GROUP BY n.nspname",
            &[
                (&names, Type::NAME_ARRAY),
                (&table, Type::NAME),
                (&STEPS_TABLE, Type::NAME),
                (&REPAIRS_TABLE, Type::NAME),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let relations = u64::try_from(row.get::<_, i64>(1)).unwrap_or(0);
            Some((SchemaName::parse(row.get(0)).ok()?, relations))
        })
        .collect())
}
