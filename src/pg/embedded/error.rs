//! What can go wrong with the local server, with what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Why the local server could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No server binaries on this machine.
    #[error(
        "no PostgreSQL server is installed, and the config asks for a local one (url: embedded); looked in {searched}"
    )]
    NoBinaries {
        /// Where.
        searched: String,
    },
    /// The variable names a folder without them.
    #[error("FLEET_PG_BINDIR is {}, which does not hold both initdb and postgres", .0.display())]
    WrongBinDir(PathBuf),
    /// The data is another version's.
    #[error(
        "the data in {} was made by PostgreSQL {made_by}, and only {found} is installed",
        data.display()
    )]
    WrongVersion {
        /// The data directory.
        data: PathBuf,
        /// The version that made it.
        made_by: u32,
        /// The versions that are installed.
        found: String,
    },
    /// PostgreSQL does not run as root, and there is nobody to run it as.
    #[error("PostgreSQL refuses to run as root, and neither user postgres nor nobody exists here")]
    NoAccount,
    /// A directory that must be private is somebody else's.
    #[error("{} belongs to {owner}, so that it cannot hold the local server of {us}", path.display())]
    NotOurs {
        /// The directory.
        path: PathBuf,
        /// Its owner.
        owner: String,
        /// Whom the server would run as.
        us: String,
    },
    /// The server's user cannot get to its data any more.
    #[error("user {user} cannot enter {}, where the data of the local server is", path.display())]
    Unreachable {
        /// The directory.
        path: PathBuf,
        /// Whom the server would run as.
        user: String,
    },
    /// The operating system refused something.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// Verb.
        what: &'static str,
        /// Object.
        path: PathBuf,
        /// Reason.
        source: io::Error,
    },
    /// initdb failed.
    #[error("initdb could not make {}: {output}", data.display())]
    Init {
        /// The data directory.
        data: PathBuf,
        /// What it said last.
        output: String,
    },
    /// The server did not come up.
    #[error("the local server did not start: {reason}\n{tail}(log: {})", log.display())]
    Start {
        /// Ended, or too slow.
        reason: String,
        /// The last lines of its log, each with a newline.
        tail: String,
        /// The whole log.
        log: PathBuf,
    },
    /// The server did not go down.
    #[error("the local server (process {0}) does not stop")]
    Stop(u32),
    /// Other commands work with the server.
    #[error("other fleet commands use the local server; it stops when the last of them ends")]
    InUse,
    /// Another command starts or stops the server and does not come to an end.
    #[error("another fleet command has been starting or stopping the local server for {0} seconds")]
    Busy(u64),
    /// Processes of an earlier server live on, where we cannot end them.
    #[error("processes of an earlier server still use {}", .0.display())]
    Occupied(PathBuf),
    /// A process that may or may not be the server: two on one data directory would ruin it.
    #[error(
        "process {pid} may be the server of {}, and it cannot be found out",
        data.display()
    )]
    Uncertain {
        /// The process.
        pid: u32,
        /// The data directory.
        data: PathBuf,
    },
}

impl EmbeddedError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&str> {
        Some(match self {
            Self::NoBinaries { .. } => {
                "apt-get install postgresql, dnf install postgresql-server or brew install postgresql; or set FLEET_PG_BINDIR; or give a URL (DATABASE_URL)"
            }
            Self::WrongVersion { .. } => {
                "install that version, or delete the folder with all its data"
            }
            Self::NoAccount => "run fleet as an ordinary user, or create the user postgres",
            Self::NotOurs { .. } => "run fleet as that user, or remove the folder",
            Self::Unreachable { .. } => "let the user pass (chmod o+x on the folders above)",
            Self::Occupied(_) => "they may run in another container that shares the folder",
            Self::Uncertain { .. } => {
                "stop that process, or, where it is none of fleet's, delete postmaster.pid there"
            }
            _ => return None,
        })
    }
}

/// Names the operation and the object of an I/O error.
pub(super) fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EmbeddedError {
    let path = path.to_owned();
    move |source| EmbeddedError::Io { what, path, source }
}
