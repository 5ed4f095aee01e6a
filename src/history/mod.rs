//! Reads every tenant's refinery history, over all of the pool's connections. Plain tables with rows in them,
//! which is nearly all of them, are copied out; for the others the catalogue is asked, and what it finds is read
//! in bounded batches of plain statements.
//!
//! One statement over all tables is not used on purpose: planning a UNION ALL is quadratic in its
//! branches and locks every table at once. Neither is one query a tenant: over a wire, round trips
//! are what costs.

mod batch;
mod catalog;
mod copy;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Object;
use futures_util::future::try_join_all;
use tokio_postgres::Client;

use crate::pg::{self, PgError, Pool};
use crate::plan::{AppliedRow, HistorySnapshot, VersionColumn};
use crate::tenant::{DatabaseName, SchemaName};
use catalog::{Found, HistoryTable};

/// Where a tenant's own schema notes the steps of a migration that runs without a transaction. It is
/// there only while such a migration is under way.
pub const STEPS_TABLE: &str = "fleet_schema_steps";

/// Where a tenant's own schema notes the fixes that were run in it. It is there from the first repair on.
pub const REPAIRS_TABLE: &str = "fleet_schema_repairs";

/// Histories read with one message. Each holds two locks (table and key) until the message ends;
/// PostgreSQL's lock table has room for 6,400 by default.
const BATCH: usize = 100;

/// Histories copied in one transaction. Each holds one lock until it ends, for the key is left alone.
const COPY_BATCH: usize = 200;

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
    let reader = Reader {
        pool,
        database,
        table,
    };
    let plain = {
        let client = pg::checkout(pool, database).await?;
        let plain = catalog::with_plain_history(&client, table).await;
        plain.map_err(|cause| reader.failed(cause))?
    };
    let (plain, mut unclear): (Vec<SchemaName>, Vec<SchemaName>) = schemas
        .iter()
        .cloned()
        .partition(|schema| plain.contains(schema));
    let mut rows_seen = RowsSeen::default();
    let mut histories = HashMap::with_capacity(schemas.len());
    for (schema, history) in reader.copy(&plain).await? {
        match history {
            Some(history) => {
                histories.insert(schema, rows_seen.share(history));
            }
            None => unclear.push(schema),
        }
    }
    if !unclear.is_empty() {
        let looked = reader.look(&unclear).await?.into_iter();
        histories.extend(looked.map(|(schema, history)| (schema, rows_seen.share(history))));
    }
    Ok(histories)
}

/// Reads the histories of one database over its pool.
struct Reader<'a> {
    pool: &'a Pool,
    database: &'a DatabaseName,
    table: &'a str,
}

impl Reader<'_> {
    fn failed(&self, cause: tokio_postgres::Error) -> HistoryError {
        HistoryError::Query {
            database: self.database.clone(),
            cause,
        }
    }

    /// Plain tables, by copying them out.
    async fn copy(
        &self,
        schemas: &[SchemaName],
    ) -> Result<Vec<(SchemaName, Option<HistorySnapshot>)>, HistoryError> {
        let left = &Mutex::new(schemas.chunks(COPY_BATCH));
        self.on_all_connections(schemas.len().div_ceil(COPY_BATCH), async |client| {
            let mut read = Vec::new();
            while let Some(batch) = take_next(left) {
                read.extend(copy::read(&client, batch, self.table).await?);
            }
            Ok(read)
        })
        .await
    }

    /// All others, by what the catalogue says of them.
    async fn look(
        &self,
        schemas: &[SchemaName],
    ) -> Result<HashMap<SchemaName, HistorySnapshot>, HistoryError> {
        let client = pg::checkout(self.pool, self.database).await?;
        let found = catalog::look(&client, schemas, self.table).await;
        let (tables, mut histories) = found.map_err(|cause| self.failed(cause))?.split();
        drop(client);
        let left = &Mutex::new(tables.chunks(BATCH));
        let read = self.on_all_connections(tables.len().div_ceil(BATCH), async |client| {
            let mut read = Vec::new();
            while let Some(batch) = take_next(left) {
                read.extend(batch::read(&client, batch, self.table).await?);
            }
            Ok(read)
        });
        histories.extend(read.await?);
        let client = pg::checkout(self.pool, self.database).await?;
        let doubted = doubt_empty(&client, &mut histories, self.table).await;
        doubted.map_err(|cause| self.failed(cause))?;
        Ok(histories)
    }

    /// Works on the pool's connections, no more than `pieces`, each as soon as it is open. Where the server has
    /// none to spare, those that there are do all of the work.
    async fn on_all_connections<R>(
        &self,
        pieces: usize,
        work: impl AsyncFn(Object) -> Result<Vec<R>, tokio_postgres::Error>,
    ) -> Result<Vec<R>, HistoryError> {
        let connections = self.pool.status().max_size.min(pieces);
        let workers =
            (0..connections).map(
                async |_| match pg::checkout(self.pool, self.database).await {
                    Ok(client) => {
                        let done = work(client).await;
                        Ok(Ok(done.map_err(|cause| self.failed(cause))?))
                    }
                    Err(none @ PgError::TooManyConnections(_)) => Ok(Err(none)),
                    Err(error) => Err(HistoryError::from(error)),
                },
            );
        let ended = try_join_all(workers).await?;
        let (worked, without): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
        if let (true, Some(Err(none))) = (worked.is_empty(), without.into_iter().next()) {
            return Err(none.into());
        }
        Ok(worked.into_iter().flatten().flatten().collect())
    }
}

/// The next piece of work, for whoever asks first.
fn take_next<T>(left: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    left.lock().unwrap_or_else(PoisonError::into_inner).next()
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

/// The width of one history table, be it empty; None where there is no table.
///
/// # Errors
/// Where the connection is lost.
pub async fn column_of(
    client: &Client,
    schema: &SchemaName,
    table: &str,
) -> Result<Option<VersionColumn>, tokio_postgres::Error> {
    let found = catalog::look(client, std::slice::from_ref(schema), table).await?;
    Ok(found.tables.first().map(|table| table.column))
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
