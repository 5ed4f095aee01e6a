//! One reading: the fingerprints of all schemas, then the items of one schema for each fingerprint.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use tokio_postgres::Row;

use super::batch::{self, PerSchema};
use super::items::{self, Features};
use super::lookup::{self, Objects};
use super::{CatalogError, ShapeOptions, Shapes};
use crate::pg::{self, PgError, Pool};
use crate::shape::{Fingerprint, Item, Kind, Shape};
use crate::tenant::{DatabaseName, SchemaName};

/// Connections that are used at a time: this is work for the server's processors, and it has others to serve.
const CONNECTIONS: usize = 4;

/// Schemas in one transaction.
const SCHEMAS: usize = 100;

/// Relations in one transaction that printing may lock. PostgreSQL's lock table has room for 6,400 by default.
const LOCKS: usize = 1000;

/// Schemas whose items are read in one transaction.
const LISTED: usize = 10;

/// After so many schemas a connection is given up: a server process keeps what it has learnt of every table. With 5,000
/// tenants of ten tables it grew to 57 MB so, to 75 with 500, to 129 with 1,000; times differed less than the noise.
const SCHEMAS_PER_CONNECTION: usize = 300;

pub(super) struct Reader<'a> {
    pub(super) pool: &'a Pool,
    pub(super) database: &'a DatabaseName,
    pub(super) options: &'a ShapeOptions,
}

impl Reader<'_> {
    pub(super) async fn read(&self, schemas: &[SchemaName]) -> Result<Shapes, CatalogError> {
        let mut answer = Shapes::default();
        let found = {
            let client = pg::checkout(self.pool, self.database).await?;
            lookup::look(&client, self.database, schemas, self.options, &mut answer)
                .await
                .map_err(|cause| self.failed(cause))?
        };
        let features = Features {
            major: found.major,
            grants: self.options.grants,
            comments: self.options.comments,
        };
        let objects: HashMap<SchemaName, Objects> = found
            .schemas
            .iter()
            .map(|schema| (schema.schema.clone(), schema.clone()))
            .collect();
        // a table that somebody has for himself makes its tenant wait, and nobody else
        let (locked, free): (Vec<Objects>, Vec<Objects>) = found
            .schemas
            .into_iter()
            .partition(|schema| found.locked.contains(&schema.oid));
        let mut batches = batches(&free, SCHEMAS);
        batches.extend(locked.chunks(1));
        let query = items::fingerprints(features);
        let read = self.on_connections(&query, &batches, |rows| fingerprint(&rows));
        for (schema, fingerprint) in read.await? {
            match fingerprint {
                Ok(fingerprint) => {
                    answer.fingerprints.insert(schema, fingerprint);
                }
                Err(reason) => {
                    answer.unreadable.insert(schema, reason);
                }
            }
        }
        self.list(features, &objects, &mut answer).await?;
        Ok(answer)
    }

    /// Reads the items of one schema for each fingerprint that has no shape yet. A schema that was changed in the
    /// meantime has another fingerprint now, and somebody else has to stand for its old one.
    async fn list(
        &self,
        features: Features,
        objects: &HashMap<SchemaName, Objects>,
        answer: &mut Shapes,
    ) -> Result<(), CatalogError> {
        let query = items::listed(features);
        let seen = &Mutex::new(HashSet::new());
        loop {
            let mut chosen: HashMap<Fingerprint, &SchemaName> = HashMap::new();
            for (schema, fingerprint) in &answer.fingerprints {
                if !answer.shapes.contains_key(fingerprint) {
                    let one = chosen.entry(*fingerprint).or_insert(schema);
                    *one = (*one).min(schema);
                }
            }
            if chosen.is_empty() {
                return Ok(());
            }
            let chosen = chosen.values().filter_map(|schema| objects.get(*schema));
            let chosen: Vec<Objects> = chosen.cloned().collect();
            let batches = batches(&chosen, LISTED);
            let read = self.on_connections(&query, &batches, |rows| shape(&rows, seen));
            for (schema, shape) in read.await? {
                match shape {
                    Ok(shape) => {
                        let fingerprint = shape.fingerprint();
                        let shapes = &mut answer.shapes;
                        shapes.entry(fingerprint).or_insert_with(|| Arc::new(shape));
                        answer.fingerprints.insert(schema, fingerprint);
                    }
                    Err(reason) => {
                        answer.fingerprints.remove(&schema);
                        answer.unreadable.insert(schema, reason);
                    }
                }
            }
        }
    }

    fn failed(&self, cause: tokio_postgres::Error) -> CatalogError {
        CatalogError::Query {
            database: self.database.clone(),
            cause,
        }
    }

    /// Works through the batches on some of the pool's connections, each as soon as it is open. Where the server has
    /// none to spare, those that there are do all of the work.
    async fn on_connections<T>(
        &self,
        query: &str,
        batches: &[&[Objects]],
        of_rows: impl Fn(Vec<Row>) -> T + Copy,
    ) -> Result<PerSchema<T>, CatalogError> {
        let left = &Mutex::new(batches.iter());
        let connections = CONNECTIONS
            .min(self.pool.status().max_size)
            .min(batches.len());
        let workers = (0..connections).map(async |_| {
            let mut done = Vec::new();
            loop {
                match self.work(query, left, of_rows, &mut done).await {
                    Ok(Rest::Nothing) => return Ok(Ok(done)),
                    Ok(Rest::ForAnother) => {}
                    Err(CatalogError::Connect(none @ PgError::TooManyConnections(_)))
                        if done.is_empty() =>
                    {
                        return Ok(Err(none));
                    }
                    Err(error) => return Err(error),
                }
            }
        });
        let ended = try_join_all(workers).await?;
        let (worked, without): (Vec<_>, Vec<_>) = ended.into_iter().partition(Result::is_ok);
        if let (true, Some(Err(none))) = (worked.is_empty(), without.into_iter().next()) {
            return Err(none.into());
        }
        Ok(worked.into_iter().flatten().flatten().collect())
    }

    /// Works on one connection for as long as it is good for.
    async fn work<'b, T>(
        &self,
        query: &str,
        left: &Mutex<impl Iterator<Item = &'b &'b [Objects]>>,
        of_rows: impl Fn(Vec<Row>) -> T + Copy,
        done: &mut PerSchema<T>,
    ) -> Result<Rest, CatalogError> {
        let client = pg::checkout(self.pool, self.database).await?;
        let statement = batch::prepare(&client, query).await;
        let statement = statement.map_err(|cause| self.failed(cause))?;
        let settings = self.pool.transaction_settings();
        let mut schemas = 0;
        while schemas < SCHEMAS_PER_CONNECTION {
            let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some(batch) = next else {
                return Ok(Rest::Nothing);
            };
            let answers = batch::ask(&client, (&statement, settings), batch, of_rows).await;
            done.extend(answers.map_err(|cause| self.failed(cause))?);
            schemas += batch.len();
        }
        pg::discard(client);
        Ok(Rest::ForAnother)
    }
}

/// What a connection leaves to do.
enum Rest {
    Nothing,
    ForAnother,
}

/// Parts that may each be read in one transaction.
fn batches(schemas: &[Objects], at_most: usize) -> Vec<&[Objects]> {
    let mut batches = Vec::new();
    let (mut start, mut locks) = (0, 0);
    for (index, schema) in schemas.iter().enumerate() {
        if index > start && (index - start == at_most || locks + schema.lockable > LOCKS) {
            batches.push(&schemas[start..index]);
            (start, locks) = (index, 0);
        }
        locks += schema.lockable;
    }
    if start < schemas.len() {
        batches.push(&schemas[start..]);
    }
    batches
}

/// A schema without any item has no row.
fn fingerprint(rows: &[Row]) -> Fingerprint {
    let hash = rows.first().map(|row| row.get::<_, &[u8]>(1));
    match hash.and_then(|hash| hash.try_into().ok()) {
        Some(hash) => Fingerprint(hash),
        None => Shape::default().fingerprint(),
    }
}

fn shape(rows: &[Row], seen: &Mutex<HashSet<Arc<Item>>>) -> Shape {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let items = rows.iter().filter_map(|row| {
        let item = Item {
            kind: Kind::of_word(row.get(1))?,
            table: row.get(2),
            name: row.get(3),
            definition: row.get(4),
            raw: row.get(5),
        };
        if let Some(known) = seen.get(&item) {
            return Some(Arc::clone(known));
        }
        let item = Arc::new(item);
        seen.insert(Arc::clone(&item));
        Some(item)
    });
    Shape::new(items.collect())
}
