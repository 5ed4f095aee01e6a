//! Sessions beside the one under test: one stands in the way, one counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::session::Session;

/// fleet's own backends in the database of the session that asks.
pub(crate) const IS_FLEET_HERE: &str =
    "datname = current_database() AND application_name LIKE 'fleet%'";

/// A transaction that stays open, and its locks with it, until this is dropped.
pub(crate) struct LockGuard {
    session: Session,
    pid: i32,
}

impl LockGuard {
    #[track_caller]
    pub(super) fn new(session: Session, sql: &str) -> Self {
        let pid = session.pid();
        session.execute(&format!("BEGIN; {sql}"));
        Self { session, pid }
    }

    /// The process id of its backend: what `blocked_by` should name.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    /// How many sessions wait for it. Asks `pg_locks`, because a transaction sees `pg_stat_activity`
    /// as it was when it first looked.
    pub(crate) fn waiters(&self) -> i64 {
        // in an open transaction pg_stat_activity stays as it was first seen
        self.session.execute("SELECT pg_stat_clear_snapshot()");
        self.session.query_one(&format!(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted AND {} = ANY (pg_blocking_pids(pid))",
            self.pid
        ))
    }

    /// Lets go of the locks, and undoes what its statements did.
    pub(crate) fn release(self) {
        self.session.execute("ROLLBACK");
    }
}

/// The most that a sampler saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peak {
    /// The most backends at a time.
    pub(crate) backends: i64,
    /// How many different backends there were in all.
    pub(crate) sessions: usize,
    /// How often it looked.
    pub(crate) samples: u64,
}

/// Counts fleet's backends in a database every few milliseconds.
pub(crate) struct BackendSampler {
    enough: Arc<AtomicBool>,
    thread: JoinHandle<Peak>,
}

impl BackendSampler {
    pub(super) fn start(session: Session) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let thread = std::thread::spawn(move || {
            let backends = format!("SELECT pid FROM pg_stat_activity WHERE {IS_FLEET_HERE}");
            let mut peak = Peak::default();
            let mut seen = BTreeSet::new();
            loop {
                let now: Vec<i32> = session.column(&backends);
                peak.backends = peak.backends.max(i64::try_from(now.len()).expect("a few"));
                seen.extend(now);
                peak.sessions = seen.len();
                peak.samples += 1;
                if told.load(Ordering::Relaxed) {
                    return peak;
                }
                std::thread::sleep(Duration::from_millis(4));
            }
        });
        Self { enough, thread }
    }

    /// Looks once more and says what the most was.
    pub(crate) fn stop(self) -> Peak {
        self.enough.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sampler lives")
    }
}
