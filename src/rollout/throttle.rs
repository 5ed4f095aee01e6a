//! Limits below the configured ones, for databases that cannot take as much just now. They rise by
//! themselves.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::policy::Concurrency;
use crate::tenant::DatabaseName;

/// How soon a database that came back may have twice as many tenants in work.
const AFTER_RESTART: Duration = Duration::from_millis(100);
/// How soon one more connection is tried where the server had no more to give.
const AFTER_SHRINKING: Duration = Duration::from_secs(2);

/// One database's lower limit.
struct Throttle {
    limit: usize,
    growth: Growth,
    rises_at: Instant,
}

#[derive(Clone, Copy)]
enum Growth {
    Double,
    ByOne,
}

impl Growth {
    fn pause(self) -> Duration {
        match self {
            Self::Double => AFTER_RESTART,
            Self::ByOne => AFTER_SHRINKING,
        }
    }
}

/// The lower limits of all databases that have one.
#[derive(Default)]
pub(super) struct Throttles {
    limits: HashMap<DatabaseName, Throttle>,
    /// The lowest limit for want of connections that was told.
    told: HashMap<DatabaseName, usize>,
}

impl Throttles {
    /// A database's lower limit.
    pub(super) fn limit(&self, database: &DatabaseName) -> Option<usize> {
        self.limits.get(database).map(|throttle| throttle.limit)
    }

    /// It has come back: one tenant at first, soon all.
    pub(super) fn restart(&mut self, database: &DatabaseName, now: Instant) {
        self.set(database, 1, Growth::Double, now);
    }

    /// It gives no more than so many connections. Whether fewer than were known before.
    pub(super) fn shrink(&mut self, database: &DatabaseName, limit: usize, now: Instant) -> bool {
        let told = self.told.entry(database.clone()).or_insert(usize::MAX);
        let is_news = limit < *told;
        *told = limit.min(*told);
        self.set(database, limit, Growth::ByOne, now);
        is_news
    }

    fn set(&mut self, database: &DatabaseName, limit: usize, growth: Growth, now: Instant) {
        let throttle = Throttle {
            limit,
            growth,
            rises_at: now + growth.pause(),
        };
        self.limits.insert(database.clone(), throttle);
    }

    /// When the next limit rises.
    pub(super) fn next_rise(&self) -> Option<Instant> {
        self.limits.values().map(|throttle| throttle.rises_at).min()
    }

    /// Lets limits rise whose time has come, and drops those that have reached the configured one.
    pub(super) fn rise(&mut self, now: Instant, configured: &Concurrency) {
        self.limits.retain(|database, throttle| {
            while throttle.rises_at <= now {
                throttle.limit = match throttle.growth {
                    Growth::Double => throttle.limit.saturating_mul(2),
                    Growth::ByOne => throttle.limit + 1,
                };
                throttle.rises_at += throttle.growth.pause();
                if throttle.limit >= configured.limit(database) {
                    return false;
                }
            }
            true
        });
    }
}
