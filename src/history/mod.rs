//! Reads every tenant's refinery history: a look into the catalogue for the whole database, then the
//! tables in bounded batches of plain statements, spread over the pool's connections.
//!
//! One statement over all tables is not used on purpose: planning a UNION ALL is quadratic in its
//! branches and locks every table at once. Neither is one query a tenant: over a wire, round trips
//! are what costs.

mod batch;
mod catalog;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::pg::{self, PgError, Pool};
use crate::plan::{AppliedRow, HistorySnapshot, VersionColumn};
use crate::tenant::{DatabaseName, SchemaName};
use catalog::{Found, HistoryTable};

/// Where a tenant's own schema notes the steps of a migration that runs without a transaction. It is
/// there only while such a migration is under way.
pub const STEPS_TABLE: &str = "fleet_schema_steps";

/// Histories read with one message. Each holds two locks (table and key) until the message ends;
/// PostgreSQL's lock table has room for 6,400 by default.
const BATCH: usize = 100;

/// Why the histories of a database could not be read. What concerns one tenant is that tenant's
/// [`HistorySnapshot::Unreadable`] or [`HistorySnapshot::Corrupt`] instead.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] PgError),
    /// The catalogue could not be read.
    #[error(
        "database {database}: the histories cannot be read: {}",
        pg::describe(cause)
    )]
    Query {
        /// Which database.
        database: DatabaseName,
        /// What PostgreSQL said; it is in the text already and therefore not a source.
        cause: tokio_postgres::Error,
    },
    /// A task of ours panicked.
    #[error("database {0}: reading the histories broke off")]
    Broken(DatabaseName),
}

/// Reads the histories of these schemas. Each schema has an entry in the answer.
///
/// # Errors
/// Where no connection can be had or the catalogue cannot be read.
pub async fn read(
    pool: &Pool,
    database: &DatabaseName,
    schemas: &[SchemaName],
    table: &str,
) -> Result<HashMap<SchemaName, HistorySnapshot>, HistoryError> {
    let query_error = |cause| HistoryError::Query {
        database: database.clone(),
        cause,
    };
    let found = {
        let client = pg::checkout(pool, database).await?;
        catalog::look(&client, schemas, table)
            .await
            .map_err(query_error)?
    };
    let (tables, mut histories) = found.split();
    let connections = pool.status().max_size.max(1);
    let size = BATCH.min(tables.len().div_ceil(connections)).max(1);
    let mut batches: JoinSet<Result<_, HistoryError>> = JoinSet::new();
    for batch in tables.chunks(size) {
        let (pool, database) = (pool.clone(), database.clone());
        let (batch, table) = (batch.to_vec(), table.to_owned());
        batches.spawn(async move {
            let client = match pg::checkout(&pool, &database).await {
                // the server has no connection to spare: the ones that there are will do
                Err(PgError::TooManyConnections(_)) => return Ok((batch, None)),
                client => client?,
            };
            let read = batch::read(&client, &batch, &table).await;
            let read = read.map_err(|cause| HistoryError::Query { database, cause })?;
            Ok((batch, Some(read)))
        });
    }
    let mut rows_seen = RowsSeen::default();
    let mut left = Vec::new();
    let mut share = |read: Vec<(SchemaName, HistorySnapshot)>| {
        let shared = read.into_iter();
        histories.extend(shared.map(|(schema, history)| (schema, rows_seen.share(history))));
    };
    while let Some(batch) = batches.join_next().await {
        match batch.map_err(|_| HistoryError::Broken(database.clone()))?? {
            (_, Some(read)) => share(read),
            (batch, None) => left.extend(batch),
        }
    }
    let client = pg::checkout(pool, database).await?;
    for batch in left.chunks(BATCH) {
        share(
            batch::read(&client, batch, table)
                .await
                .map_err(query_error)?,
        );
    }
    doubt_empty(&client, &mut histories, table)
        .await
        .map_err(query_error)?;
    Ok(histories)
}

/// An empty history beside tables was emptied, or belongs to a schema that another tool made: it does
/// not mean that nothing was applied. It is read again first, for the tables may be younger than the
/// first look, and the history came with them.
async fn doubt_empty(
    client: &Client,
    histories: &mut HashMap<SchemaName, HistorySnapshot>,
    table: &str,
) -> Result<(), tokio_postgres::Error> {
    let empty: Vec<HistoryTable> = histories
        .iter()
        .filter_map(|(schema, history)| match history {
            // a first migration that is under way without a transaction has left relations, and no row
            HistorySnapshot::Rows {
                column,
                rows,
                steps,
            } if rows.is_empty() && steps.is_empty() => Some(HistoryTable {
                schema: schema.clone(),
                column: *column,
                has_steps: false,
            }),
            _ => None,
        })
        .collect();
    let schemas: Vec<&SchemaName> = empty.iter().map(|table| &table.schema).collect();
    let in_use = catalog::relations(client, &schemas, table).await?;
    let again: Vec<HistoryTable> = empty
        .into_iter()
        .filter(|table| in_use.contains_key(&table.schema))
        .collect();
    for (schema, history) in batch::read(client, &again, table).await? {
        let still_empty = matches!(&history, HistorySnapshot::Rows { rows, .. } if rows.is_empty());
        let history = match in_use.get(&schema) {
            Some(relations) if still_empty => HistorySnapshot::NoTable {
                relations: *relations,
            },
            _ => history,
        };
        histories.insert(schema, history);
    }
    Ok(())
}

/// Reads one tenant's history on a connection at hand.
///
/// # Errors
/// Where the connection is lost.
pub async fn read_one(
    client: &Client,
    schema: &SchemaName,
    table: &str,
) -> Result<HistorySnapshot, tokio_postgres::Error> {
    let found = catalog::look(client, std::slice::from_ref(schema), table).await?;
    let (tables, mut histories) = found.split();
    histories.extend(batch::read(client, &tables, table).await?);
    doubt_empty(client, &mut histories, table).await?;
    Ok(histories
        .remove(schema)
        .unwrap_or(HistorySnapshot::SchemaAbsent))
}

/// Which width the history tables of these tenants have, where they have any and agree.
pub fn common_column<'a>(
    histories: impl Iterator<Item = &'a HistorySnapshot>,
) -> Option<VersionColumn> {
    let mut narrow = 0_u64;
    let mut wide = 0_u64;
    for history in histories {
        match history {
            HistorySnapshot::Rows {
                column: VersionColumn::Int4,
                ..
            } => narrow += 1,
            HistorySnapshot::Rows {
                column: VersionColumn::Int8,
                ..
            } => wide += 1,
            _ => {}
        }
    }
    match (narrow, wide) {
        (0, 0) => None,
        (narrow, wide) if narrow >= wide => Some(VersionColumn::Int4),
        _ => Some(VersionColumn::Int8),
    }
}

/// Most tenants have the same history: it is kept once.
#[derive(Default)]
struct RowsSeen(HashSet<Arc<[AppliedRow]>>);

impl RowsSeen {
    fn share(&mut self, history: HistorySnapshot) -> HistorySnapshot {
        let HistorySnapshot::Rows {
            column,
            rows,
            steps,
        } = history
        else {
            return history;
        };
        let rows = if let Some(seen) = self.0.get(&rows) {
            Arc::clone(seen)
        } else {
            self.0.insert(Arc::clone(&rows));
            rows
        };
        HistorySnapshot::Rows {
            column,
            rows,
            steps,
        }
    }
}

impl Found {
    /// Tables to read, and the tenants whose history is known without.
    fn split(self) -> (Vec<HistoryTable>, HashMap<SchemaName, HistorySnapshot>) {
        (self.tables, self.settled)
    }
}
