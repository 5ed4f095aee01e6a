//! What the end of an attempt means for its tenant: an outcome, another attempt, or a look at what has
//! become of it.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::health::of_given_up;
use super::queue::{Job, Queue, Recorded};
use super::worker::AttemptReport;
use crate::ledger::{AfterAttempt, AttemptEnd, Ledger, Left, Past};
use crate::migrator::{Knowledge, MigrateErrorCause, Task, TenantMigrator};
use crate::plan::{Refusal, version_of};
use crate::run::{Failure, FailureClass, Halt, Outcome, TenantResult};

/// PostgreSQL has no room left for data or its log: every further tenant would fail for it.
const DISK_FULL: &str = "53100";
/// All connections are taken.
const TOO_MANY_CONNECTIONS: &str = "53300";

/// What is said of a tenant that may have been migrated without our hearing of it.
pub(super) const IN_DOUBT: &str =
    "the last attempt may have committed: fleet resume reads the history first";

/// A tenant's outcome and what is said about it.
pub(super) struct Verdict {
    pub(super) outcome: Outcome,
    pub(super) reason: Option<String>,
    pub(super) failure: Option<Failure>,
}

impl Verdict {
    fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            reason: None,
            failure: None,
        }
    }

    pub(super) fn because(outcome: Outcome, reason: impl Into<String>) -> Self {
        Self {
            reason: Some(reason.into()),
            ..Self::of(outcome)
        }
    }

    pub(super) fn failed(failure: Failure) -> Self {
        Self {
            failure: Some(failure),
            ..Self::of(Outcome::Failed)
        }
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    pub(super) fn on_attempt_end(&mut self, mut job: Job, report: AttemptReport) {
        job.spent += report.duration;
        let (applied, in_doubt, cause) = match report.result {
            Ok(applied) => (applied, false, None),
            Err(error) => (error.applied, error.in_doubt, Some(error.cause)),
        };
        if !applied.migrations.is_empty() {
            job.worked += report.duration;
        }
        if applied.version.is_some() {
            job.applied.version = applied.version;
            // after a doubt the history names again what an earlier attempt is known to have done
            for migration in applied.migrations {
                if !job.applied.migrations.contains(&migration) {
                    job.applied.migrations.push(migration);
                }
            }
        }
        job.applied.has_mended |= applied.has_mended;
        for note in applied.notes {
            if !job.applied.notes.contains(&note) {
                job.applied.notes.push(note);
            }
        }
        // doubt stays until an attempt has read the history, which one without a connection has not
        if in_doubt {
            job.assignment.knowledge = Knowledge::InDoubt;
        } else if !matches!(cause, Some(MigrateErrorCause::Unreachable(_))) {
            job.assignment.knowledge = Knowledge::Outdated;
        }
        let duration = report.duration;
        match cause {
            None => self.reached(job, duration),
            Some(MigrateErrorCause::Cancelled) => {
                let reason = if in_doubt {
                    "the run was aborted before it was known what has become of it: the next run reads its history"
                } else {
                    "its statement was cancelled by the second stop signal; what runs without a transaction is settled by the next run"
                };
                self.finish(
                    job,
                    duration,
                    Verdict::because(Outcome::Interrupted, reason),
                );
            }
            Some(MigrateErrorCause::Gone) => {
                self.tally.count_gone();
                let reason = "gone: its schema was dropped while the run went on";
                self.finish(job, duration, Verdict::because(Outcome::Skipped, reason));
            }
            Some(MigrateErrorCause::Refused(refusal)) => self.refuse(job, duration, &refusal),
            Some(MigrateErrorCause::Deferred) => self.defer(job),
            Some(MigrateErrorCause::TurnOver) => self.give_turn_on(job),
            Some(MigrateErrorCause::Unreachable(failure)) => self.unreachable(job, &failure),
            Some(MigrateErrorCause::Lost(failure)) => self.lost(job, duration, &failure),
            Some(MigrateErrorCause::NotDone) => self.not_done(job, duration),
            Some(MigrateErrorCause::Failed(failure)) => self.fail(job, duration, *failure),
            Some(MigrateErrorCause::Leaked(failure)) => self.leaked(job, duration, *failure),
        }
    }

    /// At its target.
    fn reached(&mut self, job: Job, duration: Duration) {
        self.health.works(job.database());
        self.leaks.passed(&job);
        let verdict = if job.applied.migrations.is_empty() && !job.applied.has_mended {
            let note = job.applied.notes.first().map(String::as_str);
            let reason = note.unwrap_or("somebody else migrated it meanwhile");
            Verdict::because(Outcome::UpToDate, reason)
        } else {
            Verdict::of(Outcome::Succeeded)
        };
        self.finish(job, duration, verdict);
    }

    fn refuse(&mut self, job: Job, duration: Duration, refusal: &Refusal) {
        let verdict = if refusal.is_failure() {
            let failure = Failure::new(FailureClass::Permanent, refusal.to_string());
            Verdict::failed(failure.with_hint(refusal.hint()))
        } else {
            Verdict::because(Outcome::Skipped, refusal.to_string())
        };
        self.finish(job, duration, verdict);
        self.halt_if_budget_is_spent();
    }

    /// What comes next waits for all others in the database: the slot is for somebody else meanwhile.
    fn defer(&mut self, job: Job) {
        let is_over = self.stopped.is_some();
        self.hand_back(job, is_over, Queue::defer);
    }

    /// Its index is built, and the turn is for the next tenant. A drain lets it go on all the same: it was in
    /// flight. Between two of its migrations is a good place to stop where there is no time for the rest.
    fn give_turn_on(&mut self, job: Job) {
        let is_stopping = self.stopped.is_some();
        let is_over = self.abort.is_cancelled() || (is_stopping && !self.is_in_time(&job));
        self.hand_back(job, is_over, |queue, job| queue.go_on(job, is_stopping));
    }

    /// Puts a tenant back among those that a worker may take, unless there is no more work for it.
    fn hand_back(&mut self, job: Job, is_over: bool, place: impl FnOnce(&mut Queue, Job)) {
        if is_over {
            self.leave(job);
        } else if let Some(why) = self.health.given_up(job.database()) {
            let verdict = of_given_up(&job, why);
            self.leave_with(job, verdict);
        } else {
            self.put_off(&job);
            place(&mut self.queue, job);
        }
    }

    fn put_off(&self, job: &Job) {
        self.emit(RolloutEvent::TenantPutOff {
            tenant: job.assignment.tenant.id.clone(),
        });
    }

    /// The tenant was not touched, so that this is no attempt at it.
    fn unreachable(&mut self, mut job: Job, failure: &Failure) {
        let database = job.database().clone();
        let now = Instant::now();
        let is_short = failure.sqlstate.as_deref() == Some(TOO_MANY_CONNECTIONS);
        let is_in_doubt = job.assignment.knowledge == Knowledge::InDoubt;
        if self.stopped.is_some() {
            if !is_in_doubt || !self.may_settle() {
                self.leave(job);
                return;
            }
            job.assignment.task = Task::Settle;
        }
        self.put_off(&job);
        self.queue.put_back(job);
        if is_short
            && self.queue.in_flight(&database) > 0
            && self.health.given_up(&database).is_none()
        {
            let (news, change) = self.queue.shrink(&database, now);
            if let Some(change) = change {
                self.on_pace(&database, change);
            }
            if let Some(limit) = news {
                self.emit(RolloutEvent::ConnectionsShort { database, limit });
            }
        } else {
            self.doubt_database(&database, failure);
        }
    }

    /// The connection was lost in the middle of the work: what became of it, the history will tell.
    fn lost(&mut self, mut job: Job, duration: Duration, failure: &Failure) {
        let database = job.database().clone();
        let retry = self.policy.retry;
        let pause = retry.pause_after(job.assignment.attempt, fastrand::f64());
        if let Some(retry_in) = pause.filter(|_| self.stopped.is_none()) {
            self.retry(job, duration, failure.clone(), retry_in);
        } else {
            job.assignment.task = Task::Settle;
            job.last_failure = Some(failure.clone());
            if !self.may_settle() {
                self.leave(job);
                return;
            }
            self.put_off(&job);
            self.queue.put_back(job);
        }
        self.doubt_database(&database, failure);
    }

    /// It is known now that a lost attempt did not bring the tenant to its target.
    fn not_done(&mut self, mut job: Job, duration: Duration) {
        if !job.is_claimed {
            self.leave(job);
            return;
        }
        let failure = job.last_failure.take();
        let failure = failure
            .unwrap_or_else(|| Failure::new(FailureClass::Transient, "the connection was lost"));
        self.finish(job, duration, Verdict::failed(failure));
        self.halt_if_budget_is_spent();
    }

    fn fail(&mut self, job: Job, duration: Duration, failure: Failure) {
        if job.assignment.task == Task::Settle {
            // still in doubt; the failure that is told is the one that brought the doubt
            let mut job = job;
            job.last_failure = job.last_failure.map(|last| last.with_hint(IN_DOUBT));
            self.not_done(job, duration);
            return;
        }
        let attempt = job.assignment.attempt;
        let pause = match failure.class {
            FailureClass::Transient => self.policy.retry.pause_after(attempt, fastrand::f64()),
            FailureClass::Permanent => None,
        };
        let may_retry = self.stopped.is_none() && self.health.given_up(job.database()).is_none();
        if let Some(retry_in) = pause.filter(|_| may_retry) {
            self.retry(job, duration, failure, retry_in);
            return;
        }
        let disk_full = (failure.sqlstate.as_deref() == Some(DISK_FULL))
            .then(|| (job.database().clone(), failure.clone()));
        self.finish(job, duration, Verdict::failed(failure));
        if let Some((database, failure)) = disk_full {
            self.give_up(&database, &failure);
        }
        self.halt_if_budget_is_spent();
    }

    fn retry(&mut self, mut job: Job, duration: Duration, failure: Failure, retry_in: Duration) {
        let attempt = job.assignment.attempt;
        self.emit(RolloutEvent::AttemptFailedWillRetry {
            tenant: job.assignment.tenant.id.clone(),
            attempt,
            failure: failure.clone(),
            retry_in,
        });
        let end = AttemptEnd {
            then: AfterAttempt::Retry,
            ..attempt_end(&job, duration, &Verdict::failed(failure.clone()))
        };
        self.books.unwritten.push(end);
        job.recorded = Recorded {
            migrations: job.applied.migrations.len(),
            notes: job.applied.notes.len(),
        };
        job.last_failure = Some(failure);
        job.is_claimed = false;
        job.assignment.attempt += 1;
        self.queue.wait_until(Instant::now() + retry_in, job);
    }

    /// A tenant has its outcome by an attempt.
    pub(super) fn finish(&mut self, job: Job, duration: Duration, verdict: Verdict) {
        if !job.is_claimed {
            self.leave_with(job, verdict);
            return;
        }
        self.books
            .unwritten
            .push(attempt_end(&job, duration, &verdict));
        let attempts = job.assignment.attempt;
        self.tell(job, attempts, verdict);
    }

    fn tell(&mut self, job: Job, attempts: u32, verdict: Verdict) {
        self.forecast.finished(&job, verdict.outcome);
        let tenant = &job.assignment.tenant.id;
        self.waves.count(tenant, verdict.outcome);
        let failure = verdict.failure.as_ref();
        let failure = failure.filter(|_| verdict.outcome == Outcome::Failed);
        let same = self.policy.same_failures;
        self.waves.learn(&job.applied.migrations, failure, same);
        let result = self.tally.add(TenantResult {
            tenant: job.assignment.tenant.id,
            outcome: verdict.outcome,
            from: version_of(&job.assignment.history),
            to: job.applied.version,
            applied: job.applied.migrations,
            attempts,
            duration: job.spent,
            reason: verdict.reason,
            failure: verdict.failure,
            notes: job.applied.notes,
        });
        self.emit(RolloutEvent::TenantFinished {
            result,
            totals: self.tally.totals(),
            outlook: self.outlook(),
        });
    }

    pub(super) fn halt_if_budget_is_spent(&mut self) {
        let (failed, to_migrate) = (self.tally.failed_attempts(), self.tally.to_migrate());
        if self.stopped.is_some() {
            return;
        }
        let is_spent = self.policy.budget.is_spent(failed, to_migrate);
        // those on their way to be claimed are in no queue
        let is_more = self.tally.without_outcome() > self.flights.len();
        let halt = if !is_more {
            // nothing is left that could be spared
            None
        } else if is_spent {
            Some(Halt::Budget { failed })
        } else {
            let bad = || self.waves.suspect().cloned().map(Halt::BadMigration);
            self.waves.overspent().or_else(bad)
        };
        if let Some(halt) = halt {
            self.halt(halt);
        }
    }

    /// Gives a tenant an outcome that a stop leaves behind.
    pub(super) fn leave(&mut self, job: Job) {
        if is_unsettled(&job) {
            let reason = "the connection was lost, and the run was stopped before it was known what has become of it: the next run reads its history";
            self.finish(
                job,
                Duration::ZERO,
                Verdict::because(Outcome::Interrupted, reason),
            );
            return;
        }
        let reason = self.reason_to_leave(&job);
        let attempts = job.attempts_made();
        let verdict = match &job.last_failure {
            Some(failure) => Verdict {
                failure: Some(failure.clone()),
                ..Verdict::because(
                    Outcome::Interrupted,
                    format!(
                        "stopped before attempt {}; the last one failed: {}",
                        attempts + 1,
                        failure.message
                    ),
                )
            },
            None if job.applied.migrations.is_empty() => {
                if self.is_hopeless(&job) {
                    self.tally.count_hopeless();
                }
                Verdict::because(Outcome::Skipped, reason)
            }
            None => Verdict::because(
                Outcome::Interrupted,
                "stopped between two of its migrations",
            ),
        };
        self.leave_with(job, verdict);
    }

    /// The same with a given outcome.
    pub(super) fn leave_with(&mut self, job: Job, verdict: Verdict) {
        if is_unsettled(&job) {
            self.finish(job, Duration::ZERO, verdict);
            return;
        }
        let attempts = job.attempts_made();
        self.books.left.push(Left {
            tenant: job.assignment.tenant.id.clone(),
            outcome: verdict.outcome,
            version: job.applied.version,
            reason: match (&verdict.reason, &verdict.failure) {
                (Some(reason), _) => reason.clone(),
                (None, Some(failure)) => failure.message.clone(),
                (None, None) => String::new(),
            },
        });
        self.tell(job, attempts, verdict);
    }
}

/// Whether its last attempt has ended in doubt and is not recorded yet: it is claimed for that attempt.
fn is_unsettled(job: &Job) -> bool {
    job.is_claimed && job.assignment.task == Task::Settle
}

fn attempt_end(job: &Job, duration: Duration, verdict: &Verdict) -> AttemptEnd {
    AttemptEnd {
        tenant: job.assignment.tenant.id.clone(),
        attempt: job.assignment.attempt,
        outcome: verdict.outcome,
        then: AfterAttempt::Done,
        applied: job.applied.migrations[job.recorded.migrations..].to_vec(),
        version: job.applied.version,
        duration,
        took: (verdict.outcome == Outcome::Succeeded)
            .then(|| took(job))
            .flatten(),
        reason: verdict.reason.clone(),
        failure: verdict.failure.clone(),
        notes: job.applied.notes[job.recorded.notes..].to_vec(),
    }
}

/// What it took to bring a tenant to its target.
fn took(job: &Job) -> Option<Past> {
    let migrations = u32::try_from(job.applied.migrations.len()).ok()?;
    Some(Past {
        duration: job.worked,
        migrations: NonZeroU32::new(migrations)?,
    })
}
