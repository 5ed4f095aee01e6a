//! The order in which the tenants of one database are taken up.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::queue::Job;

/// Differences below that are noise, and no tail that anybody would notice: such tenants stay in the
/// order of their names, run after run.
pub(super) const SHORT: Duration = Duration::from_millis(250);

/// A tenant's place. Longest first, so that no giant is left when all others are done; retries behind all
/// that had no attempt yet, whatever their length: what is in the way of them may pass meanwhile. Nobody
/// starves: an attempt brings a tenant behind all that have had fewer, and attempts are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    attempt: u32,
    length: Reverse<Duration>,
    /// Makes the order total: in which the tenants came.
    number: u64,
}

impl Place {
    fn of(job: &Job, number: u64) -> Self {
        let expected = job.expected.map(|expected| expected.time);
        let noticeable = expected.filter(|time| *time >= SHORT);
        Self {
            attempt: job.assignment.attempt,
            length: Reverse(noticeable.unwrap_or_default()),
            number,
        }
    }
}

/// Tenants that wait to be claimed, in their order.
#[derive(Default)]
pub(super) struct Pending {
    jobs: BTreeMap<Place, Job>,
    came: u64,
}

impl Pending {
    pub(super) fn insert(&mut self, job: Job) {
        self.jobs.insert(Place::of(&job, self.came), job);
        self.came += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// All of them with their places, the next one first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (Place, &Job)> {
        self.jobs.iter().map(|(place, job)| (*place, job))
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Job> {
        self.jobs.remove(&place)
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Job> {
        std::mem::take(&mut self.jobs).into_values()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::expect::Expected;
    use super::super::queue::tests::job;
    use super::*;

    fn lasting(name: &str, ms: Option<u64>, attempt: u32) -> Job {
        let mut job = job("a", name);
        job.assignment.attempt = attempt;
        job.expected = ms.map(|ms| Expected {
            time: Duration::from_millis(ms),
            is_known: true,
        });
        job
    }

    fn order(jobs: impl IntoIterator<Item = Job>) -> Vec<String> {
        let mut pending = Pending::default();
        for job in jobs {
            pending.insert(job);
        }
        let names = pending.drain().map(|job| job.assignment.tenant.id.schema);
        names.map(|schema| schema.to_string()).collect()
    }

    #[test]
    fn the_longest_is_first_and_short_ones_stay_as_they_came() {
        let jobs = [
            ("a", Some(7)),
            ("b", Some(900)),
            ("c", Some(249)),
            ("d", Some(60_000)),
            ("e", Some(900)),
            ("f", None),
        ];
        let jobs = jobs.map(|(name, ms)| lasting(name, ms, 1));
        assert_eq!(order(jobs), ["d", "b", "e", "a", "c", "f"]);
    }

    #[test]
    fn a_retry_waits_for_all_that_had_fewer_attempts() {
        let jobs = [
            lasting("giant", Some(60_000), 3),
            lasting("second", Some(1000), 2),
            lasting("first", Some(7), 1),
        ];
        assert_eq!(order(jobs), ["first", "second", "giant"]);
    }

    proptest! {
        #[test]
        fn everybody_has_one_place_and_fewer_attempts_go_first(
            tenants in prop::collection::vec((prop::option::of(0..2_000_u64), 1..4_u32), 0..60)
        ) {
            let mut pending = Pending::default();
            for (number, (ms, attempt)) in tenants.iter().enumerate() {
                pending.insert(lasting(&format!("t{number}"), *ms, *attempt));
            }
            let places: Vec<Place> = pending.iter().map(|(place, _)| place).collect();
            prop_assert_eq!(places.len(), tenants.len());
            prop_assert!(places.is_sorted_by(|a, b| a < b));
            let attempts: Vec<u32> = pending.drain().map(|job| job.assignment.attempt).collect();
            prop_assert!(attempts.is_sorted());
        }
    }
}
