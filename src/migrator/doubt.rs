//! Steps whose end is not known: begun, and not noted as done. Settled by looking at what is there,
//! never by a guess.

use tokio_postgres::Client;

use super::index::{self, IndexError};
use crate::migration::{IndexBuild, ObjectName, Settlement, Step};
use crate::run::{Failure, FailureClass};
use crate::sql;
use crate::tenant::SchemaName;

/// A step as the tenant's own table notes it.
pub(super) struct Noted {
    /// Which statement of the file, from 1.
    pub(super) step: u32,
    /// Over the text that was run.
    pub(super) hash: String,
    /// That text, whole for a step that can be in doubt.
    pub(super) statement: String,
    /// Whether it is known to be done.
    pub(super) is_done: bool,
}

/// A step in doubt.
pub(super) struct Doubt<'a> {
    noted: &'a Noted,
    settlement: Settlement,
    /// Whether the file now says something else than what was run.
    pub(super) is_edited: bool,
}

/// What became of a step, and how that was found out.
pub(super) enum Outcome {
    /// It is done.
    Done(String),
    /// It is not, and can be run.
    NotDone(String),
}

impl Outcome {
    pub(super) fn note(&self) -> &str {
        match self {
            Self::Done(note) | Self::NotDone(note) => note,
        }
    }

    fn is(done: bool, note: &str) -> Self {
        if done {
            Self::Done(note.to_owned())
        } else {
            Self::NotDone(note.to_owned())
        }
    }
}

impl<'a> Doubt<'a> {
    /// What was run is what was noted, whatever the file says now.
    pub(super) fn of(noted: &'a Noted, step: Option<&Step>) -> Self {
        Self {
            noted,
            settlement: sql::settlement(&noted.statement),
            is_edited: step.is_none_or(|step| step.hash != noted.hash),
        }
    }

    /// Whether nobody queues behind what it waits for.
    pub(super) fn waits_unseen(&self) -> bool {
        !matches!(self.settlement, Settlement::PartitionDetached { .. })
    }

    /// Looks at what is there, and takes away what is only half there.
    pub(super) async fn settle(
        &self,
        client: &Client,
        schema: &SchemaName,
        number: u32,
    ) -> Result<Outcome, IndexError> {
        match &self.settlement {
            Settlement::IndexBuilt(build) => self.index_built(client, schema, build, number).await,
            Settlement::IndexDropped(name) => {
                let gone = !index::exists(client, name).await?;
                Ok(Outcome::is(
                    gone,
                    if gone {
                        "the index is gone, as it should be"
                    } else {
                        "the index is still there, and is dropped now"
                    },
                ))
            }
            Settlement::Reindexed => {
                let left = index::clear_rebuilds(client, schema).await?;
                Ok(Outcome::NotDone(left.map_or_else(
                    || "nothing is left half built; it is run again".to_owned(),
                    |left| format!("{left}, left half built; it is run again"),
                )))
            }
            Settlement::PartitionDetached { parent, partition } => {
                detached(client, parent, partition).await
            }
            Settlement::RunAgain => Ok(Outcome::NotDone(
                "it is run again, which does no harm".to_owned(),
            )),
            Settlement::ByHand => Err(self.by_hand(number, "only a look at what it does can tell")),
        }
    }

    async fn index_built(
        &self,
        client: &Client,
        schema: &SchemaName,
        build: &IndexBuild,
        number: u32,
    ) -> Result<Outcome, IndexError> {
        let Some(found) = index::find(client, schema, build).await? else {
            if build.name.is_none() && index::meant(client, schema, build).await?.is_none() {
                return Err(self.by_hand(number, "the index has no name, and no copy of its table could be made to compare definitions"));
            }
            return Ok(Outcome::NotDone(
                "no such index is there; it is built now".to_owned(),
            ));
        };
        if !found.is_valid {
            let of = build.table.schema.as_deref().unwrap_or(schema.as_str());
            index::drop_invalid(client, of, &found).await?;
            return Ok(Outcome::NotDone(format!(
                "the index {} was left invalid and was dropped; it is built anew",
                found.name
            )));
        }
        if found.table != build.table.name {
            return Err(self.by_hand(
                number,
                &format!(
                    "the index {} is there, but is one of the table {}, not of {}",
                    found.name, found.table, build.table.name
                ),
            ));
        }
        match index::meant(client, schema, build).await? {
            Some(meant) if meant == found.definition => Ok(Outcome::Done(format!(
                "adopted: the index {} is there, valid, and as the file says",
                found.name
            ))),
            Some(meant) => Err(self.by_hand(
                number,
                &format!(
                    "the index {} is there and valid, but is not what the file says: it is{}, not{meant}",
                    found.name, found.definition
                ),
            )),
            None => Err(self.by_hand(
                number,
                &format!(
                    "the index {} is there and valid, but its definition could not be compared with the file's",
                    found.name
                ),
            )),
        }
    }

    /// A failure with the two ways out.
    fn by_hand(&self, number: u32, why: &str) -> IndexError {
        let statement: String = self.noted.statement.chars().take(80).collect();
        IndexError::Found(Box::new(
            Failure::new(
                FailureClass::Permanent,
                format!("statement {number} ({statement}) was begun and failed or was interrupted, and whether it is done is not known: {why}"),
            )
            .with_hint(
                "look at what it did in this tenant, then say which: fleet settle done --tenant NAME \
                 (it is done, go on behind it) or fleet settle again --tenant NAME (run it again, after what is in its \
                 way was taken away); then fleet resume",
            ),
        ))
    }
}

/// Whether a partition is still one of its parent; one that is half detached is detached for good.
/// <https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-DETACH-PARTITION>
async fn detached(
    client: &Client,
    parent: &ObjectName,
    partition: &ObjectName,
) -> Result<Outcome, IndexError> {
    let (parent, partition) = (index::in_sql(parent), index::in_sql(partition));
    let row = client
        .query_one(
            "SELECT i.inhdetachpending, pg_catalog.to_regclass($1) IS NOT NULL AND pg_catalog.to_regclass($2) IS NOT NULL \
             FROM (SELECT) AS one LEFT JOIN pg_catalog.pg_inherits i \
               ON i.inhparent = pg_catalog.to_regclass($1) AND i.inhrelid = pg_catalog.to_regclass($2)",
            &[&parent, &partition],
        )
        .await?;
    let (pending, both_exist): (Option<bool>, bool) = (row.get(0), row.get(1));
    match pending {
        None if both_exist => Ok(Outcome::Done("the partition is detached".to_owned())),
        // the server says best what is the matter
        None => Ok(Outcome::NotDone(
            "a table is missing; it is run again".to_owned(),
        )),
        Some(false) => Ok(Outcome::NotDone(
            "the partition is still attached, and is detached now".to_owned(),
        )),
        Some(true) => {
            client
                .batch_execute(&format!(
                    "ALTER TABLE {parent} DETACH PARTITION {partition} FINALIZE"
                ))
                .await?;
            Ok(Outcome::Done(
                "the partition was half detached, and is now detached for good".to_owned(),
            ))
        }
    }
}
