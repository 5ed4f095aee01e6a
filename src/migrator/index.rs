//! Indexes that are built outside of a transaction, as the catalogue shows them. A build that broke
//! off leaves an invalid index behind, over which `IF NOT EXISTS` would step without a word.

use tokio_postgres::{Client, Row};

use crate::migration::{IndexBuild, ObjectName};
use crate::pg;
use crate::run::{Failure, FailureClass};
use crate::tenant::{SchemaName, quote_identifier};

/// Why an index could not be looked at, or put right.
pub(super) enum IndexError {
    /// The server's.
    Query(tokio_postgres::Error),
    /// It is for a person to decide, or for a later attempt.
    Found(Box<Failure>),
    /// The server did not answer to a cancel request.
    NoAnswer,
}

impl From<tokio_postgres::Error> for IndexError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query(error)
    }
}

impl IndexError {
    /// The same as a failure, and whether the connection is lost.
    pub(super) fn into_failure(self) -> (Failure, bool) {
        match self {
            Self::Query(error) => (pg::failure_of(&error), pg::is_connection_lost(&error)),
            Self::Found(failure) => (*failure, false),
            Self::NoAnswer => (
                Failure::new(
                    FailureClass::Transient,
                    "the server did not answer to the cancel request",
                ),
                true,
            ),
        }
    }
}

/// An index of a tenant.
pub(super) struct Index {
    /// Its bare name.
    pub(super) name: String,
    /// The bare name of its table.
    pub(super) table: String,
    /// Whether queries may use it.
    pub(super) is_valid: bool,
    /// What it is an index of and how, without the names of index and table.
    pub(super) definition: String,
    /// Another session that is building it now, in words.
    pub(super) builder: Option<String>,
}

/// `pg_get_indexdef` without the names in front: `UNIQUE USING btree (lower(email))`. `i` is the row
/// of `pg_index`.
const DEFINITION: &str = "(CASE WHEN i.indisunique THEN ' UNIQUE' ELSE '' END) || \
    substr(pg_catalog.pg_get_indexdef(i.indexrelid), strpos(pg_catalog.pg_get_indexdef(i.indexrelid), ' USING '))";

fn select(condition: &str) -> String {
    format!(
        "SELECT c.relname::text, i.indisvalid, {DEFINITION}, \
           (SELECT pg_catalog.format('pid %s (%s)', p.pid, a.application_name) \
            FROM pg_catalog.pg_stat_progress_create_index p \
            LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = p.pid \
            WHERE p.index_relid = c.oid AND p.pid <> pg_catalog.pg_backend_pid() \
              AND p.datname = pg_catalog.current_database()), t.relname::text \
         FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
         JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND {condition}"
    )
}

fn index(row: &Row) -> Index {
    Index {
        name: row.get(0),
        is_valid: row.get(1),
        definition: row.get(2),
        builder: row.get(3),
        table: row.get(4),
    }
}

/// The schema that a name of a statement means.
fn schema_of<'a>(schema: &'a SchemaName, name: &'a ObjectName) -> &'a str {
    name.schema.as_deref().unwrap_or(schema.as_str())
}

/// The index that a build makes: by its name, or where it has none by its definition.
pub(super) async fn find(
    client: &Client,
    schema: &SchemaName,
    build: &IndexBuild,
) -> Result<Option<Index>, IndexError> {
    let of = schema_of(schema, &build.table);
    if let Some(name) = &build.name {
        let row = client
            .query_opt(&select("c.relname = $2"), &[&of, name])
            .await?;
        return Ok(row.as_ref().map(index));
    }
    let Some(meant) = meant(client, schema, build).await? else {
        return Ok(None);
    };
    let rows = client
        .query(&select("t.relname = $2"), &[&of, &build.table.name])
        .await?;
    // an invalid one first: it is what a build has left
    let mut same: Vec<Index> = rows.iter().map(index).collect();
    same.retain(|index| index.definition == meant);
    same.sort_by_key(|index| index.is_valid);
    Ok(same.into_iter().next())
}

/// Whether there is what a statement names, looked up as the statement itself would.
pub(super) async fn exists(client: &Client, name: &ObjectName) -> Result<bool, IndexError> {
    let row = client
        .query_one(
            "SELECT pg_catalog.to_regclass($1) IS NOT NULL",
            &[&in_sql(name)],
        )
        .await?;
    Ok(row.get(0))
}

/// A name as it is written in SQL: without a schema, where there is none, so that the search path counts.
pub(super) fn in_sql(name: &ObjectName) -> String {
    let schema = name.schema.as_ref();
    let schema = schema.map_or_else(String::new, |schema| quote_identifier(schema) + ".");
    schema + &quote_identifier(&name.name)
}

/// What the definition of an index must look like, from building it on an empty copy of its table in
/// a transaction that is rolled back. None where that cannot be had: the statement names a schema, so
/// that it would reach past the copy, or fleet's role may not make temporary tables.
pub(super) async fn meant(
    client: &Client,
    schema: &SchemaName,
    build: &IndexBuild,
) -> Result<Option<String>, IndexError> {
    if build.table.schema.is_some() {
        return Ok(None);
    }
    let table = quote_identifier(&build.table.name);
    // temporary tables are found before all others, whatever the search path says
    let copy = format!(
        "BEGIN;CREATE TEMPORARY TABLE {table} (LIKE {}.{table});{}",
        schema.quoted(),
        build.plain
    );
    let copied = client.batch_execute(&copy).await;
    let definition = match copied {
        Ok(()) => client
            .query_opt(
                &format!(
                    "SELECT {DEFINITION} FROM pg_catalog.pg_index i \
                     JOIN pg_catalog.pg_class t ON t.oid = i.indrelid \
                     WHERE t.relnamespace = pg_catalog.pg_my_temp_schema() AND t.relname = $1"
                ),
                &[&build.table.name],
            )
            .await
            .map(|row| row.map(|row| row.get(0))),
        Err(error) => Err(error),
    };
    client.batch_execute("ROLLBACK").await?;
    match definition {
        Ok(definition) => Ok(definition),
        // no right to make temporary tables, or what the file says does not fit the table any more
        Err(error)
            if error
                .code()
                .is_some_and(|code| code.code().starts_with("42")) =>
        {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Drops what a build that broke off has left. Says what was done.
pub(super) async fn clear(
    client: &Client,
    schema: &SchemaName,
    build: &IndexBuild,
) -> Result<Option<String>, IndexError> {
    match find(client, schema, build).await? {
        Some(index) if !index.is_valid => {
            drop_invalid(client, schema_of(schema, &build.table), &index).await?;
            Ok(Some(format!(
                "the invalid index {} was dropped, to be built anew",
                index.name
            )))
        }
        _ => Ok(None),
    }
}

/// Drops an invalid index, unless somebody is building it.
pub(super) async fn drop_invalid(
    client: &Client,
    schema: &str,
    index: &Index,
) -> Result<(), IndexError> {
    if let Some(builder) = &index.builder {
        return Err(IndexError::Found(Box::new(Failure {
            blocked_by: Some(builder.clone()),
            ..Failure::new(
                FailureClass::Transient,
                format!("another session is building the index {}", index.name),
            )
        })));
    }
    let drop = format!(
        "DROP INDEX CONCURRENTLY IF EXISTS {}.{}",
        quote_identifier(schema),
        quote_identifier(&index.name)
    );
    Ok(client.batch_execute(&drop).await?)
}

/// Drops what a `REINDEX CONCURRENTLY` that broke off has left: the new index where it was not ready
/// (`_ccnew`), the old one where it was (`_ccold`).
/// <https://www.postgresql.org/docs/current/sql-reindex.html#SQL-REINDEX-CONCURRENTLY>
pub(super) async fn clear_rebuilds(
    client: &Client,
    schema: &SchemaName,
) -> Result<Option<String>, IndexError> {
    let mut dropped = Vec::new();
    for (of, condition) in [
        (schema.as_str(), "true"),
        // of large values that lie apart
        (
            "pg_toast",
            "t.oid IN (SELECT o.reltoastrelid FROM pg_catalog.pg_class o \
             WHERE o.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2))",
        ),
    ] {
        let left = format!(
            "NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND $2 <> '' AND {condition}"
        );
        let rows = client
            .query(&select(&left), &[&of, &schema.as_str()])
            .await?;
        for index in rows.iter().map(index) {
            drop_invalid(client, of, &index).await?;
            dropped.push(index.name);
        }
    }
    Ok((!dropped.is_empty()).then(|| format!("{} dropped", dropped.join(", "))))
}

/// An index is never recorded as built while it is not valid.
pub(super) async fn is_valid(
    client: &Client,
    schema: &SchemaName,
    build: &IndexBuild,
) -> Result<(), IndexError> {
    let Some(name) = &build.name else {
        return Ok(());
    };
    match find(client, schema, build).await? {
        Some(index) if !index.is_valid => Err(IndexError::Found(Box::new(Failure::new(
            FailureClass::Transient,
            format!("the index {name} is invalid though its build has ended"),
        )))),
        _ => Ok(()),
    }
}
