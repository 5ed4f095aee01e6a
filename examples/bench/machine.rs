//! Where the numbers come from: milliseconds mean little without the machine.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::options::Options;
use crate::server::Server;

/// The machine, a line each: what, and which.
pub(crate) fn describe(
    options: &Options,
    server: &Server,
) -> anyhow::Result<Vec<(String, String)>> {
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown CPU".to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kib: u64 = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    let fleet = said(&options.fleet.display().to_string(), &["--version"]);
    let busy = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let busy: Vec<&str> = busy.split(' ').take(3).collect();
    Ok([
        (
            "machine",
            format!("{cpu}, {cores} cores, {} GiB", kib.div_ceil(1024 * 1024)),
        ),
        ("kernel", said("uname", &["-srm"])),
        ("disk", fsync_rate(&options.scratch)?),
        (
            "server",
            server.value(
                "postgres",
                "SELECT 'PostgreSQL ' || current_setting('server_version')",
            )?,
        ),
        (
            "settings",
            "its defaults, fsync on; client and server on this one machine".to_owned(),
        ),
        ("fleet", fleet),
        ("connections", options.concurrency.to_string()),
        ("load before", busy.join(" ")),
        ("date", said("date", &["-u", "+%Y-%m-%d"])),
    ]
    .map(|(what, which)| (what.to_owned(), which))
    .to_vec())
}

/// The first field of this name in a file of `name: value` lines.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// The first line that a command prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output);
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// How often the disk confirms a write of 8 kB, as a commit is one. Half a second is enough to tell a disk
/// from a promise.
fn fsync_rate(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("fsync");
    let mut file = fs::File::create(&path)?;
    let block = [7; 8192];
    let started = Instant::now();
    let mut writes = 0_u32;
    while started.elapsed() < Duration::from_millis(500) {
        file.rewind()?;
        file.write_all(&block)?;
        file.sync_data()?;
        writes += 1;
    }
    let rate = f64::from(writes) / started.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(format!(
        "{rate:.0} writes of 8 kB a second, each with fdatasync"
    ))
}
