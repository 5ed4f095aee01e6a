//! Tenants on their way to a worker: pending, claimed (durable in the ledger), waiting for another
//! attempt or for their turn. Work is pulled: no tenant belongs to a worker before a worker is free.

use std::collections::{BTreeMap, VecDeque};

use tokio::time::Instant;

use super::policy::Concurrency;
use super::throttle::Throttles;
use crate::migrator::{Applied, Assignment, Knowledge, Task};
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
    /// Whether the ledger has a claim for the attempt that the assignment names.
    pub(super) is_claimed: bool,
    /// How much of `applied` the attempts hold that are recorded.
    pub(super) recorded: Recorded,
}

/// What recorded attempts have applied, as counts.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recorded {
    pub(super) migrations: usize,
    pub(super) notes: usize,
}

impl Job {
    /// Attempts made before the one that the assignment names.
    pub(super) fn attempts_made(&self) -> u32 {
        self.assignment.attempt - 1
    }

    pub(super) fn database(&self) -> &DatabaseName {
        &self.assignment.tenant.id.database
    }

    fn is_in_doubt(&self) -> bool {
        self.assignment.knowledge == Knowledge::InDoubt
    }
}

/// The tenants of one database that no worker has.
#[derive(Default)]
struct Lane {
    pending: VecDeque<Job>,
    claimed: VecDeque<Job>,
    /// Claimed, and held until it is their turn to wait for all others in the database.
    deferred: VecDeque<Job>,
    /// Tenants in work, and those of them that have the turn.
    in_flight: usize,
    turns: usize,
    /// The database does not answer: nothing is started there.
    is_closed: bool,
}

impl Lane {
    /// Whether something could be started, were a slot free.
    fn is_ready(&self, turns: usize) -> bool {
        !self.claimed.is_empty() || (!self.deferred.is_empty() && self.turns < turns)
    }

    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.claimed.is_empty() && self.deferred.is_empty()
    }
}

/// Where every unfinished tenant is that no worker has.
pub(super) struct Queue {
    concurrency: Concurrency,
    throttles: Throttles,
    lanes: BTreeMap<DatabaseName, Lane>,
    waiting: Vec<(Instant, Job)>,
}

impl Queue {
    pub(super) fn new(concurrency: Concurrency, jobs: impl Iterator<Item = Job>) -> Self {
        let mut queue = Self {
            concurrency,
            throttles: Throttles::default(),
            lanes: BTreeMap::new(),
            waiting: Vec::new(),
        };
        for job in jobs {
            queue.append(job);
        }
        queue
    }

    fn lane(&mut self, database: &DatabaseName) -> &mut Lane {
        self.lanes.entry(database.clone()).or_default()
    }

    /// Puts a tenant at the back of its database's queue.
    fn append(&mut self, job: Job) {
        self.lane(&job.database().clone()).pending.push_back(job);
    }

    /// A tenant whose attempt failed, to be tried again from `due` on.
    pub(super) fn wait_until(&mut self, due: Instant, job: Job) {
        self.waiting.push((due, job));
    }

    /// A tenant that was not touched, or is to be looked at: the next one to start.
    pub(super) fn put_back(&mut self, job: Job) {
        self.lane(&job.database().clone()).claimed.push_front(job);
    }

    /// A claimed tenant that goes on when it has the turn in its database.
    pub(super) fn defer(&mut self, mut job: Job) {
        job.assignment.has_turn = true;
        self.lane(&job.database().clone()).deferred.push_back(job);
    }

    /// When something changes by time alone: a waiting tenant is due, or a limit rises.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.waiting.iter().map(|(due, _)| *due).min();
        due.into_iter().chain(self.throttles.next_rise()).min()
    }

    /// Moves tenants whose pause is over to the back of the queue, and lets limits rise.
    pub(super) fn promote_due(&mut self, now: Instant) {
        self.throttles.rise(now, &self.concurrency);
        let (due, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(due, _)| *due <= now);
        self.waiting = waiting;
        for (_, job) in Vec::from_iter::<Vec<(Instant, Job)>>(due) {
            self.append(job);
        }
    }

    /// How many tenants of a database may be in work now.
    fn limit(&self, database: &DatabaseName) -> usize {
        let limit = self.concurrency.limit(database);
        self.throttles
            .limit(database)
            .map_or(limit, |lower| lower.min(limit))
    }

    /// Whether more should be claimed, so that no free worker waits for a claim. Claimed tenants count
    /// only as far as their database has slots: those of a slow one are no work for anybody else.
    pub(super) fn runs_low(&self) -> bool {
        let ready = self.lanes.iter().filter(|(_, lane)| !lane.is_closed);
        let ready: usize = ready
            .map(|(database, lane)| lane.claimed.len().min(self.limit(database)))
            .sum();
        ready < self.concurrency.fleet.get()
    }

    /// Takes up to `count` tenants to be claimed, one database after the other, so that none starves.
    /// A database with a claimed tenant for each of its slots needs no more.
    pub(super) fn take_pending(&mut self, count: usize) -> Vec<Job> {
        let concurrency = &self.concurrency;
        let mut hungry: Vec<&mut VecDeque<Job>> = self
            .lanes
            .iter_mut()
            .filter(|(database, lane)| {
                !lane.is_closed && lane.claimed.len() < concurrency.limit(database)
            })
            .map(|(_, lane)| &mut lane.pending)
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
        for mut job in jobs {
            job.is_claimed = true;
            self.lane(&job.database().clone()).claimed.push_back(job);
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
        let total: usize = self.lanes.values().map(|lane| lane.in_flight).sum();
        if total >= self.concurrency.fleet.get() {
            return None;
        }
        let database = self
            .lanes
            .iter()
            .filter(|(database, lane)| {
                !lane.is_closed && lane.is_ready(self.concurrency.turns(database))
            })
            .map(|(database, lane)| {
                (
                    self.limit(database).saturating_sub(lane.in_flight),
                    database,
                )
            })
            .filter(|(free, _)| *free > 0)
            .max_by_key(|(free, _)| *free)
            .map(|(_, database)| database.clone())?;
        let turns = self.concurrency.turns(&database);
        let lane = self.lane(&database);
        let job = if lane.turns < turns && !lane.deferred.is_empty() {
            lane.turns += 1;
            lane.deferred.pop_front()?
        } else {
            lane.claimed.pop_front()?
        };
        lane.in_flight += 1;
        Some(job)
    }

    /// A worker is free again.
    pub(super) fn finished(&mut self, job: &mut Job) {
        let lane = self.lane(&job.database().clone());
        lane.in_flight = lane.in_flight.saturating_sub(1);
        if std::mem::take(&mut job.assignment.has_turn) {
            lane.turns = lane.turns.saturating_sub(1);
        }
    }

    /// How many tenants of a database are in work.
    pub(super) fn in_flight(&self, database: &DatabaseName) -> usize {
        self.lanes.get(database).map_or(0, |lane| lane.in_flight)
    }

    /// Nothing is started in a database until it is opened again.
    pub(super) fn close_database(&mut self, database: &DatabaseName) {
        self.lane(database).is_closed = true;
    }

    /// Goes on with a database, with few tenants at first: connections that are opened all at once
    /// are what a server that has just started can do without.
    pub(super) fn open_database(&mut self, database: &DatabaseName, now: Instant) {
        self.lane(database).is_closed = false;
        self.throttles.restart(database, now);
    }

    /// The server gives no more connections than are in use. Answers their number where that is news.
    pub(super) fn shrink(&mut self, database: &DatabaseName, now: Instant) -> Option<usize> {
        let limit = self.in_flight(database).max(1);
        let is_news = self.throttles.shrink(database, limit, now);
        is_news.then_some(limit)
    }

    /// Tenants of a database that will not be worked on.
    pub(super) fn take_database(&mut self, database: &DatabaseName) -> Vec<Job> {
        let mut taken = Vec::new();
        if let Some(lane) = self.lanes.get_mut(database) {
            for jobs in [&mut lane.claimed, &mut lane.deferred, &mut lane.pending] {
                taken.extend(std::mem::take(jobs));
            }
        }
        let (of_database, others) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(_, job)| job.database() == database);
        self.waiting = others;
        let of_database: Vec<(Instant, Job)> = of_database;
        taken.extend(of_database.into_iter().map(|(_, job)| job));
        taken
    }

    /// At the end of a run that stops early: keeps the tenants of which it is not known what has become,
    /// to be looked at, and answers the others.
    pub(super) fn keep_in_doubt(&mut self) -> Vec<Job> {
        let (doubtful, others): (Vec<Job>, Vec<Job>) =
            self.drain().into_iter().partition(Job::is_in_doubt);
        for mut job in doubtful {
            job.assignment.task = Task::Settle;
            job.assignment.has_turn = false;
            self.put_back(job);
        }
        others
    }

    /// Whether nothing is left that a worker could take, now or later.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.lanes.values().all(Lane::is_empty)
    }

    /// Everything that was not started, at the end of a run that stopped early.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let mut drained = Vec::new();
        for lane in self.lanes.values_mut() {
            for jobs in [&mut lane.claimed, &mut lane.deferred, &mut lane.pending] {
                drained.extend(std::mem::take(jobs));
            }
        }
        let waiting = std::mem::take(&mut self.waiting);
        drained.extend(waiting.into_iter().map(|(_, job)| job));
        drained
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::plan::HistorySnapshot;
    use crate::rollout::policy::DatabaseLimits;
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
                knowledge: Knowledge::Planned,
                pending: Arc::from([1]),
                attempt: 1,
                task: Task::Migrate,
                has_turn: false,
            },
            applied: Applied::default(),
            spent: Duration::ZERO,
            last_failure: None,
            is_claimed: false,
            recorded: Recorded::default(),
        }
    }

    fn queue(fleet: usize, each: usize, jobs: Vec<Job>) -> Queue {
        let limits = DatabaseLimits {
            tenants: NonZeroUsize::new(each).unwrap(),
            index_builds: NonZeroUsize::MIN,
        };
        let databases = ["a", "b"]
            .map(|name| (DatabaseName::new(name), limits))
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
        queue.finished(&mut job("a", "1"));
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

    #[test]
    fn a_turn_is_for_one_tenant_of_a_database_and_others_go_on_meanwhile() {
        let mut queue = queue(9, 9, vec![]);
        let jobs = ["1", "2", "3"].map(|name| job("a", name));
        queue.add_claimed(jobs.into());
        let started: Vec<Job> = std::iter::from_fn(|| queue.start_next()).collect();
        for mut deferred in started {
            queue.finished(&mut deferred);
            queue.defer(deferred);
        }
        queue.add_claimed(vec![job("a", "4")]);

        let mut started: Vec<Job> = std::iter::from_fn(|| queue.start_next()).collect();
        assert_eq!(names(&started), ["a/1", "a/4"]);
        let turns: Vec<bool> = started.iter().map(|job| job.assignment.has_turn).collect();
        assert_eq!(turns, [true, false]);
        queue.finished(&mut started[0]);
        assert_eq!(names(&[queue.start_next().unwrap()]), ["a/2"]);
        assert!(queue.start_next().is_none());
    }

    #[test]
    fn nothing_starts_in_a_closed_database_and_few_after_it_was_opened() {
        let jobs = ["1", "2", "3", "4", "5"].map(|name| job("a", name));
        let mut queue = queue(9, 9, vec![]);
        queue.add_claimed(jobs.into());
        let database = DatabaseName::new("a");
        queue.close_database(&database);
        assert!(queue.start_next().is_none());
        let now = Instant::now();
        queue.open_database(&database, now);
        assert_eq!(std::iter::from_fn(|| queue.start_next()).count(), 1);
        queue.promote_due(queue.next_due().unwrap());
        assert_eq!(std::iter::from_fn(|| queue.start_next()).count(), 1);
        queue.promote_due(now + Duration::from_mins(1));
        assert_eq!(std::iter::from_fn(|| queue.start_next()).count(), 3);
    }

    #[test]
    fn a_stop_keeps_only_what_is_in_doubt() {
        let mut doubtful = job("a", "1");
        doubtful.assignment.knowledge = Knowledge::InDoubt;
        let mut queue = queue(9, 9, vec![job("a", "2")]);
        queue.wait_until(Instant::now(), doubtful);
        assert_eq!(names(&queue.keep_in_doubt()), ["a/2"]);
        assert_eq!(queue.start_next().unwrap().assignment.task, Task::Settle);
    }
}
