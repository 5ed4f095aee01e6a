//! What is left of a run, in time: by what tenants took last time, put right by what they take now.

use std::time::Duration;

use super::event::Outlook;
use super::expect::Expected;
use super::order::SHORT;
use super::queue::{Job, Queue};
use super::waves::Ahead;
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
    /// The same expectations, each as [`noticeable`].
    noticeable: Duration,
    /// What one migration took of those without a past of their own, ascending.
    strangers: Vec<Duration>,
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
            noticeable: Duration::ZERO,
            strangers: Vec::new(),
        }
    }

    /// A tenant has its outcome. Only one that is at its target tells how long that takes.
    pub(super) fn finished(&mut self, job: &Job, outcome: Outcome) {
        let expected = job.expected.unwrap_or_default();
        self.left = self.left.saturating_sub(expected.time);
        if outcome != Outcome::Succeeded {
            return;
        }
        if expected.is_known {
            self.expected += expected.time;
            self.took += job.worked;
            self.noticeable += noticeable(expected.time);
        } else {
            let migrations = u32::try_from(job.applied.migrations.len()).unwrap_or(u32::MAX);
            let each = job.worked / migrations.max(1);
            let place = self.strangers.partition_point(|other| *other < each);
            self.strangers.insert(place, each);
        }
    }

    /// Whether a tenant of this run has told how long it takes.
    pub(super) fn is_measured(&self) -> bool {
        !self.expected.is_zero() || !self.strangers.is_empty()
    }

    /// How long a tenant will take from here on. One without a past of its own is taken to be as slow as
    /// nearly all of its kind in this run, for it may be any of them: all but one in twenty.
    pub(super) fn of(&self, job: &Job) -> Duration {
        let slow = self.strangers.get(self.strangers.len() * 19 / 20);
        let whole = match (job.expected, slow) {
            (
                None
                | Some(Expected {
                    is_known: false, ..
                }),
                Some(slow),
            ) => {
                let pending = u32::try_from(job.assignment.pending.len()).unwrap_or(u32::MAX);
                slow.saturating_mul(pending)
            }
            (Some(expected), _) => {
                times(noticeable(expected.time), ratio(self.took, self.noticeable))
            }
            (None, None) => Duration::ZERO,
        };
        whole.saturating_sub(job.worked)
    }

    /// How long tenants take in this run, against what was expected of them: the past was about other files.
    pub(super) fn correction(&self) -> f64 {
        ratio(self.took, self.expected)
    }

    /// What is left, for whoever reports it; None where the past says too little.
    pub(super) fn outlook(&self, queue: &Queue, ahead: Ahead) -> Option<Outlook> {
        self.has_past.then(|| Outlook {
            left: self.left,
            longest: queue.longest_next().max(ahead.longest),
            correction: self.correction(),
            // a small wave is soon over
            slots: queue.slots().max(ahead.slots),
        })
    }
}

/// Three and five milliseconds are no difference between tenants, and must not become three and five minutes
/// where the migrations of this run are long: short pasts are taken for one and the same.
fn noticeable(past: Duration) -> Duration {
    past.max(SHORT)
}

/// 1 where nothing was expected yet.
fn ratio(took: Duration, expected: Duration) -> f64 {
    if expected.is_zero() {
        1.0
    } else {
        took.div_duration_f64(expected)
    }
}

/// What a duration becomes by a factor; what is no duration any more is the longest one.
pub(super) fn times(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
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
