//! PostgreSQL: connection URLs as libpq reads them, sessions with settings that cannot leak, TLS,
//! cancelling, SQLSTATE classes in one place, and the private local server.

mod account;
mod connect;
mod embedded;
mod error;
mod identity;
mod pool;
mod server;
mod session;
mod sqlstate;
mod tls;
mod url;

pub use account::os_user;
pub use connect::{CancelHandle, Session, SessionOptions, connect};
pub use embedded::{EmbeddedError, EmbeddedLease, EmbeddedServer, EmbeddedStatus};
pub use error::{ConnectFailure, PgError};
pub use pool::{Pool, checkout, discard, pool};
pub use server::{ServerFacts, inspect_server};
pub use sqlstate::{MAX_MESSAGE_BYTES, describe, failure_of, is_connection_lost, sqlstate_class};
pub use tls::TlsError;
pub use url::{ConnectionUrl, UrlError};

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
