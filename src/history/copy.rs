//! Reads history tables with `COPY … TO STDOUT`, many at a time on one connection.
//!
//! A SELECT is planned, and the planner opens every index of its table. COPY of a plain table opens the table
//! alone and scans it: less than half of the server's work. The binary form tells the width of a number as well,
//! so that nobody has to ask the catalogue for it.

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, pin_mut};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use crate::migration::Version;
use crate::plan::{AppliedRow, HistorySnapshot, VersionColumn};
use crate::tenant::{SchemaName, quote_identifier};

/// The bytes of each column as they are.
const COLUMNS: [Type; 4] = [Type::BYTEA, Type::BYTEA, Type::BYTEA, Type::BYTEA];

/// Reads the history tables of these schemas in one transaction. None stands for one that needs a closer look: it
/// is empty, gone, not to be read by this role, or not what refinery makes, or stands beside one that cannot be read.
pub(super) async fn read(
    client: &Client,
    schemas: &[SchemaName],
    table: &str,
) -> Result<Vec<(SchemaName, Option<HistorySnapshot>)>, tokio_postgres::Error> {
    let transaction = ReadOnly(client);
    // not waited for: what follows finds it done
    let begun = client.batch_execute("BEGIN READ ONLY; SET LOCAL row_security=off");
    let reading = join_all(schemas.iter().map(|schema| read_one(client, schema, table)));
    let (begun, read) = tokio::join!(begun, reading);
    drop(transaction);
    begun?;
    // statements are closed when they are dropped: all of them at once, or each costs a message of its own
    let (_statements, read): (Vec<Option<Statement>>, Vec<_>) = read.into_iter().unzip();
    let of = schemas.iter().cloned().zip(read);
    of.map(|(schema, read)| match read {
        Err(error) if error.as_db_error().is_none() || client.is_closed() => Err(error),
        read => Ok((schema, read.unwrap_or_default())),
    })
    .collect()
}

/// A transaction that ends when this is dropped, in whatever way. In it a policy ends in an error: a history of
/// which no row is seen would look empty.
struct ReadOnly<'a>(&'a Client);

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        // polled once, a message is on its way, and comes before whatever is sent next
        let _ = self.0.batch_execute("COMMIT").now_or_never();
    }
}

/// One history, and the statement that it was read with, where there was one.
async fn read_one(
    client: &Client,
    schema: &SchemaName,
    table: &str,
) -> (
    Option<Statement>,
    Result<Option<HistorySnapshot>, tokio_postgres::Error>,
) {
    let text = format!(
        "COPY {}.{} (version, name, checksum, applied_on) TO STDOUT (FORMAT binary)",
        schema.quoted(),
        quote_identifier(table)
    );
    match client.prepare(&text).await {
        Ok(statement) => {
            let read = read_rows(client, &statement).await;
            (Some(statement), read)
        }
        Err(error) => (None, Err(error)),
    }
}

async fn read_rows(
    client: &Client,
    statement: &Statement,
) -> Result<Option<HistorySnapshot>, tokio_postgres::Error> {
    let rows = BinaryCopyOutStream::new(client.copy_out(statement).await?, &COLUMNS);
    pin_mut!(rows);
    let mut parsed: Option<Vec<(VersionColumn, AppliedRow)>> = Some(Vec::new());
    while let Some(row) = rows.next().await {
        let row = parse(&row?);
        parsed = parsed.zip(row).map(|(mut rows, row)| {
            rows.push(row);
            rows
        });
    }
    Ok(parsed.and_then(snapshot))
}

fn snapshot(mut rows: Vec<(VersionColumn, AppliedRow)>) -> Option<HistorySnapshot> {
    rows.sort_by_key(|(_, row)| row.version);
    Some(HistorySnapshot::Rows {
        column: rows.first()?.0,
        rows: rows.into_iter().map(|(_, row)| row).collect(),
        steps: [].into(),
    })
}

/// None where the row is not as refinery writes it.
fn parse(row: &BinaryCopyOutRow) -> Option<(VersionColumn, AppliedRow)> {
    let bytes = |column| row.try_get::<Option<&[u8]>>(column).ok().flatten();
    let text = |column| std::str::from_utf8(bytes(column)?).ok();
    let (column, version) = version(bytes(0)?)?;
    OffsetDateTime::parse(text(3)?, &Rfc3339).ok()?;
    let row = AppliedRow {
        version,
        name: text(1)?.to_owned(),
        checksum: text(2)?.parse().ok()?,
    };
    Some((column, row))
}

/// An `integer` or a `bigint`. Text of as many digits would look the same: the catalogue has to tell.
fn version(bytes: &[u8]) -> Option<(VersionColumn, Version)> {
    if bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if let Ok(narrow) = bytes.try_into() {
        return Some((VersionColumn::Int4, i32::from_be_bytes(narrow).into()));
    }
    let wide = bytes.try_into().ok()?;
    Some((VersionColumn::Int8, i64::from_be_bytes(wide)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_of_a_version_is_that_of_its_column() {
        assert_eq!(
            version(&7_i32.to_be_bytes()),
            Some((VersionColumn::Int4, 7))
        );
        let timestamp = 20_240_504_090_241_i64;
        assert_eq!(
            version(&timestamp.to_be_bytes()),
            Some((VersionColumn::Int8, timestamp))
        );
        assert_eq!(version(&7_i16.to_be_bytes()), None);
    }

    #[test]
    fn digits_as_text_are_not_taken_for_a_number() {
        assert_eq!(version(b"20240504"), None);
        assert_eq!(version(b"0001"), None);
    }
}
