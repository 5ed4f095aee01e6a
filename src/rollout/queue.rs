//! Tenants on their way to a worker: pending, claimed (durable in the ledger), waiting for another
//! attempt. Work is pulled: no tenant belongs to a worker before a worker is free.

use std::collections::{BTreeMap, HashMap, VecDeque};

use tokio::time::Instant;

use super::policy::Concurrency;
use crate::migrator::{Applied, Assignment};
use crate::run::Failure;
use crate::tenant::DatabaseName;

/// One tenant's way through the run. `assignment.attempt` is the attempt to be made, or being made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// What to do.
    pub(super) assignment: Assignment,
    /// What earlier attempts have committed.
    pub(super) applied: Applied,
    /// Time spent in earlier attempts.
    pub(super) spent: std::time::Duration,
    /// Why the last attempt failed.
    pub(super) last_failure: Option<Failure>,
}

impl Job {
    /// Attempts made before the one that the assignment names.
    pub(super) fn attempts_made(&self) -> u32 {
        self.assignment.attempt - 1
    }

    fn database(&self) -> &DatabaseName {
        &self.assignment.tenant.id.database
    }
}

type ByDatabase = BTreeMap<DatabaseName, VecDeque<Job>>;

/// Where every unfinished tenant is that no worker has.
pub(super) struct Queue {
    concurrency: Concurrency,
    pending: ByDatabase,
    claimed: ByDatabase,
    waiting: Vec<(Instant, Job)>,
    in_flight: HashMap<DatabaseName, usize>,
}

impl Queue {
    pub(super) fn new(concurrency: Concurrency, jobs: impl Iterator<Item = Job>) -> Self {
        let mut queue = Self {
            concurrency,
            pending: BTreeMap::new(),
            claimed: BTreeMap::new(),
            waiting: Vec::new(),
            in_flight: HashMap::new(),
        };
        for job in jobs {
            queue.append(job);
        }
        queue
    }

    /// Puts a tenant at the back of its database's queue.
    fn append(&mut self, job: Job) {
        self.pending
            .entry(job.database().clone())
            .or_default()
            .push_back(job);
    }

    /// A tenant whose attempt failed, to be tried again from `due` on.
    pub(super) fn wait_until(&mut self, due: Instant, job: Job) {
        self.waiting.push((due, job));
    }

    /// When the next waiting tenant is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.iter().map(|(due, _)| *due).min()
    }

    /// Moves tenants whose pause is over to the back of the queue.
    pub(super) fn promote_due(&mut self, now: Instant) {
        let (due, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(due, _)| *due <= now);
        self.waiting = waiting;
        for (_, job) in Vec::from_iter::<Vec<(Instant, Job)>>(due) {
            self.append(job);
        }
    }

    /// Whether more should be claimed, so that no free worker waits for a claim. Claimed tenants count
    /// only as far as their database has slots: those of a slow one are no work for anybody else.
    pub(super) fn runs_low(&self) -> bool {
        let ready: usize = self
            .claimed
            .iter()
            .map(|(database, jobs)| jobs.len().min(self.concurrency.limit(database)))
            .sum();
        ready < self.concurrency.fleet.get()
    }

    /// Takes up to `count` tenants to be claimed, one database after the other, so that none starves.
    /// A database with a claimed tenant for each of its slots needs no more.
    pub(super) fn take_pending(&mut self, count: usize) -> Vec<Job> {
        let (claimed, concurrency) = (&self.claimed, &self.concurrency);
        let mut hungry: Vec<&mut VecDeque<Job>> = self
            .pending
            .iter_mut()
            .filter(|(database, _)| {
                claimed.get(*database).map_or(0, VecDeque::len) < concurrency.limit(database)
            })
            .map(|(_, jobs)| jobs)
            .collect();
        let mut taken = Vec::new();
        while taken.len() < count {
            let before = taken.len();
            for jobs in &mut hungry {
                if taken.len() < count {
                    taken.extend(jobs.pop_front());
                }
            }
            if taken.len() == before {
                break;
            }
        }
        taken
    }

    /// Tenants whose claims are durable.
    pub(super) fn add_claimed(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.claimed
                .entry(job.database().clone())
                .or_default()
                .push_back(job);
        }
    }

    /// Tenants whose claims could not be written: they were not touched.
    pub(super) fn return_unclaimed(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            self.append(job);
        }
    }

    /// The next tenant to start, from the database with the most free slots; None where every slot
    /// is taken or nothing is claimed.
    pub(super) fn start_next(&mut self) -> Option<Job> {
        let total: usize = self.in_flight.values().sum();
        if total >= self.concurrency.fleet.get() {
            return None;
        }
        let database = self
            .claimed
            .iter()
            .filter(|(_, jobs)| !jobs.is_empty())
            .map(|(database, _)| (self.free_slots(database), database))
            .filter(|(free, _)| *free > 0)
            .max_by_key(|(free, _)| *free)
            .map(|(_, database)| database.clone())?;
        let job = self.claimed.get_mut(&database)?.pop_front()?;
        *self.in_flight.entry(database).or_default() += 1;
        Some(job)
    }

    /// A worker is free again.
    pub(super) fn finished(&mut self, database: &DatabaseName) {
        if let Some(count) = self.in_flight.get_mut(database) {
            *count = count.saturating_sub(1);
        }
    }

    /// Whether nothing is left that a worker could take, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
            && self.pending.values().all(VecDeque::is_empty)
            && self.claimed.values().all(VecDeque::is_empty)
    }

    /// Everything that was not started, at the end of a run that stopped early.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let pending = std::mem::take(&mut self.pending).into_values().flatten();
        let claimed = std::mem::take(&mut self.claimed).into_values().flatten();
        let waiting = std::mem::take(&mut self.waiting)
            .into_iter()
            .map(|(_, job)| job);
        claimed.chain(pending).chain(waiting).collect()
    }

    fn free_slots(&self, database: &DatabaseName) -> usize {
        let limit = self.concurrency.limit(database);
        limit.saturating_sub(self.in_flight.get(database).copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::plan::HistorySnapshot;
    use crate::tenant::{Presence, SchemaName, Tenant, TenantId};

    fn job(database: &str, schema: &str) -> Job {
        Job {
            assignment: Assignment {
                tenant: Tenant {
                    id: TenantId {
                        database: DatabaseName::new(database),
                        schema: SchemaName::parse(schema).unwrap(),
                    },
                    labels: Arc::default(),
                    presence: Presence::Present,
                },
                history: HistorySnapshot::NoTable { relations: 0 },
                pending: Arc::from([1]),
                attempt: 1,
                in_doubt: false,
            },
            applied: Applied::default(),
            spent: Duration::ZERO,
            last_failure: None,
        }
    }

    fn queue(fleet: usize, each: usize, jobs: Vec<Job>) -> Queue {
        let databases = ["a", "b"]
            .map(|name| (DatabaseName::new(name), NonZeroUsize::new(each).unwrap()))
            .into();
        let concurrency = Concurrency {
            fleet: NonZeroUsize::new(fleet).unwrap(),
            databases,
        };
        Queue::new(concurrency, jobs.into_iter())
    }

    fn names(jobs: &[Job]) -> Vec<String> {
        jobs.iter()
            .map(|job| job.assignment.tenant.id.to_string())
            .collect()
    }

    #[test]
    fn databases_take_turns() {
        let mut queue = queue(9, 9, vec![job("a", "1"), job("a", "2"), job("b", "3")]);
        assert_eq!(names(&queue.take_pending(2)), ["a/1", "b/3"]);
        assert_eq!(names(&queue.take_pending(9)), ["a/2"]);
        assert!(queue.is_empty());
    }

    #[test]
    fn slots_are_bounded_by_database_and_over_the_fleet() {
        let jobs = vec![job("a", "1"), job("a", "2"), job("b", "3"), job("b", "4")];
        let mut queue = queue(3, 1, vec![]);
        queue.add_claimed(jobs);
        let mut started = Vec::new();
        while let Some(job) = queue.start_next() {
            started.push(job);
        }
        assert_eq!(started.len(), 2, "one a database: {:?}", names(&started));
        queue.finished(&DatabaseName::new("a"));
        assert_eq!(names(&[queue.start_next().unwrap()]), ["a/2"]);
    }

    #[test]
    fn claimed_tenants_of_a_busy_database_do_not_stand_in_for_those_of_another() {
        let jobs = vec![job("a", "1"), job("b", "2"), job("b", "3")];
        let mut queue = queue(3, 1, jobs);
        queue.add_claimed(vec![job("a", "4"), job("a", "5"), job("a", "6")]);
        assert!(queue.runs_low());
        let taken = queue.take_pending(9);
        assert_eq!(names(&taken), ["b/2", "b/3"]);
    }

    #[test]
    fn a_waiting_tenant_comes_back_when_it_is_due() {
        let mut queue = queue(1, 1, vec![]);
        let now = Instant::now();
        queue.wait_until(now + Duration::from_secs(5), job("a", "1"));
        queue.promote_due(now);
        assert!(queue.take_pending(1).is_empty());
        queue.promote_due(now + Duration::from_secs(5));
        assert_eq!(queue.take_pending(1).len(), 1);
    }
}
