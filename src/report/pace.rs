//! How far a run is, how fast, and when it will be done.

use std::time::{Duration, Instant};

use super::wording::duration;
use crate::rollout::RolloutEvent;
use crate::run::Totals;

/// A rate over less time than this is noise.
const MEANINGFUL: Duration = Duration::from_millis(500);

/// Where a run is.
pub(super) struct Pace {
    started: Instant,
    /// How many tenants are attempted.
    pub(super) to_migrate: u64,
    /// Tenants that the plan had settled before.
    settled: u64,
    /// As of the last event.
    pub(super) totals: Totals,
    /// Whether a stop was asked for, so that most tenants will not be done.
    pub(super) stopping: bool,
}

fn done(totals: Totals) -> u64 {
    totals.succeeded + totals.up_to_date + totals.failed
}

impl Pace {
    /// Starts with a run that has something to do.
    pub(super) fn begin(event: &RolloutEvent, now: Instant) -> Option<Self> {
        match event {
            RolloutEvent::RunStarted {
                to_migrate, totals, ..
            } if *to_migrate > 0 => Some(Self {
                started: now,
                to_migrate: *to_migrate,
                settled: done(*totals),
                totals: *totals,
                stopping: false,
            }),
            _ => None,
        }
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &RolloutEvent) {
        match event {
            RolloutEvent::TenantFinished { totals, .. } => self.totals = *totals,
            RolloutEvent::CancelBegun { .. } => self.stopping = true,
            _ => {}
        }
    }

    /// Tenants that this run has worked on to an end. Those that a stop leaves behind are not done.
    pub(super) fn done(&self) -> u64 {
        done(self.totals).saturating_sub(self.settled)
    }

    /// Whole per cent.
    pub(super) fn percent(&self) -> u64 {
        self.done() * 100 / self.to_migrate.max(1)
    }

    /// `41 tenants/s, ETA 2 s`; None while nothing can be said. Slow runs are counted by the minute.
    pub(super) fn forecast(&self, now: Instant) -> Option<String> {
        let elapsed = now.duration_since(self.started);
        let done = self.done();
        if done == 0 || elapsed < MEANINGFUL || self.stopping {
            return None;
        }
        let done_u32 = u32::try_from(done).unwrap_or(u32::MAX);
        let per_second = f64::from(done_u32) / elapsed.as_secs_f64();
        let rate = if per_second >= 9.95 {
            format!("{per_second:.0} tenants/s")
        } else if per_second >= 1.0 {
            format!("{per_second:.1} tenants/s")
        } else {
            format!("{:.1} tenants/min", per_second * 60.0)
        };
        let remaining = u32::try_from(self.to_migrate.saturating_sub(done)).unwrap_or(u32::MAX);
        // an estimate has no tenths
        let seconds = (f64::from(remaining) / per_second).ceil();
        let eta = if seconds < 60.0 {
            format!("{seconds:.0} s")
        } else {
            duration(Duration::from_secs_f64(seconds))
        };
        Some(format!("{rate}, ETA {eta}"))
    }

    /// `120 of 197 done (60 %), 3 failed, 41 tenants/s, ETA 2 s`.
    pub(super) fn words(&self, now: Instant) -> String {
        let mut text = format!(
            "{} of {} done ({} %)",
            self.done(),
            self.to_migrate,
            self.percent()
        );
        if self.totals.failed > 0 {
            text = format!("{text}, {} failed", self.totals.failed);
        }
        if let Some(forecast) = self.forecast(now) {
            text = format!("{text}, {forecast}");
        }
        text
    }
}
