//! What can go wrong with a database, by what the caller can do about it.

use std::io;

use tokio_postgres::error::SqlState;

use super::sqlstate::{chain, describe, failure_of, io_error, sqlstate_class};
use super::{TlsError, UrlError, is_connection_lost};
use crate::run::{Failure, FailureClass};

/// Why a database could not be used. Every text is one line: what, where (never a password), why.
#[derive(Debug, thiserror::Error)]
pub enum PgError {
    /// The URL does not make sense: the config must change.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Nobody answers there: refused, unknown host, no answer in time. Transient.
    #[error("cannot reach {}: {}", .0.place, .0.reason)]
    Unreachable(ConnectFailure),
    /// Wrong or missing password, unknown role, no line in `pg_hba.conf`. Never tried again by
    /// itself, so that nobody is locked out.
    #[error("{} refuses to let us in: {}", .0.place, .0.reason)]
    Authentication(ConnectFailure),
    /// The server is there, the database is not.
    #[error("no such database at {}: {}", .0.place, .0.reason)]
    NoSuchDatabase(ConnectFailure),
    /// No encrypted connection could be agreed on.
    #[error("no TLS connection to {}: {}", .0.place, .0.reason)]
    Tls(ConnectFailure),
    /// All slots of the server, the database or the role are taken. Transient.
    #[error("{} has no free connection: {}", .0.place, .0.reason)]
    TooManyConnections(ConnectFailure),
    /// The server starts up, shuts down or recovers. Transient.
    #[error("{} does not take connections now: {}", .0.place, .0.reason)]
    ServerStarting(ConnectFailure),
    /// The server or a pooler in front of it turned the session down for another reason.
    #[error("cannot open a session at {}: {}", .0.place, .0.reason)]
    Refused(ConnectFailure),
    /// A statement of fleet's own failed in a session that stood.
    #[error("{}{}", context(what.as_deref()), describe(error))]
    Query {
        /// What was being done, such as `reading the settings of main`.
        what: Option<String>,
        /// The driver's error; it is in the text already and therefore not a source.
        error: tokio_postgres::Error,
    },
}

/// Where and why no session came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// The database, by its redacted URL and where known its name in the config.
    pub place: String,
    /// Why, with the reasons behind the reason.
    pub reason: String,
    /// PostgreSQL's five characters, where a server has spoken.
    pub sqlstate: Option<String>,
    /// What could help.
    pub hint: Option<String>,
}

impl ConnectFailure {
    pub(super) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            reason: reason.into(),
            sqlstate: None,
            hint: None,
        }
    }
}

fn context(what: Option<&str>) -> String {
    what.map(|what| format!("{what}: ")).unwrap_or_default()
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Query { what: None, error }
    }
}

impl PgError {
    /// A statement that failed, with what it was for.
    pub fn query(what: impl Into<String>, error: tokio_postgres::Error) -> Self {
        Self::Query {
            what: Some(what.into()),
            error,
        }
    }

    /// Sorts an error of connecting by what can be done about it.
    pub(super) fn connecting(place: &str, error: &tokio_postgres::Error) -> Self {
        let mut failure = ConnectFailure::new(place, describe(error));
        if let Some(code) = error.code() {
            failure.sqlstate = Some(code.code().to_owned());
            failure.hint = error.as_db_error().and_then(|db| db.hint()).map(Into::into);
            return Self::from_sqlstate(code, failure);
        }
        match error.to_string().as_str() {
            // the driver keeps its kinds to itself; these texts are its kinds, and a test of each
            // against a scripted server keeps them true
            "error performing TLS handshake" => {
                failure.reason = strip_kind(error);
                if io_error(error).is_some_and(is_cut_off) {
                    return Self::Unreachable(failure);
                }
                failure.hint = tls_hint(error);
                Self::Tls(failure)
            }
            "invalid configuration" | "authentication error" => {
                failure.reason = strip_kind(error);
                if failure.reason == "password missing" {
                    failure.reason = "it asks for a password and none was given".into();
                    failure.hint = Some(PASSWORD_HINT.into());
                }
                Self::Authentication(failure)
            }
            "error connecting to server" => {
                failure.reason = strip_kind(error);
                failure.hint = io_error(error).and_then(reach_hint);
                Self::Unreachable(failure)
            }
            _ => Self::Unreachable(failure),
        }
    }

    fn from_sqlstate(code: &SqlState, mut failure: ConnectFailure) -> Self {
        let mut hint = |text: &str| {
            failure.hint.get_or_insert_with(|| text.to_owned());
        };
        match code.code() {
            "28P01" | "28000" => {
                hint("check user and password of the URL, and the server's pg_hba.conf");
                Self::Authentication(failure)
            }
            "3D000" => {
                hint("create the database, or correct its name in the URL");
                Self::NoSuchDatabase(failure)
            }
            "53300" => {
                hint("lower max_connections of this database in the config, or free connections");
                Self::TooManyConnections(failure)
            }
            "57P01" | "57P02" | "57P03" => Self::ServerStarting(failure),
            "42501" => {
                hint("grant CONNECT on the database to this role");
                Self::Refused(failure)
            }
            "08P01" => {
                hint(
                    "poolers such as PgBouncer refuse session settings; give fleet a direct URL of the server",
                );
                Self::Refused(failure)
            }
            _ if sqlstate_class(code) == FailureClass::Transient => Self::Unreachable(failure),
            _ => Self::Refused(failure),
        }
    }

    pub(super) fn tls(place: &str, error: &TlsError) -> Self {
        let mut failure = ConnectFailure::new(place, chain(error));
        failure.hint = error.hint().map(Into::into);
        Self::Tls(failure)
    }

    /// What the user can do about it, as a second line.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Url(error) => error.hint(),
            Self::Query { error, .. } => error.as_db_error()?.hint(),
            _ => self.connect_failure()?.hint.as_deref(),
        }
    }

    /// PostgreSQL's five characters, where a server has spoken.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Query { error, .. } => error.code().map(SqlState::code),
            _ => self.connect_failure()?.sqlstate.as_deref(),
        }
    }

    /// Whether another try may succeed.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Unreachable(_) | Self::TooManyConnections(_) | Self::ServerStarting(_) => {
                FailureClass::Transient
            }
            Self::Query { error, .. } => failure_of(error).class,
            Self::Url(_)
            | Self::Authentication(_)
            | Self::NoSuchDatabase(_)
            | Self::Tls(_)
            | Self::Refused(_) => FailureClass::Permanent,
        }
    }

    /// Whether there is no session, or no longer one: what was in flight is in doubt.
    pub fn is_connection_lost(&self) -> bool {
        match self {
            Self::Query { error, .. } => is_connection_lost(error),
            Self::Url(_) => false,
            _ => true,
        }
    }

    /// The same as a tenant's failure.
    pub fn failure(&self) -> Failure {
        if let Self::Query { what: None, error } = self {
            return failure_of(error);
        }
        Failure {
            sqlstate: self.sqlstate().map(Into::into),
            hint: self.hint().map(Into::into),
            ..Failure::new(self.class(), self.to_string())
        }
    }

    fn connect_failure(&self) -> Option<&ConnectFailure> {
        match self {
            Self::Unreachable(failure)
            | Self::Authentication(failure)
            | Self::NoSuchDatabase(failure)
            | Self::Tls(failure)
            | Self::TooManyConnections(failure)
            | Self::ServerStarting(failure)
            | Self::Refused(failure) => Some(failure),
            Self::Url(_) | Self::Query { .. } => None,
        }
    }
}

const PASSWORD_HINT: &str =
    "put it into the URL, PGPASSWORD or a password file (~/.pgpass, mode 0600)";

/// The reasons behind a driver's error without the driver's own word for its kind.
fn strip_kind(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), chain)
}

fn reach_hint(error: &io::Error) -> Option<String> {
    let text = match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "is the server running, and does it listen on this host and port?"
        }
        io::ErrorKind::NotFound => {
            "no server listens on this socket; is it running, and is this its socket directory?"
        }
        io::ErrorKind::TimedOut => "no answer: a firewall, or the wrong host?",
        io::ErrorKind::PermissionDenied => "this user may not use the server's socket",
        _ => return None,
    };
    Some(text.to_owned())
}

/// A server that goes down in the middle of a handshake says nothing against TLS.
fn is_cut_off(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::TimedOut
    )
}

fn tls_hint(error: &tokio_postgres::Error) -> Option<String> {
    let Some(io) = io_error(error) else {
        return Some("the server has TLS switched off; sslmode=disable connects without it".into());
    };
    let tls = io.get_ref()?.downcast_ref::<rustls::Error>()?;
    super::tls::handshake_hint(tls).map(Into::into)
}
