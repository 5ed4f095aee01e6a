//! What is left of a run, in time: by what tenants took last time, put right by what they take now.

use std::time::Duration;

use super::event::Outlook;
use super::expect::Expected;
use super::queue::{Job, Queue};
use crate::run::Outcome;

/// What was expected, and what the run has found out about it.
pub(super) struct Forecast {
    /// Whether the past is worth telling: at least half of the tenants have one.
    has_past: bool,
    /// What is expected of tenants that have no outcome yet.
    left: Duration,
    /// Of tenants that are at their target by now: what was expected, and what it took.
    expected: Duration,
    took: Duration,
}

impl Forecast {
    pub(super) fn new(jobs: &[Job]) -> Self {
        let expected = || jobs.iter().filter_map(|job| job.expected);
        let known = expected().filter(|expected| expected.is_known).count();
        Self {
            has_past: known > 0 && known * 2 >= jobs.len(),
            left: expected().map(|expected| expected.time).sum(),
            expected: Duration::ZERO,
            took: Duration::ZERO,
        }
    }

    /// A tenant has its outcome. Only one that is at its target tells how long that takes.
    pub(super) fn finished(&mut self, job: &Job, outcome: Outcome) {
        let Some(Expected { time, is_known }) = job.expected else {
            return;
        };
        self.left = self.left.saturating_sub(time);
        if is_known && outcome == Outcome::Succeeded {
            self.expected += time;
            self.took += job.worked;
        }
    }

    /// How long tenants take in this run, against what was expected of them: the past was about other files.
    pub(super) fn correction(&self) -> f64 {
        if self.expected.is_zero() {
            1.0
        } else {
            self.took.div_duration_f64(self.expected)
        }
    }

    /// What is left, for whoever reports it; None where the past says too little.
    pub(super) fn outlook(&self, queue: &Queue) -> Option<Outlook> {
        self.has_past.then(|| Outlook {
            left: self.left,
            longest: queue.longest_next(),
            correction: self.correction(),
            slots: queue.slots(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::tests::job;
    use super::*;

    fn lasting(expected_ms: u64, worked_ms: u64) -> Job {
        Job {
            expected: Some(Expected {
                time: Duration::from_millis(expected_ms),
                is_known: true,
            }),
            worked: Duration::from_millis(worked_ms),
            ..job("a", "1")
        }
    }

    #[test]
    fn what_is_expected_is_put_right_by_what_tenants_take_now() {
        let jobs = [lasting(900, 450), lasting(100, 50), lasting(500, 0)];
        let mut forecast = Forecast::new(&jobs);
        assert_eq!(forecast.left, Duration::from_millis(1500));
        assert!((forecast.correction() - 1.0).abs() < 1e-9);
        forecast.finished(&jobs[0], Outcome::Succeeded);
        forecast.finished(&jobs[1], Outcome::Succeeded);
        assert!((forecast.correction() - 0.5).abs() < 1e-9);
        // a failure after no time says nothing about the others
        forecast.finished(&jobs[2], Outcome::Failed);
        assert!((forecast.correction() - 0.5).abs() < 1e-9);
        assert_eq!(forecast.left, Duration::ZERO);
    }

    #[test]
    fn a_past_of_few_is_not_told() {
        let jobs = [lasting(900, 0), job("a", "2"), job("a", "3")];
        assert!(!Forecast::new(&jobs).has_past);
        assert!(Forecast::new(&jobs[..2]).has_past);
        assert!(!Forecast::new(&[]).has_past);
    }
}
