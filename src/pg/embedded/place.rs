//! Where the local server lives and whom it runs as.
//!
//! `<fleet dir>/postgres` holds `data` and `run` (the socket) and belongs to the server's user with
//! mode 0700: that is what protects a socket that trusts everybody. PostgreSQL refuses to run as
//! root; another user then runs it, and where that user cannot get into the project, the same
//! folders are under `/var/tmp` instead and `<fleet dir>/postgres.path` says where.

use std::fs::{DirBuilder, File, Permissions};
use std::hash::Hasher;
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use siphasher::sip::SipHasher13;

use super::EmbeddedError;
use super::error::io_error;
use crate::pg::account::Account;

/// A socket's address holds 107 bytes, `/.s.PGSQL.5432` among them.
const MAX_SOCKET_DIR_BYTES: usize = 90;
const RECORD: &str = "postgres.path";
/// In a home outside of the project: whose it is.
const OWNER: &str = "fleet.dir";

/// The folders of one local server and its user.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Whom the server runs as; None is ourselves.
    account: Option<Account>,
    home: PathBuf,
}

impl Place {
    /// Finds the server's folders without changing anything; None where there are none yet.
    pub(super) fn existing(fleet_dir: &Path) -> Option<Self> {
        let home = recorded(fleet_dir).unwrap_or_else(|| fleet_dir.join("postgres"));
        let home = home.canonicalize().ok()?;
        home.join("data").is_dir().then_some(Self {
            account: None,
            home,
        })
    }

    /// Finds or makes the server's folders.
    pub(super) fn prepare(fleet_dir: &Path) -> Result<Self, EmbeddedError> {
        if let Some(home) = recorded(fleet_dir) {
            let place = Self::private(&home)?;
            write(&place.home.join(OWNER), fleet_dir)?;
            return Ok(place);
        }
        let inside = Self::private(&fleet_dir.join("postgres"))?;
        let Some(account) = inside.account.as_ref() else {
            return Ok(inside);
        };
        if inside.can_be_entered() {
            return Ok(inside);
        }
        if inside.data().exists() {
            return Err(EmbeddedError::Unreachable {
                path: inside.home.clone(),
                user: account.name.clone(),
            });
        }
        let outside = PathBuf::from(format!("/var/tmp/fleet-{}", hash(fleet_dir)));
        let place = Self::private(&outside)?;
        place.forget_removed_project()?;
        write(&place.home.join(OWNER), fleet_dir)?;
        write(&fleet_dir.join(RECORD), &place.home)?;
        // empty: only made to try it
        let _ = std::fs::remove_dir(&inside.home);
        Ok(place)
    }

    /// Whoever removes `.fleet` removes the data, also where they had to be elsewhere: without the
    /// record there, what lies here belongs to a folder that is gone. A server that still runs on it
    /// keeps it.
    fn forget_removed_project(&self) -> Result<(), EmbeddedError> {
        let data = self.data();
        if !data.exists() || data.join("postmaster.pid").exists() {
            return Ok(());
        }
        std::fs::remove_dir_all(&data).map_err(io_error("remove", &data))
    }

    /// A home that only the server's user can enter.
    fn private(home: &Path) -> Result<Self, EmbeddedError> {
        let account = private_dir(home, server_account)?;
        let home = home.canonicalize().map_err(io_error("find", home))?;
        Ok(Self { account, home })
    }

    /// The data directory, by its real path: that is where its processes are found.
    pub(super) fn data(&self) -> PathBuf {
        let data = self.home.join("data");
        data.canonicalize().unwrap_or(data)
    }

    /// Where initdb works until it is done.
    pub(super) fn unfinished_data(&self) -> PathBuf {
        self.home.join("data.unfinished")
    }

    /// The folder of the socket, made when it is missing.
    pub(super) fn socket_dir(&self) -> Result<PathBuf, EmbeddedError> {
        let inside = self.home.join("run");
        let dir = if inside.as_os_str().len() <= MAX_SOCKET_DIR_BYTES {
            inside
        } else {
            // and not TMPDIR, where another user may not go
            PathBuf::from(format!("/tmp/fleet-{}", hash(&self.home)))
        };
        private_dir(&dir, || Ok(self.account.clone()))?;
        Ok(dir)
    }

    /// A command that runs as the server's user, away from the caller's folder, terminal and
    /// libpq variables.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Some(account) = &self.account {
            command.uid(account.uid).gid(account.gid);
        }
        for (name, _) in std::env::vars_os() {
            if name.as_bytes().starts_with(b"PG") || name.as_bytes().starts_with(b"LC_") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }

    fn can_be_entered(&self) -> bool {
        // asked of the system and not computed: access lists and namespaces have their say too
        self.command(Path::new("/bin/sh"))
            .args(["-c", "cd -- \"$1\" && test -w .", "sh"])
            .arg(&self.home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Whom a new server runs as; None is ourselves.
fn server_account() -> Result<Option<Account>, EmbeddedError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    Account::named("postgres")
        .or_else(|| Account::named("nobody"))
        .map(Some)
        .ok_or(EmbeddedError::NoAccount)
}

/// Makes or checks a folder that only one user can enter, and says who that is. An existing one
/// keeps its owner where we are root: data that a user made goes on running as that user.
fn private_dir(
    path: &Path,
    account: impl FnOnce() -> Result<Option<Account>, EmbeddedError>,
) -> Result<Option<Account>, EmbeddedError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(io_error("create", path)(error));
        }
        _ => {}
    }
    // not followed: in a folder for everybody somebody may have put a link
    let metadata = std::fs::symlink_metadata(path).map_err(io_error("read", path))?;
    let us = rustix::process::geteuid().as_raw();
    let wanted = account()?;
    let wanted_uid = wanted.as_ref().map_or(us, |account| account.uid);
    let owner = metadata.uid();
    let not_ours = || EmbeddedError::NotOurs {
        path: path.to_owned(),
        owner: user_name(owner),
        us: user_name(wanted_uid),
    };
    if !metadata.is_dir() {
        return Err(not_ours());
    }
    let runs_as = if owner == wanted_uid {
        wanted
    } else if us == 0 && owner == 0 {
        // made by us a moment ago, or by one of us who was killed before this line
        let account = wanted.ok_or(EmbeddedError::NoAccount)?;
        std::os::unix::fs::lchown(path, Some(account.uid), Some(account.gid))
            .map_err(io_error("give away", path))?;
        Some(account)
    } else if us == 0 && is_in_project(path) {
        Some(Account::with_uid(owner).ok_or_else(not_ours)?)
    } else {
        return Err(not_ours());
    };
    if metadata.permissions().mode() & 0o777 != 0o700 {
        if !is_in_project(path) {
            return Err(not_ours());
        }
        std::fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(io_error("protect", path))?;
    }
    Ok(runs_as)
}

/// Folders for everybody hold what strangers made for us to find; a project does not.
fn is_in_project(path: &Path) -> bool {
    path.parent()
        .and_then(|parent| std::fs::metadata(parent).ok())
        .is_some_and(|parent| parent.permissions().mode() & 0o1000 == 0)
}

fn user_name(uid: u32) -> String {
    Account::with_uid(uid).map_or_else(|| format!("user {uid}"), |account| account.name)
}

/// The home outside of the project, unless the record came here with a copy of another project
/// that still uses it.
fn recorded(fleet_dir: &Path) -> Option<PathBuf> {
    let read = |path: &Path| {
        let text = std::fs::read(path).ok()?;
        Some(PathBuf::from(std::ffi::OsStr::from_bytes(
            text.trim_ascii_end(),
        )))
    };
    let home = read(&fleet_dir.join(RECORD))?;
    if !home.is_dir() {
        return None;
    }
    let owner = read(&home.join(OWNER)).unwrap_or_else(|| fleet_dir.to_owned());
    let is_copy = owner != fleet_dir && read(&owner.join(RECORD)).as_ref() == Some(&home);
    (!is_copy).then_some(home)
}

fn write(path: &Path, content: &Path) -> Result<(), EmbeddedError> {
    let mut text = content.as_os_str().as_bytes().to_vec();
    text.push(b'\n');
    if std::fs::read(path).is_ok_and(|written| written == text) {
        return Ok(());
    }
    // a new file and a rename follow no link that the folder's owner may have put there for root
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    File::create_new(&new)
        .and_then(|mut file| file.write_all(&text))
        .and_then(|()| std::fs::rename(&new, path))
        .map_err(io_error("write", path))
}

fn hash(path: &Path) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(path.as_os_str().as_bytes());
    hasher.write_u32(rustix::process::geteuid().as_raw());
    format!("{:016x}", hasher.finish())
}
