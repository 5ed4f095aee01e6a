//! Reads history tables, many with one message.

use std::collections::VecDeque;
use std::fmt::Write as _;

use futures_util::{StreamExt, pin_mut};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::STEPS_TABLE;
use super::catalog::HistoryTable;
use crate::plan::{AppliedRow, HistorySnapshot, StepRow};
use crate::tenant::{SchemaName, quote_identifier};

/// Reads these tables. Where one of them cannot be read, the batch is halved until it stands alone.
pub(super) async fn read(
    client: &Client,
    tables: &[HistoryTable],
    table: &str,
) -> Result<Vec<(SchemaName, HistorySnapshot)>, tokio_postgres::Error> {
    let mut read = Vec::with_capacity(tables.len());
    let mut todo: Vec<&[HistoryTable]> = Vec::new();
    if !tables.is_empty() {
        todo.push(tables);
    }
    while let Some(part) = todo.pop() {
        match read_message(client, part, table).await {
            Ok(histories) => read.extend(histories),
            Err(error) if error.as_db_error().is_none() || client.is_closed() => {
                return Err(error);
            }
            Err(error) => match part {
                [] => {}
                // the migration that was under way is done now, and its notes are gone
                [one] if one.has_steps && error.code() == Some(&SqlState::UNDEFINED_TABLE) => {
                    let without = HistoryTable {
                        has_steps: false,
                        ..one.clone()
                    };
                    read.extend(Box::pin(self::read(client, &[without], table)).await?);
                }
                [one] => read.push((one.schema.clone(), unreadable(&error))),
                several => {
                    let (left, right) = several.split_at(several.len() / 2);
                    todo.extend([left, right]);
                }
            },
        }
    }
    Ok(read)
}

fn unreadable(error: &tokio_postgres::Error) -> HistorySnapshot {
    HistorySnapshot::Unreadable {
        message: error
            .as_db_error()
            .map_or_else(|| error.to_string(), |db| db.message().to_owned()),
        sqlstate: error.code().map(|code| code.code().to_owned()),
    }
}

async fn read_message(
    client: &Client,
    tables: &[HistoryTable],
    table: &str,
) -> Result<Vec<(SchemaName, HistorySnapshot)>, tokio_postgres::Error> {
    // a policy must end in an error: a history of which no row is seen would look empty
    let mut text = "SET LOCAL row_security=off".to_owned();
    for found in tables {
        let _ = write!(
            text,
            ";SELECT version,name,checksum,applied_on FROM {}.{}",
            found.schema.quoted(),
            quote_identifier(table)
        );
        if found.has_steps {
            let _ = write!(text, ";{}", select_steps(&found.schema));
        }
    }
    let answers = client.simple_query_raw(&text).await?;
    pin_mut!(answers);
    let mut histories = Vec::with_capacity(tables.len());
    let mut reading = Reading::default();
    // the setting's own answer comes first
    let mut expected = VecDeque::from([Answer::Setting]);
    for found in tables {
        expected.push_back(Answer::History(found));
        if found.has_steps {
            expected.push_back(Answer::Steps);
        }
    }
    while let Some(answer) = answers.next().await {
        match answer? {
            SimpleQueryMessage::Row(row) => match expected.front() {
                Some(Answer::Steps) => reading.steps.extend(parse_step(&row)),
                _ => reading.rows.push(parse(&row)),
            },
            SimpleQueryMessage::CommandComplete(_) => {
                if let Some(Answer::History(found)) = expected.pop_front() {
                    reading.of = Some(found);
                }
                if expected.front() != Some(&Answer::Steps)
                    && let Some(found) = reading.of.take()
                {
                    histories.push((found.schema.clone(), reading.end(found)));
                }
            }
            _ => {}
        }
    }
    Ok(histories)
}

/// What a message's answers belong to, in order.
#[derive(PartialEq)]
enum Answer<'a> {
    Setting,
    History(&'a HistoryTable),
    Steps,
}

/// One tenant's rows as they come in.
#[derive(Default)]
struct Reading<'a> {
    of: Option<&'a HistoryTable>,
    rows: Vec<Result<AppliedRow, CorruptRow>>,
    steps: Vec<StepRow>,
}

impl Reading<'_> {
    fn end(&mut self, found: &HistoryTable) -> HistorySnapshot {
        let (rows, steps) = (
            std::mem::take(&mut self.rows),
            std::mem::take(&mut self.steps),
        );
        snapshot(found, rows, steps)
    }
}

fn select_steps(schema: &SchemaName) -> String {
    format!(
        "SELECT version,step,hash,finished_at IS NOT NULL FROM {}.{STEPS_TABLE} ORDER BY version,step",
        schema.quoted()
    )
}

/// The columns are NOT NULL and fleet's own.
fn parse_step(row: &SimpleQueryRow) -> Option<StepRow> {
    Some(StepRow {
        version: row.get(0)?.parse().ok()?,
        step: row.get(1)?.parse().ok()?,
        hash: row.get(2)?.to_owned(),
        is_done: row.get(3)? == "t",
    })
}

struct CorruptRow {
    row: String,
    problem: String,
}

fn snapshot(
    found: &HistoryTable,
    rows: Vec<Result<AppliedRow, CorruptRow>>,
    steps: Vec<StepRow>,
) -> HistorySnapshot {
    match rows.into_iter().collect::<Result<Vec<_>, _>>() {
        Ok(mut rows) => {
            rows.sort_by_key(|row| row.version);
            HistorySnapshot::Rows {
                column: found.column,
                rows: rows.into(),
                steps: steps.into(),
            }
        }
        Err(CorruptRow { row, problem }) => HistorySnapshot::Corrupt { row, problem },
    }
}

/// refinery panics on each of these; here they are the tenant's failure.
fn parse(row: &SimpleQueryRow) -> Result<AppliedRow, CorruptRow> {
    let corrupt = |problem: &str| CorruptRow {
        row: format!("version {}", row.get(0).unwrap_or("NULL")),
        problem: problem.to_owned(),
    };
    let version = row
        .get(0)
        .and_then(|version| version.parse().ok())
        .ok_or_else(|| corrupt("the version is not a number"))?;
    let name = row.get(1).ok_or_else(|| corrupt("the name is NULL"))?;
    let checksum = row.get(2).ok_or_else(|| corrupt("the checksum is NULL"))?;
    let checksum = checksum
        .parse()
        .map_err(|_| corrupt(&format!("the checksum {checksum:?} is not a 64-bit number")))?;
    let applied_on = row.get(3).ok_or_else(|| corrupt("applied_on is NULL"))?;
    OffsetDateTime::parse(applied_on, &Rfc3339)
        .map_err(|_| corrupt(&format!("applied_on {applied_on:?} is not a date")))?;
    Ok(AppliedRow {
        version,
        name: name.to_owned(),
        checksum,
    })
}
