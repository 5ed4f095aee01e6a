//! A lower limit for a database that cannot take as much just now. It rises by itself.

use std::time::Duration;

use tokio::time::Instant;

/// How soon a database that came back may have twice as many tenants in work.
const AFTER_RESTART: Duration = Duration::from_millis(100);
/// How soon one more connection is tried where the server had no more to give.
const AFTER_SHRINKING: Duration = Duration::from_secs(2);

/// One database's lower limit.
pub(super) struct Ramp {
    tenants: usize,
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

impl Ramp {
    /// It has come back: one tenant at first, soon all.
    pub(super) fn restart(now: Instant) -> Self {
        Self::new(1, Growth::Double, now)
    }

    /// It gives no more than so many connections.
    pub(super) fn shrink(tenants: usize, now: Instant) -> Self {
        Self::new(tenants, Growth::ByOne, now)
    }

    fn new(tenants: usize, growth: Growth, now: Instant) -> Self {
        Self {
            tenants,
            growth,
            rises_at: now + growth.pause(),
        }
    }

    /// How many tenants at a time.
    pub(super) fn tenants(&self) -> usize {
        self.tenants
    }

    /// When it rises next.
    pub(super) fn rises_at(&self) -> Instant {
        self.rises_at
    }

    /// Rises as far as its time has come. Whether it is below the ceiling still.
    pub(super) fn rise(&mut self, now: Instant, ceiling: usize) -> bool {
        while self.rises_at <= now {
            self.tenants = match self.growth {
                Growth::Double => self.tenants.saturating_mul(2),
                Growth::ByOne => self.tenants + 1,
            };
            self.rises_at += self.growth.pause();
            if self.tenants >= ceiling {
                return false;
            }
        }
        true
    }
}
