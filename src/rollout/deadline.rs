//! When a run has to be over, and what is still started before: whoever kills what runs longer cuts tenants
//! off in the middle, so that those which would not be done in time are better left to the next run.

use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::expect::Expected;
use super::forecast::Forecast;
use super::order::SHORT;
use super::queue::Job;
use super::tally::Stopped;
use crate::ledger::Ledger;
use crate::migrator::{Task, TenantMigrator};
use crate::run::CancelReason;

/// What of the time is kept for the last tenants, which may take a little longer than expected, and for
/// the closing of the books: a fiftieth, within these bounds.
const RESERVE_SHARE: u32 = 50;
const LEAST_RESERVE: Duration = Duration::from_millis(100);
const MOST_RESERVE: Duration = Duration::from_secs(5);

/// When a run has to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Instant,
    last_call: Instant,
    room: Duration,
}

impl Deadline {
    /// So long after a start. None where no clock goes so far.
    pub fn new(started: Instant, span: Duration) -> Option<Self> {
        let reserve = (span / RESERVE_SHARE).clamp(LEAST_RESERVE, MOST_RESERVE);
        let room = span.saturating_sub(reserve);
        Some(Self {
            at: started.checked_add(span)?,
            last_call: started.checked_add(room)?,
            room,
        })
    }

    /// When all has to be over.
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Whether a run that began with so long a pause would have no time left.
    pub(super) fn never_fits(&self, pause: Duration) -> bool {
        pause >= self.room
    }

    /// When the last tenant should be done, and nothing is waited for any more.
    pub fn last_call(&self) -> Instant {
        self.last_call
    }
}

/// Who may be started now.
pub(super) struct Gate<'a>(Option<Limit<'a>>);

struct Limit<'a> {
    forecast: &'a Forecast,
    last_call: Instant,
    now: Instant,
}

impl<'a> Gate<'a> {
    /// There is no deadline.
    #[cfg(test)]
    pub(super) const OPEN: Gate<'static> = Gate(None);

    pub(super) fn new(forecast: &'a Forecast, deadline: Option<Deadline>, now: Instant) -> Self {
        Self(deadline.map(|deadline| Limit {
            forecast,
            last_call: deadline.last_call,
            now,
        }))
    }

    /// Whether the tenant would be done in time. To look at one that is in doubt takes none.
    pub(super) fn admits(&self, job: &Job) -> bool {
        let limit = self.0.as_ref();
        limit.is_none_or(|limit| limit.admits(limit.now, job))
    }

    /// The same of one that cannot be started before `due`.
    pub(super) fn admits_at(&self, due: Instant, job: &Job) -> bool {
        let limit = self.0.as_ref();
        limit.is_none_or(|limit| limit.admits(due.max(limit.now), job))
    }
}

impl Limit<'_> {
    fn admits(&self, begin: Instant, job: &Job) -> bool {
        let is_look = job.assignment.task == Task::Settle;
        begin < self.last_call && (is_look || self.forecast.of(job) <= self.last_call - begin)
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// Stops when none of the tenants that are left would be done in time. What this run's tenants really
    /// take may still put the forecast right as long as none of them has told.
    pub(super) fn mind_deadline(&mut self, now: Instant) {
        let Some(deadline) = self.policy.deadline else {
            return;
        };
        if self.queue.is_empty() && !self.waves.has_later() && !self.waves.is_at_an_end() {
            return;
        }
        let is_late = now >= deadline.last_call;
        if self.stopped.is_none() {
            let gate = Gate::new(&self.forecast, Some(deadline), now);
            let is_final = self.forecast.is_measured() || self.flights.is_empty();
            let fits = |job| gate.admits(job);
            let any_fits = self.queue.any_fits(&gate) || self.waves.later_jobs().any(fits);
            let is_at_work = self.waves.is_at_an_end() && !self.waves.has_later();
            if is_late || (is_final && !any_fits && !is_at_work) {
                self.begin_stop(Stopped::Deadline, CancelReason::Drain);
            }
        } else if is_late {
            self.leave_all_but_doubtful();
        }
    }

    /// Whether a tenant would be done in time if it were started now.
    pub(super) fn is_in_time(&self, job: &Job) -> bool {
        Gate::new(&self.forecast, self.policy.deadline, Instant::now()).admits(job)
    }

    /// Whether there is time to find out what has become of a tenant in doubt.
    pub(super) fn may_settle(&self) -> bool {
        let deadline = self.policy.deadline;
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline.last_call);
        !self.abort.is_cancelled() && !is_late
    }

    /// When the deadline has something to say, whatever else happens.
    pub(super) fn last_call(&self) -> Option<Instant> {
        let last_call = self.policy.deadline?.last_call;
        (Instant::now() < last_call).then_some(last_call)
    }

    pub(super) fn deadline_near(&self) -> RolloutEvent {
        let deadline = self.policy.deadline;
        RolloutEvent::DeadlineNear {
            left: deadline.map_or(Duration::ZERO, |deadline| {
                deadline.at.saturating_duration_since(Instant::now())
            }),
            tenants: self
                .tally
                .without_outcome()
                .saturating_sub(self.flights.len()),
            in_flight: self.flights.len(),
        }
    }

    /// Why a stop has left a tenant without an attempt.
    pub(super) fn reason_to_leave(&self, job: &Job) -> String {
        match &self.stopped {
            Some(Stopped::Deadline) if self.is_hopeless(job) => {
                "not attempted: by the past it takes longer than all the time up to the deadline; give it a run without one".to_owned()
            }
            Some(stopped) => stopped.reason(),
            None => String::new(),
        }
    }

    /// Whether a run with this deadline would have no time for the tenant even if it began with it.
    pub(super) fn is_hopeless(&self, job: &Job) -> bool {
        let forecast = self.forecast.of(job);
        let is_long = |expected: Expected| expected.is_known && expected.time >= SHORT;
        let deadline = self.policy.deadline;
        job.expected.is_some_and(is_long) && deadline.is_some_and(|by| forecast > by.room)
    }
}
