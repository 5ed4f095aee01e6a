//! What bounds a run, as validated values.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::brake::ThrottleLimits;
use super::deadline::Deadline;
use super::governor::FIRST_AT_A_TIME;
use super::wave::SameFailures;
use crate::run::FailureBudget;
use crate::tenant::DatabaseName;

/// How many tenants are worked on at a time.
#[derive(Clone, Debug)]
pub struct Concurrency {
    /// Over the whole fleet.
    pub fleet: NonZeroUsize,
    /// Whether as many as that from the start.
    pub pace: Pace,
    /// What the servers may be made to bear.
    pub throttle: ThrottleLimits,
    /// In each database.
    pub databases: HashMap<DatabaseName, DatabaseLimits>,
}

/// How the number of tenants at a time is come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It is the config's.
    Fixed,
    /// Within the config's bounds it is found out what brings most.
    Auto,
}

/// What bounds one database.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseLimits {
    /// How many of its tenants: its `max_connections`.
    pub tenants: NonZeroUsize,
    /// How many of its tenants with a step that waits for all others: its `max_index_builds`.
    pub index_builds: NonZeroUsize,
}

impl Concurrency {
    /// How many tenants of a database.
    pub(super) fn limit(&self, database: &DatabaseName) -> usize {
        let limits = self.databases.get(database);
        limits.map_or(1, |limits| limits.tenants.get())
    }

    /// How many tenants of a database there can be at first, where so many databases share what the fleet may.
    pub fn at_first(&self, database: &DatabaseName, sharing: NonZeroUsize) -> usize {
        let most = match self.pace {
            Pace::Fixed => self.fleet.get().div_ceil(sharing.get()),
            Pace::Auto => FIRST_AT_A_TIME,
        };
        most.min(self.limit(database))
    }

    /// How many tenants of a database with a step that waits for all others.
    pub(super) fn turns(&self, database: &DatabaseName) -> usize {
        let limits = self.databases.get(database);
        limits.map_or(1, |limits| limits.index_builds.get())
    }
}

/// All that bounds a run.
#[derive(Clone, Debug)]
pub struct RolloutPolicy {
    /// How many tenants at a time.
    pub concurrency: Concurrency,
    /// When a transient failure is tried again.
    pub retry: RetryPolicy,
    /// When the run halts.
    pub budget: FailureBudget,
    /// After how many failures of one kind a migration is taken for bad.
    pub same_failures: SameFailures,
    /// How long a database may be out of reach before its tenants are given up.
    pub reconnect: Duration,
    /// How often the run gives a sign of life: well within the time that its lease lasts.
    pub heartbeat: Duration,
    /// When it has to be over.
    pub deadline: Option<Deadline>,
}

/// When a transient failure is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at one tenant in all.
    pub attempts: NonZeroU32,
    /// The pause after the first attempt; doubled after each further one.
    pub backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
}

impl RetryPolicy {
    /// How long to wait after attempt `attempt` failed, None where it was the last. `jitter` in
    /// `0.0..1.0` takes up to half of the pause away, so that tenants that collided do not collide again.
    pub fn pause_after(&self, attempt: u32, jitter: f64) -> Option<Duration> {
        if attempt >= self.attempts.get() {
            return None;
        }
        Some(back_off(attempt, self.backoff, self.max_backoff, jitter))
    }
}

/// A pause that doubles with each try up to the longest, half of it left to chance.
pub(super) fn back_off(tries: u32, first: Duration, longest: Duration, jitter: f64) -> Duration {
    let doublings = tries.saturating_sub(1).min(30);
    let pause = first.saturating_mul(1 << doublings).min(longest);
    pause.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_end_with_the_attempts() {
        let policy = RetryPolicy {
            attempts: NonZeroU32::new(4).unwrap(),
            backoff: Duration::from_millis(200),
            max_backoff: Duration::from_millis(500),
        };
        let pauses: Vec<_> = (1..=4).map(|n| policy.pause_after(n, 0.0)).collect();
        let ms = |n| Some(Duration::from_millis(n));
        assert_eq!(pauses, [ms(200), ms(400), ms(500), None]);
        assert_eq!(policy.pause_after(1, 1.0), ms(100));
    }
}
