//! What `/proc` says about the server's processes: their CPU, and how large the largest backend was.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;

/// How often backends are looked at: often enough for what grows, and a fraction of a percent of a core.
const EVERY: Duration = Duration::from_millis(50);

/// The CPU of a server and its processes, with those that have ended.
pub(crate) fn cpu_of_server(postmaster: u32) -> anyhow::Result<Duration> {
    let mut ticks = ticks(postmaster)?;
    for child in children(postmaster) {
        // one that has just ended is in its parent's sum the next time
        ticks += self::ticks(child).unwrap_or(0);
    }
    let a_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_millis(ticks * 1000 / a_second))
}

/// User and system time of a process and of its children that it has waited for.
fn ticks(pid: u32) -> anyhow::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // the name before it may hold anything
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat")?;
    let fields = fields.split_whitespace().skip(11).take(4);
    Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum())
}

fn children(postmaster: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

/// The memory of a process that it shares with nobody.
fn own_memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Whether a process works for a client of the database: `postgres: USER DATABASE HOST(PORT) …`, as its title says.
fn is_backend_of(pid: u32, database: &str) -> bool {
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    title.starts_with(&format!("postgres: postgres {database} "))
}

/// Looks at a database's backends while something runs.
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    largest_kib: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn start(postmaster: u32, database: &str) -> Self {
        let database = database.to_owned();
        let is_over = Arc::new(AtomicBool::new(false));
        let largest_kib = Arc::new(AtomicU64::new(0));
        let (over, largest) = (Arc::clone(&is_over), Arc::clone(&largest_kib));
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let children = children(postmaster).into_iter();
                for child in children.filter(|child| is_backend_of(*child, &database)) {
                    largest.fetch_max(own_memory_kib(child).unwrap_or(0), Ordering::Relaxed);
                }
                std::thread::park_timeout(EVERY);
            }
        });
        Self {
            is_over,
            largest_kib,
            thread,
        }
    }

    /// The own memory of the largest backend that was seen, in KiB.
    pub(crate) fn stop(self) -> u64 {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.thread().unpark();
        // it has nothing that could panic
        let _ = self.thread.join();
        self.largest_kib.load(Ordering::Relaxed)
    }
}
