//! Which server and database a connection has reached, to notice when it is another one later on.

use std::fmt;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::PgError;
use super::error::ConnectFailure;

/// A database of a running server, as one connection sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    /// Given at initdb and kept by standbys; None where the role may not ask.
    system_identifier: Option<String>,
    /// The database inside of the cluster.
    database_oid: String,
    /// Whether it replays another server's changes.
    is_in_recovery: bool,
    /// Whether the settings of the startup packet have arrived.
    is_pinned: bool,
}

/// Why a connection does not lead to where the first one led.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// Another cluster, or another database of it.
    OtherServer,
    /// A standby where there was a primary, or the other way round.
    OtherRole,
    /// It was accepted, and then nothing was said.
    NoAnswer,
    /// Something between us and the server keeps the settings of the startup packet to itself.
    SettingsLost,
}

impl Identity {
    /// Asks a server.
    pub(super) async fn of(client: &Client) -> Result<Self, tokio_postgres::Error> {
        // a message of its own for what a role may not be allowed to ask, sent with the other one
        let (facts, identifier) = tokio::join!(
            client.simple_query(
                "SELECT (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()), \
                   pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('search_path') IN ('', '\"\"')",
            ),
            client.simple_query("SELECT system_identifier FROM pg_catalog.pg_control_system()"),
        );
        let facts = facts?;
        let text = |column| first(&facts, column).unwrap_or_default();
        let identifier = match identifier {
            Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => None,
            answer => first(&answer?, 0),
        };
        Ok(Self {
            system_identifier: identifier,
            database_oid: text(0),
            is_in_recovery: text(1) == "t",
            is_pinned: text(2) == "t",
        })
    }

    /// What is not as it was.
    pub(super) fn differs_from(&self, first: &Self) -> Option<Mismatch> {
        if !self.is_pinned {
            Some(Mismatch::SettingsLost)
        } else if self.system_identifier != first.system_identifier
            || self.database_oid != first.database_oid
        {
            Some(Mismatch::OtherServer)
        } else if self.is_in_recovery != first.is_in_recovery {
            Some(Mismatch::OtherRole)
        } else {
            None
        }
    }
}

fn first(answer: &[SimpleQueryMessage], column: usize) -> Option<String> {
    answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(column).map(str::to_owned),
        _ => None,
    })
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherServer => {
                "this is not the server of the first connection (another system identifier or database)"
            }
            Self::OtherRole => "the server was a primary and is a standby now, or the other way round",
            Self::NoAnswer => "the connection stands, but no answer comes",
            Self::SettingsLost => {
                "the session's search_path is not the empty one that was asked for: a pooler keeps settings to itself"
            }
        })
    }
}

impl Mismatch {
    /// Another server is nothing that passes; a standby may be one in the middle of a failover.
    pub(super) fn into_error(self, mut failure: ConnectFailure) -> PgError {
        failure.reason = self.to_string();
        let hint = match self {
            Self::OtherServer => {
                "after a failover, a restore or a change of DNS: look which server is right, then run it again"
            }
            Self::OtherRole => "a failover? give the primary's URL",
            Self::NoAnswer => "a firewall, a stuck server, or a tunnel that leads nowhere?",
            Self::SettingsLost => {
                "give fleet a direct URL of the server: a pooler in transaction mode also breaks its locks"
            }
        };
        failure.hint = Some(hint.to_owned());
        match self {
            Self::OtherServer | Self::SettingsLost => PgError::Refused(failure),
            Self::OtherRole => PgError::ServerStarting(failure),
            Self::NoAnswer => PgError::Unreachable(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn primary() -> Identity {
        Identity {
            system_identifier: Some("7".into()),
            database_oid: "16384".into(),
            is_in_recovery: false,
            is_pinned: true,
        }
    }

    #[test]
    fn another_server_role_or_pooler_is_noticed() {
        let first = primary();
        assert_eq!(first.differs_from(&primary()), None);
        let other = |change: fn(&mut Identity)| {
            let mut other = primary();
            change(&mut other);
            other.differs_from(&first)
        };
        assert_eq!(
            other(|i| i.system_identifier = Some("8".into())),
            Some(Mismatch::OtherServer)
        );
        assert_eq!(
            other(|i| i.database_oid = "5".into()),
            Some(Mismatch::OtherServer)
        );
        assert_eq!(
            other(|i| i.is_in_recovery = true),
            Some(Mismatch::OtherRole)
        );
        assert_eq!(other(|i| i.is_pinned = false), Some(Mismatch::SettingsLost));
    }
}
