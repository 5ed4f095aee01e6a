//! The server as a process: is it there, is it ours, is it ready; how it goes down.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::EmbeddedError;
use super::error::io_error;

const POLL: Duration = Duration::from_millis(20);
/// For the checkpoint of an orderly stop.
const STOP_FAST: Duration = Duration::from_mins(1);
/// For a stop without one.
const STOP_NOW: Duration = Duration::from_secs(15);
/// Backends notice within moments that their postmaster has died.
const ORPHANS: Duration = Duration::from_secs(5);

/// What `postmaster.pid` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The postmaster.
    pub(super) pid: u32,
    /// The folder of its socket.
    pub(super) socket_dir: PathBuf,
    /// Whether it takes connections.
    pub(super) is_ready: bool,
}

impl PidFile {
    fn path(data: &Path) -> PathBuf {
        data.join("postmaster.pid")
    }

    /// Reads the file; None where there is none or it is being written.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(Self::path(data)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // pid, data, start time, port, socket folder, listen address, shared memory, status
        let lines: Vec<&str> = text.lines().collect();
        Some(Self {
            pid: lines.first()?.trim().parse().ok()?,
            socket_dir: lines.get(4).copied().unwrap_or_default().trim().into(),
            is_ready: lines.get(7).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// What a process is to a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    /// A process of its server.
    Server,
    /// Gone, or something else under a number that was used again.
    Stranger,
    /// A PostgreSQL process that does not let us look.
    Unknown,
}

/// The server of a data directory, where it runs.
pub(super) fn running(data: &Path) -> Result<Option<PidFile>, EmbeddedError> {
    let Some(file) = PidFile::read(data) else {
        return Ok(None);
    };
    match relation(file.pid, data) {
        Relation::Server => Ok(Some(file)),
        Relation::Stranger => Ok(None),
        Relation::Unknown => Err(EmbeddedError::Uncertain {
            pid: file.pid,
            data: data.to_owned(),
        }),
    }
}

fn relation(pid: u32, data: &Path) -> Relation {
    let proc = PathBuf::from("/proc");
    if !proc.join("self").exists() {
        return relation_by_ps(pid, data);
    }
    let proc = proc.join(pid.to_string());
    let Ok(stat) = std::fs::read_to_string(proc.join("stat")) else {
        return Relation::Stranger;
    };
    // `pid (name) state …`; the name may hold anything. A zombie has ended.
    let after_name = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest.trim_start());
    if after_name.starts_with(['Z', 'X']) {
        return Relation::Stranger;
    }
    // a server's processes work in its data directory, also when that was renamed meanwhile
    match std::fs::read_link(proc.join("cwd")) {
        Ok(directory) if directory == data => Relation::Server,
        Ok(_) => Relation::Stranger,
        // a container's root may not look into processes of others
        Err(_) => match std::fs::read(proc.join("cmdline")) {
            Ok(line) => {
                relation_by_command(&String::from_utf8_lossy(&line).replace('\0', " "), data)
            }
            Err(_) => Relation::Stranger,
        },
    }
}

fn relation_by_ps(pid: u32, data: &Path) -> Relation {
    let output = std::process::Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    match output {
        Ok(output) => relation_by_command(&String::from_utf8_lossy(&output.stdout), data),
        Err(_) => Relation::Unknown,
    }
}

fn relation_by_command(command: &str, data: &Path) -> Relation {
    if command.contains(&format!("-D {} ", data.display())) {
        Relation::Server
    } else if command.contains("postgres") {
        Relation::Unknown
    } else {
        Relation::Stranger
    }
}

/// Takes the lock that all processes of a server hold: it comes free only when the last of them is
/// gone, whatever the numbers in `postmaster.pid` mean by now, and wherever they run. A new server
/// beside one old backend would ruin the data.
pub(super) fn server_lock(path: &Path, data: &Path) -> Result<File, EmbeddedError> {
    let lock = super::open(path)?;
    for is_last_try in [false, true] {
        let deadline = Instant::now() + ORPHANS;
        while Instant::now() < deadline {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::Error(error)) => return Err(io_error("lock", path)(error)),
                Err(TryLockError::WouldBlock) => std::thread::sleep(POLL),
            }
        }
        if !is_last_try {
            for pid in processes_in(data) {
                signal(pid, Signal::QUIT);
            }
        }
    }
    Err(EmbeddedError::Occupied(data.to_owned()))
}

/// Takes the files away that a server left which was killed: the number in them may belong to
/// somebody else by now, and PostgreSQL would not start.
pub(super) fn clear_remains(data: &Path, socket_dir: &Path) -> Result<(), EmbeddedError> {
    for path in [
        PidFile::path(data),
        socket_dir.join(".s.PGSQL.5432"),
        socket_dir.join(".s.PGSQL.5432.lock"),
    ] {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(io_error("remove", &path)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// All processes of the server of a data directory, as far as the system shows them.
fn processes_in(data: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| relation(*pid, data) == Relation::Server)
        .collect()
}

/// Stops the server: in order, then at once.
pub(super) fn stop(server: &PidFile, data: &Path) -> Result<(), EmbeddedError> {
    for (how, patience) in [(Signal::INT, STOP_FAST), (Signal::QUIT, STOP_NOW)] {
        signal(server.pid, how);
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if relation(server.pid, data) == Relation::Stranger {
                return Ok(());
            }
            std::thread::sleep(POLL);
        }
    }
    Err(EmbeddedError::Stop(server.pid))
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        // gone already: that is what was wanted
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_a_postmaster_writes() {
        let text = "4711\n/p/data\n1700000000\n5432\n/p/run\n\n  5432001  32768\nready   \n";
        let file = PidFile::parse(text).unwrap();
        assert_eq!((file.pid, file.is_ready), (4711, true));
        assert_eq!(file.socket_dir, Path::new("/p/run"));
        let starting = PidFile::parse("4711\n/p/data\n1700000000\n5432\n").unwrap();
        assert!(!starting.is_ready);
        assert_eq!(PidFile::parse(""), None);
    }

    #[test]
    fn another_process_under_the_number_is_a_stranger() {
        assert_eq!(
            relation(std::process::id(), Path::new("/nowhere")),
            Relation::Stranger
        );
        assert_eq!(
            relation(u32::MAX, Path::new("/nowhere")),
            Relation::Stranger
        );
    }

    #[test]
    fn a_postgres_that_hides_is_neither_ours_nor_gone() {
        let data = Path::new("/p/data");
        let ours = "/usr/lib/postgresql/15/bin/postgres -D /p/data -c port=5432";
        assert_eq!(relation_by_command(ours, data), Relation::Server);
        assert_eq!(
            relation_by_command("postgres: checkpointer", data),
            Relation::Unknown
        );
        assert_eq!(relation_by_command("sleep 100", data), Relation::Stranger);
    }
}
