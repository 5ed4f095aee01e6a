//! How far a run is, how fast, and when it will be done.

use std::time::{Duration, Instant};

use super::eta::{self, Eta};
use super::throttling::AtATime;
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
    /// Whether the run stops before its end, so that most tenants will not be done.
    pub(super) stopping: bool,
    eta: Eta,
    deadline: Option<Instant>,
    /// How many tenants are worked on at a time.
    pub(super) at_a_time: AtATime,
}

/// `41 tenants/s`.
pub(super) fn rate_in_words(per_second: f64) -> String {
    if per_second >= 9.95 {
        format!("{per_second:.0} tenants/s")
    } else if per_second >= 1.0 {
        format!("{per_second:.1} tenants/s")
    } else {
        format!("{:.1} tenants/min", per_second * 60.0)
    }
}

fn done(totals: Totals) -> u64 {
    totals.succeeded + totals.up_to_date + totals.failed
}

impl Pace {
    /// Starts with a run that has something to do.
    pub(super) fn begin(event: &RolloutEvent, now: Instant) -> Option<Self> {
        match event {
            RolloutEvent::RunStarted {
                to_migrate,
                totals,
                outlook,
                deadline,
                ..
            } if *to_migrate > 0 => Some(Self {
                started: now,
                to_migrate: *to_migrate,
                settled: done(*totals),
                totals: *totals,
                stopping: false,
                eta: Eta::new(*outlook),
                deadline: deadline.and_then(|left| now.checked_add(left)),
                at_a_time: AtATime::default(),
            }),
            _ => None,
        }
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &RolloutEvent, now: Instant) {
        self.eta.apply(event, now);
        match event {
            RolloutEvent::TenantFinished { totals, .. }
            | RolloutEvent::TenantDiffers { totals, .. } => self.totals = *totals,
            RolloutEvent::CancelBegun { .. } | RolloutEvent::DeadlineNear { .. } => {
                self.stopping = true;
            }
            RolloutEvent::PaceChanged { .. } => self.at_a_time.apply(event),
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
        if self.stopping || self.at_a_time.is_paused() {
            return None;
        }
        let per_second = self.per_second(now);
        let remaining = match per_second {
            _ if self.eta.has_past() => self.eta.remaining(now),
            Some(per_second) => self.at_that_rate(per_second),
            None => None,
        };
        let rate = per_second.map(rate_in_words);
        let parts: Vec<String> = rate.into_iter().chain(remaining.map(eta::words)).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    /// `deadline in 3 min`; None where there is none.
    pub(super) fn deadline(&self, now: Instant) -> Option<String> {
        let left = self.deadline?.saturating_duration_since(now);
        Some(eta::deadline_words(left))
    }

    /// Tenants by the second so far.
    fn per_second(&self, now: Instant) -> Option<f64> {
        let elapsed = now.duration_since(self.started);
        let done = u32::try_from(self.done()).unwrap_or(u32::MAX);
        (done > 0 && elapsed >= MEANINGFUL).then(|| f64::from(done) / elapsed.as_secs_f64())
    }

    /// How long the rest takes where nothing is known but how many there are.
    fn at_that_rate(&self, per_second: f64) -> Option<Duration> {
        let left = self.to_migrate.saturating_sub(self.done());
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        Duration::try_from_secs_f64(f64::from(left) / per_second).ok()
    }

    /// `120 of 197 done (60 %), 3 failed, 41 tenants/s, ETA 2 s, deadline in 3 min`.
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
        let throttled = self.at_a_time.throttled();
        if let Some(at_a_time) = throttled.or_else(|| self.at_a_time.found()) {
            text = format!("{text}, {at_a_time}");
        }
        for more in [self.forecast(now), self.deadline(now)]
            .into_iter()
            .flatten()
        {
            text = format!("{text}, {more}");
        }
        text
    }
}
