//! Opening a session, noticing its end, and cancelling what it does.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::error::ConnectFailure;
use super::session::startup_options;
use super::{ConnectionUrl, PgError, describe, session};

/// What the driver takes where a URL says nothing.
const LIBRARY_IDLE: Duration = Duration::from_hours(2);

/// How long a request to cancel may take to be delivered.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(10);

/// What every session of fleet's is opened with. The search path is always empty, so that nothing
/// can land anywhere by accident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Shown in `pg_stat_activity`: `fleet …`.
    pub application_name: String,
    /// How long one host may take to accept a connection; the URL's `connect_timeout` comes first.
    pub connect_timeout: Duration,
    /// How long a statement waits for a lock; zero is for ever.
    pub lock_timeout: Duration,
    /// How long a statement may run; zero is for ever.
    pub statement_timeout: Duration,
}

impl SessionOptions {
    /// The URL's configuration with these settings.
    pub(super) fn apply(&self, url: &ConnectionUrl) -> Config {
        let mut config = url.config().clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(self.connect_timeout);
        }
        if config.get_keepalives_idle() == LIBRARY_IDLE {
            // a peer that is gone without a word must be noticed while a statement runs
            config
                .keepalives_idle(Duration::from_secs(30))
                .keepalives_interval(Duration::from_secs(10))
                .keepalives_retries(3);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(Duration::from_mins(1));
        }
        let options = startup_options(config.get_options(), self);
        config
            .application_name(&self.application_name)
            .options(options);
        config
    }

    /// The time for a whole connection. The driver's own time-out ends when TCP is up, and a
    /// server that is stopped or stuck accepts and then says nothing.
    pub(super) fn deadline(config: &Config, url: &ConnectionUrl) -> Duration {
        let one = config.get_connect_timeout().copied().unwrap_or_default();
        // twice: a name may stand for an IPv6 address that leads nowhere and an IPv4 one that works
        one.saturating_mul(2).saturating_mul(url.host_count())
    }
}

/// Why a connection ended, once it has.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Mutex<Option<String>>>);

impl LastWords {
    fn set(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(super) fn get(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// A session of its own, outside of a pool. It ends when it is dropped.
#[derive(Debug)]
pub struct Session {
    client: Client,
    task: JoinHandle<()>,
    last_words: LastWords,
}

impl Session {
    /// Why the connection ended, where it did so by itself: a query afterwards only says
    /// `connection closed`.
    pub fn last_disconnect(&self) -> Option<String> {
        self.last_words.get()
    }

    /// Ends the session and waits until the server has been told.
    pub async fn close(self) {
        drop(self.client);
        // a panic of the driver's task is of no interest any more
        let _ = self.task.await;
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// Opens a session.
///
/// # Errors
/// Why there is none, by what can be done about it.
pub async fn connect(url: &ConnectionUrl, options: &SessionOptions) -> Result<Session, PgError> {
    let place = url.redacted();
    let tls = url
        .connector()
        .map_err(|error| PgError::tls(&place, &error))?;
    let config = options.apply(url);
    let deadline = SessionOptions::deadline(&config, url);
    let last_words = LastWords::default();
    let opening = async {
        let (client, task, version) = open(&config, tls, last_words.clone(), ()).await?;
        session::settle(&client, version.as_deref()).await;
        Ok((client, task))
    };
    match tokio::time::timeout(deadline, opening).await {
        Ok(Ok((client, task))) => Ok(Session {
            client,
            task,
            last_words,
        }),
        Ok(Err(error)) => Err(PgError::connecting(&place, &error)),
        Err(_) => Err(no_answer(place, deadline)),
    }
}

/// Connects and lets the connection run, which keeps `held` until it ends. Tells which version the server says
/// that it is.
pub(super) async fn open(
    config: &Config,
    tls: MakeRustlsConnect,
    last_words: LastWords,
    held: impl Send + 'static,
) -> Result<(Client, JoinHandle<()>, Option<String>), tokio_postgres::Error> {
    let (client, connection) = config.connect(tls).await?;
    let version = connection.parameter("server_version").map(str::to_owned);
    let task = tokio::spawn(async move {
        if let Err(error) = connection.await {
            last_words.set(describe(&error));
        }
        drop(held);
    });
    Ok((client, task, version))
}

pub(super) fn no_answer(place: String, waited: Duration) -> PgError {
    let mut failure = ConnectFailure::new(
        place,
        format!("no answer within {}", humantime::format_duration(waited)),
    );
    failure.hint = Some("a firewall, a stuck server, or the wrong host?".to_owned());
    PgError::Unreachable(failure)
}

/// The right to cancel what a session is doing, from outside of it.
#[derive(Clone)]
pub struct CancelHandle {
    token: CancelToken,
    url: ConnectionUrl,
}

impl CancelHandle {
    /// For the session of a client that was connected by this URL.
    pub fn of(client: &Client, url: &ConnectionUrl) -> Self {
        Self {
            token: client.cancel_token(),
            url: url.clone(),
        }
    }

    /// Asks the server to cancel the statement that runs now. Success means that the request was
    /// delivered: the statement may have ended before, and its own result says which.
    ///
    /// # Errors
    /// The request could not be delivered.
    pub async fn cancel(&self) -> Result<(), PgError> {
        let place = self.url.redacted();
        let tls = self
            .url
            .connector()
            .map_err(|error| PgError::tls(&place, &error))?;
        match tokio::time::timeout(CANCEL_TIMEOUT, self.token.cancel_query(tls)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(PgError::connecting(&place, &error)),
            Err(_) => Err(no_answer(place, CANCEL_TIMEOUT)),
        }
    }
}
