//! What a server says of itself, and whether migrations can run there.

use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::PgError;

/// The oldest server that is supported, as `server_version_num`.
const MIN_VERSION: u32 = 120_000;

/// A server and a database, as one session sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFacts {
    /// `server_version_num`: 150018.
    pub version_num: u32,
    /// `server_version`: `15.18 (Debian …)`.
    pub version: String,
    /// Whether it replays another server's changes.
    pub is_in_recovery: bool,
    /// Whether transactions of this role in this database cannot write.
    pub is_read_only: bool,
    /// All slots for connections.
    pub max_connections: u32,
    /// Slots that ordinary roles never get: those of superusers, and of PostgreSQL 16 on also
    /// `reserved_connections`.
    pub superuser_reserved: u32,
    /// The database's name on the server.
    pub database: String,
    /// The role that statements run as.
    pub current_user: String,
}

impl ServerFacts {
    /// Why migrations cannot run here, in one sentence with what to do.
    pub fn refusal(&self) -> Option<String> {
        if self.version_num < MIN_VERSION {
            return Some(format!(
                "the server is PostgreSQL {}; fleet needs 12 or newer: upgrade it first",
                self.version
            ));
        }
        if self.is_in_recovery {
            return Some(
                "the server is a standby (pg_is_in_recovery) and cannot be written: give the primary's URL"
                    .to_owned(),
            );
        }
        if self.is_read_only {
            return Some(format!(
                "transactions are read only here (default_transaction_read_only = on): give a writable URL, or ALTER ROLE {} or ALTER DATABASE {} SET default_transaction_read_only = off",
                crate::tenant::quote_identifier(&self.current_user),
                crate::tenant::quote_identifier(&self.database),
            ));
        }
        None
    }
}

// as text, in the simple protocol: it works through every pooler and leaves no prepared statement
const FACTS: &str = "SELECT
    current_setting('server_version_num'),
    current_setting('server_version'),
    pg_is_in_recovery(),
    current_setting('default_transaction_read_only'),
    current_setting('max_connections'),
    current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0),
    current_database(),
    current_user";

/// Asks a server about itself.
///
/// # Errors
/// The query failed.
pub async fn inspect_server(client: &Client) -> Result<ServerFacts, PgError> {
    let failed = |error| PgError::query("reading the server's settings", error);
    let messages = client.simple_query(FACTS).await.map_err(failed)?;
    let row = first_row(&messages);
    let text = |column: usize| {
        row.and_then(|row| row.get(column))
            .unwrap_or_default()
            .to_owned()
    };
    let number = |column: usize| text(column).parse().unwrap_or_default();
    Ok(ServerFacts {
        version_num: number(0),
        version: text(1),
        is_in_recovery: text(2) == "t",
        is_read_only: text(3) == "on",
        max_connections: number(4),
        superuser_reserved: number(5),
        database: text(6),
        current_user: text(7),
    })
}

fn first_row(messages: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary() -> ServerFacts {
        ServerFacts {
            version_num: 150_018,
            version: "15.18".into(),
            is_in_recovery: false,
            is_read_only: false,
            max_connections: 100,
            superuser_reserved: 3,
            database: "shop".into(),
            current_user: "app".into(),
        }
    }

    #[test]
    fn a_writable_server_of_today_is_taken() {
        assert_eq!(primary().refusal(), None);
    }

    #[test]
    fn what_cannot_be_migrated_is_refused_with_what_to_do() {
        let standby = ServerFacts {
            is_in_recovery: true,
            ..primary()
        };
        assert!(standby.refusal().unwrap().contains("the primary's URL"));
        let read_only = ServerFacts {
            is_read_only: true,
            ..primary()
        };
        assert!(read_only.refusal().unwrap().contains("ALTER ROLE \"app\""));
        let old = ServerFacts {
            version_num: 110_000,
            version: "11.4".into(),
            ..primary()
        };
        assert!(old.refusal().unwrap().contains("upgrade"));
    }
}
