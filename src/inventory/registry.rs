//! Runs a registry query so that it can only read, and takes every value as text.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::listed::ListedTenant;
use super::{InventoryError, QueryFailure, describe};
use crate::tenant::{DatabaseName, Labels};

/// The column that names tenants.
const SCHEMA_COLUMN: &str = "schema";

/// Reads the tenants that the query gives, unchecked.
pub(super) async fn read(
    client: &Client,
    database: &DatabaseName,
    query: &str,
) -> Result<Vec<ListedTenant>, InventoryError> {
    let failed = |error: tokio_postgres::Error| InventoryError::Query {
        database: database.clone(),
        failure: Box::new(query_failure(query, &error)),
    };
    client
        .batch_execute("BEGIN READ ONLY")
        .await
        .map_err(failed)?;
    let listed = read_in_transaction(client, database, query).await;
    // Also takes back whatever the query set for the session. Its own failure matters only where
    // the query did not fail.
    let rolled_back = client.batch_execute("ROLLBACK").await.map_err(failed);
    listed.and_then(|listed| rolled_back.map(|()| listed))
}

/// Prepares before it runs: a prepared statement is one statement, whereas the simple protocol, which
/// gives every type as text, would take `…; COMMIT; DROP …` and so leave the read-only transaction.
/// That the statement returns the columns is known before it runs, too, so that it is no `COMMIT`.
async fn read_in_transaction(
    client: &Client,
    database: &DatabaseName,
    query: &str,
) -> Result<Vec<ListedTenant>, InventoryError> {
    let failed = |error: tokio_postgres::Error| InventoryError::Query {
        database: database.clone(),
        failure: Box::new(query_failure(query, &error)),
    };
    let statement = client.prepare(query).await.map_err(failed)?;
    let columns: Vec<String> = statement
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    if !are_usable(&columns) {
        return Err(InventoryError::Columns {
            database: database.clone(),
            found: columns,
        });
    }
    let messages = client.simple_query(query).await.map_err(failed)?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(listed(row)),
            _ => None,
        })
        .collect())
}

/// One `schema`, and no label twice: one of two equal labels would be lost without a word.
fn are_usable(columns: &[String]) -> bool {
    let distinct: HashSet<&String> = columns.iter().collect();
    distinct.len() == columns.len() && columns.iter().any(|name| name == SCHEMA_COLUMN)
}

fn listed(row: &SimpleQueryRow) -> ListedTenant {
    let mut name = None;
    let mut labels = Labels::new();
    for (index, column) in row.columns().iter().enumerate() {
        let value = row.get(index).map(str::to_owned);
        if column.name() == SCHEMA_COLUMN {
            name = value;
        } else if let Some(value) = value {
            labels.insert(column.name().to_owned(), value);
        }
    }
    ListedTenant {
        name,
        labels: Arc::new(labels),
    }
}

fn query_failure(query: &str, error: &tokio_postgres::Error) -> QueryFailure {
    let Some(db) = error.as_db_error() else {
        return QueryFailure {
            message: describe(error),
            sqlstate: None,
            position: None,
            hint: None,
        };
    };
    QueryFailure {
        message: db.message().to_owned(),
        sqlstate: Some(db.code().code().to_owned()),
        position: match db.position() {
            Some(ErrorPosition::Original(position)) => Some(place(query, *position)),
            // A place inside a function's text says nothing about ours.
            Some(ErrorPosition::Internal { .. }) | None => None,
        },
        hint: hint(db),
    }
}

/// PostgreSQL's own hint goes first; ours are for what fleet does to the query.
fn hint(db: &DbError) -> Option<String> {
    if let Some(hint) = db.hint() {
        return Some(hint.to_owned());
    }
    let ours = match db.code().code() {
        "42P01" | "42883" | "42704" => {
            "it runs with an empty search_path: write the schema in front of each name, such as public.tenants"
        }
        "42601" => "it must be one SQL statement",
        "25006" => "it runs in a read-only transaction: a query that finds tenants must not write",
        "42501" => "grant fleet's role USAGE on the schema and SELECT on the table",
        _ => return None,
    };
    Some(ours.to_owned())
}

/// Line and column, from 1, of a position that counts characters from 1.
fn place(query: &str, position: u32) -> (usize, usize) {
    let before = usize::try_from(position.saturating_sub(1)).unwrap_or(usize::MAX);
    let mut place = (1, 1);
    for c in query.chars().take(before) {
        place = if c == '\n' {
            (place.0 + 1, 1)
        } else {
            (place.0, place.1 + 1)
        };
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_not_bytes() {
        assert_eq!(place("SELECT é\nFROM é, x", 1), (1, 1));
        assert_eq!(place("SELECT é\nFROM é, x", 15), (2, 6));
        assert_eq!(place("SELECT é\nFROM é, x", 18), (2, 9));
    }

    #[test]
    fn needs_the_schema_and_no_column_twice() {
        let usable = |columns: &[&str]| {
            let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
            are_usable(&columns)
        };
        assert!(usable(&["plan", "schema"]));
        assert!(!usable(&["plan", "Schema"]));
        assert!(!usable(&["schema", "id", "id"]));
        assert!(!usable(&[]));
    }
}
