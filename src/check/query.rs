//! A check by a query, which reads and never writes.

use std::fmt::{self, Write as _};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::CheckedDatabase;
use crate::pg::{self, CancelHandle};
use crate::tenant::{DatabaseName, SchemaName, quote_identifier, quote_literal};

/// How much longer an answer may take than the server allows the query to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where a query is asked.
pub(super) struct Place {
    /// In which database.
    pub(super) database: DatabaseName,
    /// In which tenant's schema; in none the query writes schemas in front of names.
    pub(super) schema: Option<SchemaName>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{}/{schema}", self.database),
            None => write!(f, "database {}", self.database),
        }
    }
}

/// Asks, and says what is wrong with the answer.
pub(super) async fn ask(
    database: &CheckedDatabase,
    place: &Place,
    sql: &str,
    timeout: Duration,
) -> Result<(), String> {
    let connection = pg::checkout(&database.pool, &place.database)
        .await
        .map_err(|error| error.to_string())?;
    let opening = opening(database, place, timeout);
    let asked = in_transaction(&connection, &opening, sql);
    let cancelled = CancelOnDrop(Some(CancelHandle::of(&connection, database.pool.url())));
    let answer = tokio::time::timeout(timeout + PATIENCE, asked).await;
    if answer.is_ok() {
        cancelled.disarm();
    }
    // whatever the query has done to the session
    pg::discard(connection);
    match answer {
        Ok(Ok(rows)) => judge(&rows),
        Ok(Err(error)) => Err(pg::describe(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Cancels what runs, unless it has ended: a run that is stopped leaves nothing on the server.
struct CancelOnDrop(Option<CancelHandle>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // where there is no runtime any more, the server notices by itself that nobody listens
        if let (Some(cancel), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(async move { cancel.cancel().await });
        }
    }
}

fn opening(database: &CheckedDatabase, place: &Place, timeout: Duration) -> String {
    let shared = database.search_path.iter();
    let shared = shared.map(|name| quote_identifier(name));
    let path: Vec<String> = match &place.schema {
        Some(schema) => std::iter::once(schema.quoted()).chain(shared).collect(),
        None => Vec::new(),
    };
    let mut opening = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;\
         SELECT pg_catalog.set_config('search_path',{},true);\
         SET LOCAL statement_timeout={}",
        quote_literal(&path.join(", ")),
        timeout.as_millis().max(1),
    );
    // among them what makes the server notice that nobody listens any more
    for setting in database.pool.transaction_settings() {
        let _ = write!(opening, ";SET LOCAL {setting}");
    }
    opening
}

async fn in_transaction(
    client: &Client,
    opening: &str,
    sql: &str,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.batch_execute(opening).await?;
    client.query(sql, &[]).await
}

/// Everything that is answered must be true.
fn judge(rows: &[Row]) -> Result<(), String> {
    let Some(first) = rows.first() else {
        return Err("the query answered no row".to_owned());
    };
    if first.is_empty() {
        return Err("the query answered no column".to_owned());
    }
    if let Some(other) = first.columns().iter().find(|c| *c.type_() != Type::BOOL) {
        return Err(format!(
            "the query answered {} in column {}, not a boolean",
            other.type_(),
            other.name()
        ));
    }
    for row in rows {
        for (index, column) in row.columns().iter().enumerate() {
            match row.get::<_, Option<bool>>(index) {
                Some(true) => {}
                Some(false) => return Err(format!("{} is false", column.name())),
                None => return Err(format!("{} is null", column.name())),
            }
        }
    }
    Ok(())
}
