//! The private local PostgreSQL under `.fleet/`, which needs no set-up: `url: embedded`.
//!
//! It starts with the first command that needs it, is shared by all that run at the same time and
//! stops with the last, unless it is kept. Who uses it is counted by locks on files, which the
//! kernel takes back from a process that is killed: `start.lock` is held, alone, while somebody
//! starts or stops the server or decides about it; `users.lock` is shared by all users, and whoever
//! gets it alone at the end was the last; `server.lock` is held by the server's own processes.

mod binaries;
mod error;
mod launch;
mod place;
mod process;

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use self::error::EmbeddedError;
use self::error::io_error;
use self::place::Place;
use self::process::PidFile;
use super::url::encode;

/// How long to wait for another command that starts or stops the server.
const PATIENCE: Duration = Duration::from_mins(4);
const POLL: Duration = Duration::from_millis(20);
/// A process that is being started holds copies of our locks until it has become its program.
const LAST_USER_TRIES: u32 = 3;

/// The local server of one project. Making this value starts nothing.
#[derive(Clone, Debug)]
pub struct EmbeddedServer {
    dir: PathBuf,
}

/// What the local server is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EmbeddedStatus {
    /// It does not run.
    Stopped,
    /// It runs.
    Running {
        /// Its URL.
        url: String,
        /// Its process.
        pid: u32,
        /// Whether it stays when nobody uses it.
        is_kept: bool,
    },
}

impl EmbeddedServer {
    /// The server that lives in this folder, usually `.fleet` beside the config.
    pub fn new(fleet_dir: &Path) -> Self {
        Self {
            dir: fleet_dir.to_owned(),
        }
    }

    /// Uses the server, starting it where it does not run. Blocks while it starts.
    ///
    /// # Errors
    /// Why there is no server.
    pub fn acquire(&self) -> Result<EmbeddedLease, EmbeddedError> {
        let dir = self.ready_dir()?;
        let _deciding = Deciding::begin(&dir)?;
        let users = open(&dir.join("users.lock"))?;
        // nobody holds it alone: that happens only under the lock that we hold
        users
            .lock_shared()
            .map_err(io_error("lock", &dir.join("users.lock")))?;
        let url = ensure_running(&dir)?;
        Ok(EmbeddedLease {
            dir,
            url,
            users: Some(users),
        })
    }

    /// Starts the server and keeps it after the last user. Gives its URL.
    ///
    /// # Errors
    /// Why there is no server.
    pub fn start(&self) -> Result<String, EmbeddedError> {
        let dir = self.ready_dir()?;
        let _deciding = Deciding::begin(&dir)?;
        let url = ensure_running(&dir)?;
        let keep = keep_mark(&dir);
        std::fs::write(&keep, "").map_err(io_error("write", &keep))?;
        Ok(url)
    }

    /// Stops the server, and keeps it no longer. Says whether it ran.
    ///
    /// # Errors
    /// [`EmbeddedError::InUse`] where commands work with it; it then stops with the last of them.
    pub fn stop(&self) -> Result<bool, EmbeddedError> {
        let Ok(dir) = self.dir.canonicalize() else {
            return Ok(false);
        };
        let _deciding = Deciding::begin(&dir)?;
        forget_keep(&dir)?;
        let Some((server, data)) = server_of(&dir)? else {
            return Ok(false);
        };
        let users = open(&dir.join("users.lock"))?;
        if !is_last(&users, &dir)? {
            return Err(EmbeddedError::InUse);
        }
        process::stop(&server, &data)?;
        Ok(true)
    }

    /// Whether the server runs; one that does not take connections yet does not. Changes nothing.
    ///
    /// # Errors
    /// It cannot be found out.
    pub fn status(&self) -> Result<EmbeddedStatus, EmbeddedError> {
        let Ok(dir) = self.dir.canonicalize() else {
            return Ok(EmbeddedStatus::Stopped);
        };
        Ok(match server_of(&dir)? {
            Some((server, _)) if server.is_ready => EmbeddedStatus::Running {
                url: url_of(&server),
                pid: server.pid,
                is_kept: keep_mark(&dir).exists(),
            },
            _ => EmbeddedStatus::Stopped,
        })
    }

    /// The URL of the server where it runs and takes connections.
    pub fn running_url(&self) -> Option<String> {
        match self.status() {
            Ok(EmbeddedStatus::Running { url, .. }) => Some(url),
            Ok(EmbeddedStatus::Stopped) | Err(_) => None,
        }
    }

    /// Makes the folder where it is missing, and keeps it out of version control.
    fn ready_dir(&self) -> Result<PathBuf, EmbeddedError> {
        if !self.dir.is_dir() {
            std::fs::create_dir_all(&self.dir).map_err(io_error("create", &self.dir))?;
        }
        let dir = self
            .dir
            .canonicalize()
            .map_err(io_error("find", &self.dir))?;
        let ignore = dir.join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").map_err(io_error("write", &ignore))?;
        }
        Ok(dir)
    }
}

/// The right to use the local server. While one is held, nobody stops the server.
#[derive(Debug)]
pub struct EmbeddedLease {
    dir: PathBuf,
    url: String,
    /// The shared lock; None once it is given back.
    users: Option<File>,
}

impl EmbeddedLease {
    /// Where the server is. psql takes it too.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Gives the server back; the last user stops it, unless it is kept.
    ///
    /// # Errors
    /// The server did not stop.
    pub fn release(mut self) -> Result<(), EmbeddedError> {
        self.give_back()
    }

    fn give_back(&mut self) -> Result<(), EmbeddedError> {
        let Some(users) = self.users.take() else {
            return Ok(());
        };
        let _deciding = Deciding::begin(&self.dir)?;
        if keep_mark(&self.dir).exists() || !is_last(&users, &self.dir)? {
            return Ok(());
        }
        match server_of(&self.dir)? {
            Some((server, data)) => process::stop(&server, &data),
            None => Ok(()),
        }
    }
}

impl Drop for EmbeddedLease {
    fn drop(&mut self) {
        // nobody to tell; a server that stays is found by the next command
        let _ = self.give_back();
    }
}

/// The exclusive lock around starting, stopping and deciding.
struct Deciding {
    _lock: File,
}

impl Deciding {
    fn begin(dir: &Path) -> Result<Self, EmbeddedError> {
        let path = dir.join("start.lock");
        let lock = open(&path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { _lock: lock }),
                Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
                Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                    return Err(EmbeddedError::Busy(PATIENCE.as_secs()));
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
            }
        }
    }
}

/// Whether nobody else uses the server. Takes the lock alone, which also gives up a shared one.
fn is_last(users: &File, dir: &Path) -> Result<bool, EmbeddedError> {
    let path = dir.join("users.lock");
    users.unlock().map_err(io_error("unlock", &path))?;
    for _ in 0..LAST_USER_TRIES {
        match users.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(io_error("lock", &path)(error)),
            Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
        }
    }
    Ok(false)
}

fn ensure_running(dir: &Path) -> Result<String, EmbeddedError> {
    let place = Place::prepare(dir)?;
    let data = place.data();
    if let Some(server) = process::running(&data)? {
        // one that a killed command began to start
        return Ok(url_of(&launch::wait_for(server, &data, dir)?));
    }
    Ok(url_of(&launch::launch(&place, dir)?))
}

fn server_of(dir: &Path) -> Result<Option<(PidFile, PathBuf)>, EmbeddedError> {
    let Some(place) = Place::existing(dir) else {
        return Ok(None);
    };
    let data = place.data();
    Ok(process::running(&data)?.map(|server| (server, data)))
}

fn url_of(server: &PidFile) -> String {
    // the port is said although it is the default: psql would take PGPORT
    format!(
        "postgresql://postgres@/postgres?host={}&port=5432",
        encode(&server.socket_dir.display().to_string())
    )
}

fn keep_mark(dir: &Path) -> PathBuf {
    dir.join("keep")
}

fn forget_keep(dir: &Path) -> Result<(), EmbeddedError> {
    let keep = keep_mark(dir);
    match std::fs::remove_file(&keep) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(io_error("remove", &keep)(error))
        }
        _ => Ok(()),
    }
}

fn open(path: &Path) -> Result<File, EmbeddedError> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(io_error("open", path))
}

#[cfg(test)]
mod tests;
