//! Connections to one database, shared by all workers.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::connect::{LastWords, no_answer, open};
use super::error::ConnectFailure;
use super::identity::{Identity, Mismatch};
use super::{ConnectionUrl, PgError, SessionOptions, session};
use crate::tenant::DatabaseName;

/// How long a new connection may take to say where it leads.
const IDENTITY_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a connection is used. A server process keeps what it has learnt of every tenant's tables (some
/// 20 kB for ten of them), and gives it back only when it ends.
const USES: usize = 300;

/// How soon the server has ended a session that was told to end.
const ENDS_WITHIN: Duration = Duration::from_millis(100);

/// How long a new connection waits for the end of an old one.
const PLACE_PATIENCE: Duration = Duration::from_secs(1);

/// Connections to one database, opened when they are needed and shared by all workers.
#[derive(Clone, Debug)]
pub struct Pool {
    connections: deadpool_postgres::Pool,
    url: ConnectionUrl,
    deadline: Duration,
    last_words: LastWords,
    settled: Arc<OnceLock<Vec<String>>>,
    mismatch: Arc<Mutex<Option<Mismatch>>>,
}

impl Pool {
    /// The database that it leads to.
    pub fn url(&self) -> &ConnectionUrl {
        &self.url
    }

    /// Why a connection of this pool was last lost, in the server's words where it said any. An
    /// idle session that is ended by the server can tell nobody else.
    pub fn last_disconnect(&self) -> Option<String> {
        self.last_words.get()
    }

    /// Takes back whatever somebody has done to a session: settings, role, temporary tables, prepared
    /// statements, locks. The message is sent and not waited for: the server works on it before
    /// whatever is sent next. It fails only with the connection.
    pub fn send_reset(&self, client: &Client) {
        // polled once, a message is on its way; its answer finds nobody
        let _ = client.batch_execute("DISCARD ALL").now_or_never();
    }

    /// Closes connections that nobody uses, down to so many in all.
    pub fn keep(&self, connections: usize) {
        let mut excess = self.connections.status().size.saturating_sub(connections);
        self.connections.retain(|_, _| {
            let is_kept = excess == 0;
            excess = excess.saturating_sub(1);
            is_kept
        });
    }

    /// What a transaction of this pool's sessions must set (`name=value`) beside what the startup
    /// packet has said. Known once a connection was opened.
    pub fn transaction_settings(&self) -> &[String] {
        self.settled.get().map_or(&[], Vec::as_slice)
    }
}

impl Deref for Pool {
    type Target = deadpool_postgres::Pool;

    fn deref(&self) -> &deadpool_postgres::Pool {
        &self.connections
    }
}

/// Opens connections for the pool and keeps the reason when one ends.
struct Opener {
    tls: MakeRustlsConnect,
    last_words: LastWords,
    version: Arc<OnceLock<Option<String>>>,
    /// One for each connection that the server may have: the pool forgets one that it drops before the server
    /// has ended it.
    places: Arc<Semaphore>,
}

impl Opener {
    /// A place for one more connection. Whoever ends is given a moment; a place that does not become free (the
    /// network is cut, and the end of a connection is on its way for ever) is nobody's reason to wait for long.
    async fn place(&self) -> Option<Place> {
        let place = Arc::clone(&self.places).acquire_owned();
        let permit = tokio::time::timeout(PLACE_PATIENCE, place).await.ok()?.ok();
        Some(Place(permit))
    }
}

/// The right to a connection, given back when the server has had time to end it.
struct Place(Option<OwnedSemaphorePermit>);

impl Drop for Place {
    fn drop(&mut self) {
        let permit = self.0.take();
        // where there is no runtime any more, nobody opens a connection either
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(ENDS_WITHIN).await;
                drop(permit);
            });
        }
    }
}

impl deadpool_postgres::Connect for Opener {
    fn connect(
        &self,
        config: &Config,
    ) -> Pin<
        Box<
            dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>>
                + Send
                + '_,
        >,
    > {
        let config = config.clone();
        Box::pin(async move {
            let place = self.place().await;
            let opening = open(&config, self.tls.clone(), self.last_words.clone(), place);
            let (client, task, version) = opening.await?;
            self.version.get_or_init(|| version);
            Ok((client, task))
        })
    }
}

/// Makes a pool. Nothing is connected yet.
///
/// # Errors
/// Certificates or keys of the URL that cannot be read.
pub fn pool(
    url: &ConnectionUrl,
    options: &SessionOptions,
    max_size: usize,
) -> Result<Pool, PgError> {
    let place = url.redacted();
    let tls = url
        .connector()
        .map_err(|error| PgError::tls(&place, &error))?;
    let config = options.apply(url);
    let deadline = SessionOptions::deadline(&config, url);
    let last_words = LastWords::default();
    let version = Arc::default();
    let opener = Opener {
        tls,
        last_words: last_words.clone(),
        version: Arc::clone(&version),
        places: Arc::new(Semaphore::new(max_size)),
    };
    let first_look = FirstLook {
        version,
        first: Arc::default(),
        settled: Arc::default(),
        mismatch: Arc::default(),
    };
    let recycling = ManagerConfig {
        recycling_method: RecyclingMethod::Fast,
    };
    let (settled, mismatch) = (
        Arc::clone(&first_look.settled),
        Arc::clone(&first_look.mismatch),
    );
    let connections =
        deadpool_postgres::Pool::builder(Manager::from_connect(config, opener, recycling))
            .max_size(max_size)
            .pre_recycle(Hook::sync_fn(|_, metrics| {
                if metrics.recycle_count < USES {
                    Ok(())
                } else {
                    Err(HookError::message("used often enough"))
                }
            }))
            .post_create(first_look.hook())
            .create_timeout(Some(deadline))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| PgError::Refused(ConnectFailure::new(place, error.to_string())))?;
    Ok(Pool {
        connections,
        url: url.clone(),
        deadline,
        last_words,
        settled,
        mismatch,
    })
}

/// What is done with each new connection before its first use, in one round trip: its settings are completed,
/// and it must lead to the database of the first one, on the same server in the same role, or a failover or a
/// pooler has put another one in its place.
#[derive(Clone)]
struct FirstLook {
    version: Arc<OnceLock<Option<String>>>,
    first: Arc<OnceLock<Identity>>,
    settled: Arc<OnceLock<Vec<String>>>,
    mismatch: Arc<Mutex<Option<Mismatch>>>,
}

impl FirstLook {
    fn hook(self) -> Hook {
        Hook::async_fn(move |client, _| {
            let look = self.clone();
            Box::pin(async move { look.at(client).await })
        })
    }

    async fn at(&self, client: &Client) -> Result<(), HookError> {
        let version = self.version.get().and_then(Option::as_deref);
        let looking = async {
            let (settled, identity) =
                tokio::join!(session::settle(client, version), Identity::of(client));
            self.settled.get_or_init(|| settled);
            identity
        };
        let mismatch = match tokio::time::timeout(IDENTITY_TIMEOUT, looking).await {
            Ok(now) => {
                let now = now.map_err(HookError::Backend)?;
                now.differs_from(self.first.get_or_init(|| now.clone()))
            }
            Err(_) => Some(Mismatch::NoAnswer),
        };
        let Some(mismatch) = mismatch else {
            return Ok(());
        };
        let reason = mismatch.to_string();
        let mut told = self.mismatch.lock().unwrap_or_else(PoisonError::into_inner);
        *told = Some(mismatch);
        Err(HookError::message(reason))
    }
}

/// Takes a connection out of the pool, waiting for a free one as long as it takes.
///
/// # Errors
/// Why a new connection could not be opened. The place names the database as the config does.
pub async fn checkout(
    pool: &Pool,
    database: &DatabaseName,
) -> Result<deadpool_postgres::Object, PgError> {
    let place = || format!("{database} ({})", pool.url);
    pool.connections.get().await.map_err(|error| match error {
        PoolError::Backend(error) => PgError::connecting(&place(), &error),
        PoolError::Timeout(TimeoutType::Create) => no_answer(place(), pool.deadline),
        PoolError::PostCreateHook(HookError::Backend(error)) => {
            PgError::connecting(&place(), &error)
        }
        PoolError::PostCreateHook(_) => {
            let told = pool.mismatch.lock().unwrap_or_else(PoisonError::into_inner);
            let failure = ConnectFailure::new(place(), error.to_string());
            match *told {
                Some(mismatch) => mismatch.into_error(failure),
                None => PgError::Refused(failure),
            }
        }
        // no other time-out is set; the pool is closed only when the process ends
        PoolError::Timeout(_) | PoolError::Closed | PoolError::NoRuntimeSpecified => {
            PgError::Refused(ConnectFailure::new(place(), error.to_string()))
        }
    })
}

/// Gives a connection up instead of back. For one whose state is unknown, and for one that was
/// lost: its end may not have been noticed yet, and the pool would hand it to the next.
pub fn discard(client: deadpool_postgres::Object) {
    drop(deadpool_postgres::Object::take(client));
}
