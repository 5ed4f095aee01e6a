//! Tenants on their way to a worker: pending, claimed (durable in the ledger), waiting for another
//! attempt or for their turn. Work is pulled: no tenant belongs to a worker before a worker is free.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::Gate;
use super::expect::Expected;
use super::governor::Ticket;
use super::limits::Limits;
use super::order::{Pending, Place};
use super::policy::Concurrency;
use crate::migrator::{Applied, Assignment, Knowledge, Task};
use crate::run::{Failure, PaceChange};
use crate::tenant::DatabaseName;

/// One tenant's way through the run. `assignment.attempt` is the attempt to be made, or being made.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// What to do.
    pub(super) assignment: Assignment,
    /// What earlier attempts have committed.
    pub(super) applied: Applied,
    /// Time spent in earlier attempts.
    pub(super) spent: Duration,
    /// What of it went into attempts that applied something.
    pub(super) worked: Duration,
    /// How long all of it is expected to take, where the past tells.
    pub(super) expected: Option<Expected>,
    /// Why the last attempt failed.
    pub(super) last_failure: Option<Failure>,
    /// Whether the ledger has a claim for the attempt that the assignment names.
    pub(super) is_claimed: bool,
    /// How much of `applied` the attempts hold that are recorded.
    pub(super) recorded: Recorded,
    /// Given when it is started.
    pub(super) ticket: Ticket,
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
    pending: Pending,
    claimed: VecDeque<Job>,
    /// Claimed, and held until it is their turn to wait for all others in the database.
    deferred: VecDeque<Job>,
    /// Claimed, and done with what they had the turn for. They go on when nobody has or awaits the turn: a
    /// build waits for every transaction that is older than itself, so that each long one beside it would
    /// hold up all the builds to come.
    after_turn: VecDeque<Job>,
    /// Tenants in work, and those of them that have the turn.
    in_flight: usize,
    turns: usize,
    /// The database does not answer: nothing is started there.
    is_closed: bool,
}

impl Lane {
    /// The tenant to start next, were a slot free.
    fn next(&self, turns: usize, gate: &Gate) -> Option<Next> {
        let admitted = |jobs: &VecDeque<Job>| jobs.iter().position(|job| gate.admits(job));
        let deferred = admitted(&self.deferred);
        let is_all_built = deferred.is_none() && self.turns == 0;
        let deferred = deferred.filter(|_| self.turns < turns);
        let after_turn = || admitted(&self.after_turn).filter(|_| is_all_built);
        deferred
            .map(Next::Deferred)
            .or_else(|| admitted(&self.claimed).map(Next::Claimed))
            .or_else(|| after_turn().map(Next::AfterTurn))
    }

    fn start(&mut self, next: Next) -> Option<Job> {
        let job = match next {
            Next::Deferred(index) => self.deferred.remove(index),
            Next::Claimed(index) => self.claimed.remove(index),
            Next::AfterTurn(index) => self.after_turn.remove(index),
        };
        self.turns += usize::from(matches!(next, Next::Deferred(_)));
        self.in_flight += usize::from(job.is_some());
        job
    }

    /// Takes every tenant out.
    fn drain(&mut self) -> impl Iterator<Item = Job> {
        let held = [&mut self.claimed, &mut self.deferred, &mut self.after_turn];
        let held = held.map(std::mem::take).into_iter().flatten();
        held.chain(self.pending.drain())
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many claimed tenants may be started, counted up to a limit.
    fn startable(&self, limit: usize, gate: &Gate) -> usize {
        let admitted = self.claimed.iter().filter(|job| gate.admits(job));
        admitted.take(limit).count()
    }

    fn len(&self) -> usize {
        let held = [&self.claimed, &self.deferred, &self.after_turn];
        self.pending.len() + held.iter().map(|jobs| jobs.len()).sum::<usize>()
    }
}

/// Where in its lane the next tenant to start is.
#[derive(Clone, Copy)]
enum Next {
    Claimed(usize),
    Deferred(usize),
    AfterTurn(usize),
}

/// Where every unfinished tenant is that no worker has.
pub(super) struct Queue {
    concurrency: Concurrency,
    /// How many tenants at a time over the whole fleet: the run's number, or a wave's that is less.
    at_a_time: usize,
    /// Whether it is one at a time for now.
    is_alone: bool,
    pub(super) limits: Limits,
    lanes: BTreeMap<DatabaseName, Lane>,
    waiting: Vec<(Instant, Job)>,
}

impl Queue {
    pub(super) fn new(concurrency: Concurrency) -> Self {
        Self {
            limits: Limits::new(concurrency.clone()),
            at_a_time: concurrency.fleet.get(),
            is_alone: false,
            concurrency,
            lanes: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// No more than so many tenants at a time from here on, where that is less than the run may have.
    pub(super) fn limit_to(&mut self, tenants: Option<usize>) {
        let fleet = self.concurrency.fleet.get();
        self.at_a_time = tenants.map_or(fleet, |tenants| tenants.min(fleet));
    }

    /// One tenant at a time, until it is said otherwise.
    pub(super) fn go_alone(&mut self, is_alone: bool) {
        self.is_alone = is_alone;
    }

    fn at_a_time(&self) -> usize {
        if self.is_alone { 1 } else { self.at_a_time }
    }

    fn lane(&mut self, database: &DatabaseName) -> &mut Lane {
        self.limits.add(database);
        self.lanes.entry(database.clone()).or_default()
    }

    /// Puts a tenant in its place in its database's queue.
    pub(super) fn append(&mut self, job: Job) {
        self.lane(&job.database().clone()).pending.insert(job);
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

    /// A claimed tenant that has had the turn and goes on without. `now`: before whatever else there is.
    pub(super) fn go_on(&mut self, job: Job, now: bool) {
        if now {
            self.put_back(job);
        } else {
            self.lane(&job.database().clone()).after_turn.push_back(job);
        }
    }

    /// When something changes by time alone: a waiting tenant is due, or a limit rises.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = self.waiting.iter().map(|(due, _)| *due).min();
        due.into_iter().chain(self.limits.next_change()).min()
    }

    /// Moves tenants whose pause is over behind those with fewer attempts, and lets limits rise.
    pub(super) fn promote_due(&mut self, now: Instant) {
        self.limits.rise(now);
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
    pub(super) fn runs_low(&self, gate: &Gate) -> bool {
        let open = self.lanes.iter().filter(|(_, lane)| !lane.is_closed);
        let ready: usize = open
            .map(|(name, lane)| lane.startable(self.limits.prospect(name), gate))
            .sum();
        ready < self.slots()
    }

    /// Whether a database has tenants to start.
    pub(super) fn has_to_start(&self, database: &DatabaseName) -> bool {
        self.lanes
            .get(database)
            .is_some_and(|lane| !lane.is_empty())
    }

    /// Databases that have tenants to start.
    pub(super) fn databases_to_start(&self) -> Vec<DatabaseName> {
        let lanes = self.lanes.iter();
        lanes
            .filter(|(_, lane)| !lane.is_closed && !lane.is_empty())
            .map(|(database, _)| database.clone())
            .collect()
    }

    /// Takes up to `count` tenants to be claimed, one database after the other, so that none starves.
    /// A database with a claimed tenant for each of its slots needs no more, and one that is throttled
    /// gets few.
    pub(super) fn take_pending(&mut self, count: usize, gate: &Gate) -> Vec<Job> {
        let limits = &self.limits;
        let mut hungry: Vec<_> = self
            .lanes
            .iter()
            .filter(|(database, lane)| {
                let limit = limits.prospect(database);
                !lane.is_closed && lane.startable(limit, gate) < limit
            })
            .map(|(database, lane)| {
                let room = limits.ahead(database).saturating_sub(lane.claimed.len());
                let jobs = lane.pending.iter();
                let jobs = jobs.filter(|(_, job)| gate.admits(job)).take(room);
                (database, jobs)
            })
            .collect();
        let mut chosen: Vec<(DatabaseName, Place)> = Vec::new();
        while chosen.len() < count && !hungry.is_empty() {
            hungry.retain_mut(|(database, jobs)| {
                let next = jobs.next().filter(|_| chosen.len() < count);
                chosen.extend(next.map(|(place, _)| ((*database).clone(), place)));
                next.is_some()
            });
        }
        drop(hungry);
        let jobs = chosen
            .iter()
            .filter_map(|(database, place)| self.lanes.get_mut(database)?.pending.remove(*place));
        jobs.collect()
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
    /// is taken or nothing is claimed that may be started.
    pub(super) fn start_next(&mut self, gate: &Gate) -> Option<Job> {
        let total: usize = self.lanes.values().map(|lane| lane.in_flight).sum();
        if total >= self.at_a_time() {
            return None;
        }
        let (_, next, database) = self
            .lanes
            .iter()
            .filter(|(_, lane)| !lane.is_closed)
            .filter_map(|(database, lane)| {
                let free = self.limits.tenants(database).saturating_sub(lane.in_flight);
                let next = (free > 0).then(|| lane.next(self.concurrency.turns(database), gate));
                Some((free, next.flatten()?, database))
            })
            .max_by_key(|(free, ..)| *free)?;
        let database = database.clone();
        let mut job = self.lane(&database).start(next)?;
        job.ticket = self.limits.started(&database);
        Some(job)
    }

    /// Whether any tenant would be done in time, once it is its turn. The shortest are asked first.
    pub(super) fn any_fits(&self, gate: &Gate) -> bool {
        let lanes = || self.lanes.values();
        let pending = lanes().flat_map(|lane| lane.pending.iter().rev());
        let held = lanes().flat_map(|lane| [&lane.claimed, &lane.deferred, &lane.after_turn]);
        pending
            .map(|(_, job)| job)
            .chain(held.flatten())
            .any(|job| gate.admits(job))
            || self
                .waiting
                .iter()
                .any(|(due, job)| gate.admits_at(*due, job))
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

    /// How many tenants can be in work at a time now.
    pub(super) fn slots(&self) -> usize {
        let open = self.lanes.iter().filter(|(_, lane)| !lane.is_closed);
        let slots: usize = open
            .map(|(database, lane)| {
                self.limits
                    .prospect(database)
                    .min(lane.in_flight + lane.len())
            })
            .sum();
        slots.min(self.at_a_time())
    }

    /// The longest that is expected of those tenants that come next.
    pub(super) fn longest_next(&self) -> Duration {
        let next = self.lanes.values().flat_map(|lane| {
            let pending = lane.pending.iter().next().map(|(_, job)| job);
            let held = [&lane.claimed, &lane.deferred, &lane.after_turn];
            held.map(VecDeque::front).into_iter().chain([pending])
        });
        next.flatten()
            .filter_map(|job| job.expected.map(|expected| expected.time))
            .max()
            .unwrap_or_default()
    }

    /// Nothing is started in a database until it is opened again.
    pub(super) fn close_database(&mut self, database: &DatabaseName) {
        self.lane(database).is_closed = true;
    }

    /// Goes on with a database, with few tenants at first: connections that are opened all at once
    /// are what a server that has just started can do without.
    pub(super) fn open_database(&mut self, database: &DatabaseName, now: Instant) {
        self.lane(database).is_closed = false;
        self.limits.restart(database, now);
    }

    /// The server gives no more connections than are in use: how many, where that is news, and whether
    /// `concurrency: auto` comes to another number for it.
    pub(super) fn shrink(
        &mut self,
        database: &DatabaseName,
        now: Instant,
    ) -> (Option<usize>, Option<PaceChange>) {
        let limit = self.in_flight(database).max(1);
        let (is_news, change) = self.limits.shrink(database, limit, now);
        (is_news.then_some(limit), change)
    }

    /// Tenants of a database that will not be worked on.
    pub(super) fn take_database(&mut self, database: &DatabaseName) -> Vec<Job> {
        let mut taken = Vec::new();
        if let Some(lane) = self.lanes.get_mut(database) {
            taken.extend(lane.drain());
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
            drained.extend(lane.drain());
        }
        let waiting = std::mem::take(&mut self.waiting);
        drained.extend(waiting.into_iter().map(|(_, job)| job));
        drained
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
pub(super) mod tests;
