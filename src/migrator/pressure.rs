//! What a server has to bear beside fleet: one cheap look.

use std::time::Duration;

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use crate::pg::{self, Pool};
use crate::run::{Failure, FailureClass};
use crate::tenant::DatabaseName;

/// One message, one round trip, a few milliseconds. Holds [`IGNORED`].
const LOOK: &str = include_str!("pressure.sql");

/// Stands for a list of standbys, as literals.
const IGNORED: &str = "/* ignored */";

/// How long a look may take: a server that does not get round to it has other troubles.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// What was seen at a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pressure {
    /// Its slots for connections of ordinary roles.
    pub slots: u64,
    /// How many of them are free, and of the database's own where it has fewer.
    pub free_slots: u64,
    /// How many more connections fleet's role may have, where that is limited.
    pub free_for_role: Option<u64>,
    /// Connections that workers of this run have to this database.
    pub workers: u64,
    /// Active sessions that are not fleet's.
    pub active_sessions: u64,
    /// Sessions of this database that are not fleet's and wait for a lock; not for an advisory one.
    pub lock_waits: u64,
    /// Those of them that wait for fleet's sessions.
    pub behind_fleet: u64,
    /// Fleet's own sessions that wait for a lock.
    pub own_lock_waits: u64,
    /// The worst replay lag of a streaming replica; None where there is none, or none that may be seen.
    pub replica_lag: Option<Duration>,
    /// What this role may not see.
    pub unseen: Unseen,
}

/// What a role without `pg_monitor` may not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    /// What some sessions do: there may be more active ones.
    pub sessions: bool,
    /// How far some replicas are.
    pub replicas: bool,
}

/// Looks, on one of the pool's connections: whoever looks queues for it like a worker.
pub(super) async fn look(
    pool: &Pool,
    database: &DatabaseName,
    ignored_replicas: &[String],
) -> Result<Pressure, Box<Failure>> {
    let client = pg::checkout(pool, database)
        .await
        .map_err(|error| Box::new(error.failure()))?;
    match tokio::time::timeout(LOOK_TIMEOUT, ask(&client, ignored_replicas)).await {
        Ok(Ok(pressure)) => pressure.ok_or_else(|| unusable("the server gave no answer")),
        Ok(Err(error)) => {
            if pg::is_connection_lost(&error) {
                pg::discard(client);
            }
            Err(Box::new(pg::failure_of(&error)))
        }
        Err(_) => {
            // its answer may still come, and must not be somebody else's
            pg::discard(client);
            Err(unusable("no answer in time"))
        }
    }
}

/// Whether a server answers at all.
pub(super) async fn answers(pool: &Pool, database: &DatabaseName) -> Result<(), Box<Failure>> {
    let client = pg::checkout(pool, database)
        .await
        .map_err(|error| Box::new(error.failure()))?;
    match client.simple_query("").await {
        Ok(_) => Ok(()),
        Err(error) => {
            let failure = pg::failure_of(&error);
            pg::discard(client);
            Err(Box::new(failure))
        }
    }
}

fn unusable(why: &str) -> Box<Failure> {
    Box::new(Failure::new(FailureClass::Transient, why))
}

async fn ask(
    client: &Client,
    ignored_replicas: &[String],
) -> Result<Option<Pressure>, tokio_postgres::Error> {
    // standard_conforming_strings is on in every session of fleet's
    let literals = ignored_replicas
        .iter()
        .map(|name| format!("'{}'", name.replace('\'', "''")));
    let look = LOOK.replace(IGNORED, &literals.collect::<Vec<_>>().join(", "));
    let messages = client.simple_query(&look).await?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    Ok(row.map(pressure))
}

fn pressure(row: &SimpleQueryRow) -> Pressure {
    // more may be taken than there is: slots that are reserved for others
    let known = |column: usize| -> Option<u64> {
        let number = row.get(column)?.parse::<i64>().ok()?;
        Some(u64::try_from(number).unwrap_or(0))
    };
    let number = |column: usize| known(column).unwrap_or(0);
    let flag = |column: usize| row.get(column) == Some("t");
    Pressure {
        slots: number(0),
        free_slots: number(1),
        free_for_role: known(2),
        workers: number(3),
        active_sessions: number(4),
        lock_waits: number(5),
        behind_fleet: number(6),
        own_lock_waits: number(7),
        replica_lag: known(8).map(Duration::from_millis),
        unseen: Unseen {
            sessions: flag(9),
            replicas: flag(10),
        },
    }
}
