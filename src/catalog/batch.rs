//! Runs a query over some schemas in a transaction of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio_postgres::types::{Oid, ToSql, Type};
use tokio_postgres::{Client, Error, Row, Statement};

use super::lookup::Objects;
use crate::tenant::SchemaName;

/// How long printing a definition may wait for somebody's lock. Shorter than the second after which PostgreSQL looks
/// for deadlocks: whoever alters a table must not lose his work to a reader.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// What one schema's rows are, or why there are none.
pub(super) type PerSchema<T> = Vec<(SchemaName, Result<T, String>)>;

/// How often a schema is tried that somebody locks or changes.
const TRIES: u32 = 3;

/// How long until it is tried again.
const PAUSE: Duration = Duration::from_millis(200);

/// What changes how PostgreSQL prints a definition, as `setup_connection` in `pg_dump.c` sets it, and `lc_monetary` for
/// constants of the type `money`. A database or a role may have other defaults.
const PRINTING: &str = "SET LOCAL TimeZone='UTC';SET LOCAL DateStyle='ISO';SET LOCAL IntervalStyle='postgres';\
     SET LOCAL bytea_output='hex';SET LOCAL extra_float_digits=3;SET LOCAL quote_all_identifiers=off;\
     SET LOCAL standard_conforming_strings=on;SET LOCAL xmlbinary='base64';SET LOCAL lc_monetary='C'";

/// Prepares one of the queries of [`super::items`].
pub(super) async fn prepare(client: &Client, query: &str) -> Result<Statement, Error> {
    let types = [
        Type::OID_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::OID_ARRAY,
        Type::OID_ARRAY,
        Type::OID_ARRAY,
    ];
    client.prepare_typed(query, &types).await
}

/// Asks for these schemas, and hands each its rows. Where that fails the batch is halved, until the one that is in
/// the way stands alone.
pub(super) async fn ask<T>(
    client: &Client,
    (statement, settings): (&Statement, &[String]),
    schemas: &[Objects],
    of_rows: impl Fn(Vec<Row>) -> T,
) -> Result<PerSchema<T>, Error> {
    let mut answers = Vec::with_capacity(schemas.len());
    let mut todo = vec![(schemas, 1)];
    while let Some((part, tried)) = todo.pop() {
        let error = match in_transaction(client, (statement, settings), part).await {
            Ok(rows) => {
                let mut by_schema: HashMap<Oid, Vec<Row>> = HashMap::new();
                for row in rows {
                    by_schema.entry(row.get(0)).or_default().push(row);
                }
                answers.extend(part.iter().map(|schema| {
                    let rows = by_schema.remove(&schema.oid).unwrap_or_default();
                    (schema.schema.clone(), Ok(of_rows(rows)))
                }));
                continue;
            }
            Err(error) => error,
        };
        let Some(said) = error.as_db_error().filter(|_| !client.is_closed()) else {
            return Err(error);
        };
        match part {
            [] => {}
            [_] if tried < TRIES => {
                tokio::time::sleep(PAUSE).await;
                todo.push((part, tried + 1));
            }
            [one] => answers.push((one.schema.clone(), Err(said.message().to_owned()))),
            several => {
                let (left, right) = several.split_at(several.len() / 2);
                todo.extend([(left, 1), (right, 1)]);
            }
        }
    }
    Ok(answers)
}

async fn in_transaction(
    client: &Client,
    (statement, settings): (&Statement, &[String]),
    schemas: &[Objects],
) -> Result<Vec<Row>, Error> {
    let mut opening = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;SET LOCAL lock_timeout={};\
         SET LOCAL plan_cache_mode=force_generic_plan;SET LOCAL jit=off;{PRINTING}",
        LOCK_TIMEOUT.as_millis()
    );
    // among them what makes the server notice that nobody listens any more
    for setting in settings {
        let _ = write!(opening, ";SET LOCAL {setting}");
    }
    let transaction = Transaction(client);
    let (oids, names): (Vec<Oid>, Vec<&str>) =
        schemas.iter().map(|s| (s.oid, s.schema.as_str())).unzip();
    let paths: Vec<&str> = schemas.iter().map(|s| s.path.as_str()).collect();
    let roles: Vec<&str> = schemas.iter().map(|s| s.own_roles.as_str()).collect();
    let all = |of: fn(&Objects) -> &Vec<Oid>| -> Vec<Oid> {
        schemas.iter().flat_map(of).copied().collect()
    };
    let relations = all(|schema| &schema.relations);
    let functions = all(|schema| &schema.functions);
    let types = all(|schema| &schema.types);
    let parameters: [&(dyn ToSql + Sync); 7] = [
        &oids, &names, &paths, &roles, &relations, &functions, &types,
    ];
    let (begun, rows) = tokio::join!(
        client.batch_execute(&opening),
        client.query(statement, &parameters)
    );
    drop(transaction);
    begun?;
    rows
}

/// A transaction that ends when this is dropped, in whatever way.
struct Transaction<'a>(&'a Client);

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        // polled once, a message is on its way, and comes before whatever is sent next
        let _ = self.0.batch_execute("ROLLBACK").now_or_never();
    }
}
