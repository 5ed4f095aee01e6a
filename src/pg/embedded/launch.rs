//! Making a cluster and starting its server.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::EmbeddedError;
use super::binaries::Binaries;
use super::error::io_error;
use super::place::Place;
use super::process::{PidFile, clear_remains, running, server_lock};

/// Recovery after a crash may take a while.
const START: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(20);
/// A log that is longer is put aside at the next start.
const MAX_LOG_BYTES: u64 = 8 * 1024 * 1024;
const TAIL_LINES: usize = 10;

/// Settings on the command line, so that an edit of the file in the data directory can open
/// nothing. No TCP at all; the data is real, so fsync stays on.
const SETTINGS: &[&str] = &[
    "listen_addresses=",
    "port=5432",
    "max_connections=100",
    // one migration may touch thousands of tables in one transaction
    "max_locks_per_transaction=256",
    "logging_collector=off",
    "log_destination=stderr",
    "ssl=off",
];

/// Starts the server and waits until it takes connections; makes the cluster where there is none.
/// The caller holds the lock.
pub(super) fn launch(place: &Place, dir: &Path) -> Result<PidFile, EmbeddedError> {
    let data = place.data();
    let log = &log_of(dir);
    let lock = server_lock(&dir.join("server.lock"), &data)?;
    let binaries = Binaries::find(&data)?;
    if !data.join("PG_VERSION").exists() {
        make_cluster(place, &binaries, &lock)?;
    }
    let data = place.data();
    let socket_dir = place.socket_dir()?;
    clear_remains(&data, &socket_dir)?;
    let mut log_file = open_log(log)?;
    let begin = log_file
        .seek(SeekFrom::End(0))
        .map_err(io_error("read", log))?;
    let mut command = place.command(&binaries.program("postgres"));
    command.arg("-D").arg(&data);
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    let directories = format!(
        "\"{}\"",
        socket_dir.display().to_string().replace('"', "\"\"")
    );
    command
        .arg("-c")
        .arg(format!("unix_socket_directories={directories}"));
    let child = command
        // Ctrl-C at the terminal is for the command, not for the server that it shares
        .process_group(0)
        // every process of the server inherits the lock, as a file that is never read
        .stdin(lock)
        .stdout(log_file.try_clone().map_err(io_error("use", log))?)
        .stderr(log_file)
        .spawn()
        .map_err(io_error("run", &binaries.program("postgres")))?;
    wait_until_ready(child, &data, log, begin)
}

fn wait_until_ready(
    mut child: Child,
    data: &Path,
    log: &Path,
    log_begin: u64,
) -> Result<PidFile, EmbeddedError> {
    let failed = |reason: String| EmbeddedError::Start {
        reason,
        tail: tail(log, log_begin),
        log: log.to_owned(),
    };
    let deadline = Instant::now() + START;
    loop {
        if let Some(file) = PidFile::read(data)
            && file.is_ready
            && file.pid == child.id()
        {
            // whoever started it has to hear of its end, or it stays in the process table; the
            // thread ends with the server or with us
            let _ = std::thread::Builder::new()
                .name("embedded-server".to_owned())
                .spawn(move || child.wait());
            return Ok(file);
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(failed(status.to_string()));
        }
        if Instant::now() > deadline {
            return Err(failed(format!("not ready after {} s", START.as_secs())));
        }
        std::thread::sleep(POLL);
    }
}

/// Waits for a server that somebody else has begun to start.
pub(super) fn wait_for(server: PidFile, data: &Path, dir: &Path) -> Result<PidFile, EmbeddedError> {
    let deadline = Instant::now() + START;
    let mut seen = Some(server);
    while let Some(file) = seen {
        if file.is_ready {
            return Ok(file);
        }
        if Instant::now() > deadline {
            break;
        }
        std::thread::sleep(POLL);
        seen = running(data)?;
    }
    Err(EmbeddedError::Start {
        reason: "a server that was starting never became ready".to_owned(),
        tail: tail(&log_of(dir), 0),
        log: log_of(dir),
    })
}

/// initdb under another name first: one that was killed halfway is never taken for a cluster.
fn make_cluster(place: &Place, binaries: &Binaries, lock: &File) -> Result<(), EmbeddedError> {
    let unfinished = place.unfinished_data();
    let data = place.data();
    let mut first_failure = None;
    // C.UTF-8 is not known everywhere
    for locale in ["C.UTF-8", "C"] {
        if unfinished.exists() {
            std::fs::remove_dir_all(&unfinished).map_err(io_error("remove", &unfinished))?;
        }
        let initdb = binaries.program("initdb");
        let output = place
            .command(&initdb)
            .arg("-D")
            .arg(&unfinished)
            .args(["--username=postgres", "--encoding=UTF8"])
            .arg(format!("--locale={locale}"))
            // the folder around the socket keeps others out
            .args(["--auth-local=trust", "--auth-host=reject"])
            // one that outlives us keeps the next one away
            .stdin(lock.try_clone().map_err(io_error("use", &data))?)
            .stdout(Stdio::null())
            .process_group(0)
            .output()
            .map_err(io_error("run", &initdb))?;
        if output.status.success() {
            return std::fs::rename(&unfinished, &data).map_err(io_error("rename", &unfinished));
        }
        first_failure.get_or_insert_with(|| {
            last_lines(&String::from_utf8_lossy(&output.stderr))
                .trim_end()
                .replace('\n', "; ")
        });
    }
    let _ = std::fs::remove_dir_all(&unfinished);
    Err(EmbeddedError::Init {
        data,
        output: first_failure.unwrap_or_default(),
    })
}

fn log_of(dir: &Path) -> PathBuf {
    dir.join("postgres.log")
}

fn open_log(log: &Path) -> Result<File, EmbeddedError> {
    if std::fs::metadata(log).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES) {
        // an old log that stays does no harm
        let _ = std::fs::rename(log, log.with_extension("log.old"));
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .map_err(io_error("open", log))
}

fn tail(log: &Path, begin: u64) -> String {
    let read = || {
        let mut file = File::open(log)?;
        file.seek(SeekFrom::Start(begin))?;
        let mut bytes = Vec::new();
        file.take(MAX_LOG_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    last_lines(&read().unwrap_or_default())
}

/// Each with a newline.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let begin = lines.len().saturating_sub(TAIL_LINES);
    lines[begin..].iter().fold(String::new(), |mut kept, line| {
        kept.push_str(line);
        kept.push('\n');
        kept
    })
}
