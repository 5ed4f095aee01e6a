//! The single owner of a run's state. One loop takes in what workers, the ledger, the clock and the
//! stop say, and decides what starts next.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::event::RolloutEvent;
use super::policy::RolloutPolicy;
use super::queue::{Job, Queue};
use super::shutdown::{StopRequest, StopWatch};
use super::tally::{Stopped, Tally};
use super::worker::{self, AttemptReport, MigrationBegun};
use super::{Rollout, RolloutEnd};
use crate::ledger::{AfterAttempt, AttemptEnd, Claim, Closing, Entries, Ledger, LedgerError};
use crate::migrator::{Applied, Assignment, MigrateErrorCause, TenantMigrator};
use crate::plan::{Action, Plan, Refusal};
use crate::run::{CancelReason, ExitCode, Failure, FailureClass, Outcome, RunId, TenantResult};

/// How often what has ended is written though nothing needs to be claimed, so that another terminal
/// sees it; every write is a heartbeat as well.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// The run's heartbeat when nothing ends.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// Tenants claimed with one commit, at least: bookkeeping must cost little beside the tenants' own commits.
const CLAIM_BATCH: usize = 48;

/// A write to the ledger that has ended: the ledger, the claims that were in it, how it went.
type Written<L> = (L, Vec<Job>, Result<(), LedgerError>);

/// A write to the ledger, on its way.
type Writing<L> = JoinHandle<Written<L>>;

/// The state of a run while it goes on.
pub(super) struct Dispatcher<M, L> {
    migrator: Arc<M>,
    policy: RolloutPolicy,
    events: mpsc::UnboundedSender<RolloutEvent>,
    run: RunId,
    target: Option<crate::migration::Version>,

    queue: Queue,
    tally: Tally,
    workers: JoinSet<AttemptReport>,
    flights: HashMap<Id, Job>,
    begun: (
        mpsc::UnboundedSender<MigrationBegun>,
        mpsc::UnboundedReceiver<MigrationBegun>,
    ),
    abort: CancellationToken,

    /// None while a write is on its way, or after one was lost with its task.
    ledger: Option<L>,
    ledger_error: Option<LedgerError>,
    unwritten: Vec<AttemptEnd>,
    last_write: Instant,

    stopped: Option<Stopped>,
    /// Outcomes that the closing of the run writes: those of tenants that were not attempted again.
    left: Vec<(crate::tenant::TenantId, Outcome, String)>,
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    pub(super) fn new(rollout: Rollout<M, L>, events: mpsc::UnboundedSender<RolloutEvent>) -> Self {
        let tally = Tally::new(&rollout.plan);
        let jobs = rollout.plan.tenants.iter().filter_map(|plan| {
            let Action::Migrate(pending) = &plan.action else {
                return None;
            };
            Some(Job {
                assignment: Assignment {
                    tenant: plan.tenant.clone(),
                    history: plan.history.clone(),
                    pending: Arc::clone(pending),
                    attempt: 1,
                    in_doubt: false,
                },
                applied: Applied {
                    migrations: Vec::new(),
                    version: plan.from,
                },
                spent: Duration::ZERO,
                last_failure: None,
            })
        });
        Self {
            queue: Queue::new(rollout.policy.concurrency.clone(), jobs),
            tally,
            migrator: rollout.migrator,
            policy: rollout.policy,
            events,
            run: rollout.run,
            target: rollout.plan.target,
            workers: JoinSet::new(),
            flights: HashMap::new(),
            begun: mpsc::unbounded_channel(),
            abort: CancellationToken::new(),
            ledger: Some(rollout.ledger),
            ledger_error: None,
            unwritten: Vec::new(),
            last_write: Instant::now(),
            stopped: None,
            left: Vec::new(),
        }
    }

    pub(super) fn announce(&self, resumes: Option<RunId>) {
        self.emit(RolloutEvent::RunStarted {
            run: self.run.clone(),
            resumes,
            target: self.target,
            to_migrate: self.tally.to_migrate(),
            concurrency: self.policy.concurrency.fleet.get(),
            totals: self.tally.totals(),
        });
    }

    /// Nobody has to listen.
    fn emit(&self, event: RolloutEvent) {
        let _ = self.events.send(event);
    }

    pub(super) async fn work(&mut self, mut stop: StopWatch) {
        let mut flush = interval(FLUSH_EVERY);
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(request) = stop.requested() {
            self.on_stop(request);
        }
        let mut writing: Option<Writing<L>> = None;
        loop {
            self.queue.promote_due(Instant::now());
            self.start_workers();
            if writing.is_none() {
                writing = self.write_if_due();
            }
            if writing.is_none() && self.is_done() {
                return;
            }
            let due = self.queue.next_due();
            // biased: a worker tells what it begins before it ends, and is heard in this order
            tokio::select! {
                biased;
                request = stop.escalated() => self.on_stop(request),
                Some(begun) = self.begun.1.recv() => self.emit(RolloutEvent::MigrationStarted {
                    tenant: begun.tenant,
                    migration: begun.migration,
                }),
                Some(joined) = self.workers.join_next_with_id() => self.on_worker(joined),
                written = async { writing.as_mut().expect("guarded").await }, if writing.is_some() => {
                    writing = None;
                    self.on_written(written);
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                _ = flush.tick() => {}
            }
        }
    }

    /// No worker is busy, nothing waits to be written, and nothing more will be started.
    fn is_done(&self) -> bool {
        let written = self.unwritten.is_empty() || self.ledger.is_none();
        let nothing_to_start = self.stopped.is_some() || self.queue.is_empty();
        self.flights.is_empty() && written && nothing_to_start
    }

    fn start_workers(&mut self) {
        while self.stopped.is_none() {
            let Some(job) = self.queue.start_next() else {
                return;
            };
            self.emit(RolloutEvent::AttemptStarted {
                tenant: job.assignment.tenant.id.clone(),
                attempt: job.assignment.attempt,
                pending: job.assignment.pending.len(),
            });
            let task = self.workers.spawn(worker::attempt(
                Arc::clone(&self.migrator),
                job.assignment.clone(),
                self.begun.0.clone(),
                self.abort.clone(),
            ));
            self.flights.insert(task.id(), job);
        }
    }

    /// Claims ahead when few claimed tenants are left, and writes what has ended with them.
    fn write_if_due(&mut self) -> Option<Writing<L>> {
        self.ledger.as_ref()?;
        let slots = self.policy.concurrency.fleet.get();
        let claims = if self.stopped.is_none() && self.queue.runs_low() {
            self.queue.take_pending(CLAIM_BATCH.max(slots * 2))
        } else {
            Vec::new()
        };
        let since = self.last_write.elapsed();
        let flush = !self.unwritten.is_empty()
            && (since >= FLUSH_EVERY || self.flights.is_empty() || !claims.is_empty());
        if claims.is_empty() && !flush && since < HEARTBEAT_EVERY {
            return None;
        }
        let entries = Entries {
            ended: std::mem::take(&mut self.unwritten),
            claims: claims
                .iter()
                .map(|job| Claim {
                    tenant: job.assignment.tenant.id.clone(),
                    attempt: job.assignment.attempt,
                })
                .collect(),
        };
        let mut ledger = self.ledger.take()?;
        self.last_write = Instant::now();
        Some(tokio::spawn(async move {
            let written = ledger.record(&entries).await;
            (ledger, claims, written)
        }))
    }

    fn on_written(&mut self, written: Result<Written<L>, JoinError>) {
        match written {
            Ok((ledger, claims, Ok(()))) => {
                self.ledger = Some(ledger);
                self.queue.add_claimed(claims);
            }
            Ok((_, claims, Err(error))) => {
                self.queue.return_unclaimed(claims);
                self.lose_ledger(error);
            }
            Err(panicked) => self.lose_ledger(LedgerError::Conflict {
                run: self.run.to_string(),
                action: if panicked.is_panic() {
                    "writing (it panicked)"
                } else {
                    "writing"
                },
            }),
        }
    }

    /// Without a ledger nothing new is touched; what is in flight finishes, and the histories know.
    fn lose_ledger(&mut self, error: LedgerError) {
        self.unwritten.clear();
        self.ledger_error.get_or_insert(error);
        self.begin_stop(Stopped::Ledger, CancelReason::Drain);
    }

    fn on_stop(&mut self, request: StopRequest) {
        self.begin_stop(Stopped::Signal(request.signal), request.reason);
    }

    fn begin_stop(&mut self, why: Stopped, reason: CancelReason) {
        let signal = match why {
            Stopped::Signal(signal) => Some(signal),
            Stopped::Budget | Stopped::Ledger => None,
        };
        self.stopped.get_or_insert(why);
        if reason == CancelReason::Abort {
            self.abort.cancel();
        }
        self.emit(RolloutEvent::CancelBegun {
            reason,
            signal,
            in_flight: self.flights.len(),
        });
    }

    fn on_worker(&mut self, joined: Result<(Id, AttemptReport), JoinError>) {
        let (id, report) = match joined {
            Ok((id, report)) => (id, report),
            Err(error) => (error.id(), worker::panic_report(error)),
        };
        let Some(job) = self.flights.remove(&id) else {
            return;
        };
        self.queue.finished(&job.assignment.tenant.id.database);
        self.on_attempt_end(job, report);
    }

    fn on_attempt_end(&mut self, mut job: Job, report: AttemptReport) {
        job.spent += report.duration;
        let (applied, in_doubt, cause) = match report.result {
            Ok(applied) => (applied, false, None),
            Err(error) => (error.applied, error.in_doubt, Some(error.cause)),
        };
        if applied.version.is_some() {
            job.applied.version = applied.version;
            // after a doubt the history names again what an earlier attempt is known to have done
            for migration in applied.migrations {
                if !job.applied.migrations.contains(&migration) {
                    job.applied.migrations.push(migration);
                }
            }
        }
        // doubt stays until a later attempt has read the history
        job.assignment.in_doubt =
            in_doubt || (job.assignment.in_doubt && applied.version.is_none());
        let duration = report.duration;
        match cause {
            None if job.applied.migrations.is_empty() => {
                let reason = "somebody else migrated it meanwhile";
                self.finish(job, duration, Outcome::UpToDate, Some(reason.into()), None);
            }
            None => self.finish(job, duration, Outcome::Succeeded, None, None),
            Some(MigrateErrorCause::Cancelled) => {
                let reason =
                    "its statement was cancelled by the second stop signal and rolled back";
                self.finish(
                    job,
                    duration,
                    Outcome::Interrupted,
                    Some(reason.into()),
                    None,
                );
            }
            Some(MigrateErrorCause::Refused(refusal)) => self.refuse(job, duration, &refusal),
            Some(MigrateErrorCause::Failed(failure)) => self.fail(job, duration, *failure),
        }
    }

    fn refuse(&mut self, job: Job, duration: Duration, refusal: &Refusal) {
        if refusal.is_failure() {
            let failure = Failure::new(FailureClass::Permanent, refusal.to_string())
                .with_hint(refusal.hint());
            self.finish(job, duration, Outcome::Failed, None, Some(failure));
        } else {
            let reason = Some(refusal.to_string());
            self.finish(job, duration, Outcome::Skipped, reason, None);
        }
    }

    fn fail(&mut self, mut job: Job, duration: Duration, failure: Failure) {
        let attempt = job.assignment.attempt;
        let pause = match failure.class {
            FailureClass::Transient => self.policy.retry.pause_after(attempt, fastrand::f64()),
            FailureClass::Permanent => None,
        };
        let Some(retry_in) = pause.filter(|_| self.stopped.is_none()) else {
            self.finish(job, duration, Outcome::Failed, None, Some(failure));
            self.halt_if_budget_is_spent();
            return;
        };
        self.emit(RolloutEvent::AttemptFailedWillRetry {
            tenant: job.assignment.tenant.id.clone(),
            attempt,
            failure: failure.clone(),
            retry_in,
        });
        self.unwritten.push(AttemptEnd {
            tenant: job.assignment.tenant.id.clone(),
            attempt,
            outcome: Outcome::Failed,
            then: AfterAttempt::Retry,
            applied: job.applied.migrations.clone(),
            version: job.applied.version,
            duration,
            reason: None,
            failure: Some(failure.clone()),
        });
        job.last_failure = Some(failure);
        job.assignment.attempt += 1;
        self.queue.wait_until(Instant::now() + retry_in, job);
    }

    /// A tenant has its outcome by an attempt.
    fn finish(
        &mut self,
        job: Job,
        duration: Duration,
        outcome: Outcome,
        reason: Option<String>,
        failure: Option<Failure>,
    ) {
        self.unwritten.push(AttemptEnd {
            tenant: job.assignment.tenant.id.clone(),
            attempt: job.assignment.attempt,
            outcome,
            then: AfterAttempt::Done,
            applied: job.applied.migrations.clone(),
            version: job.applied.version,
            duration,
            reason: reason.clone(),
            failure: failure.clone(),
        });
        let attempts = job.assignment.attempt;
        self.tell(job, attempts, outcome, reason, failure);
    }

    fn tell(
        &mut self,
        job: Job,
        attempts: u32,
        outcome: Outcome,
        reason: Option<String>,
        failure: Option<Failure>,
    ) {
        let from = match &job.assignment.history {
            crate::plan::HistorySnapshot::Rows { rows, .. } => rows.last().map(|row| row.version),
            _ => None,
        };
        let result = self.tally.add(TenantResult {
            tenant: job.assignment.tenant.id,
            outcome,
            from,
            to: job.applied.version,
            applied: job.applied.migrations,
            attempts,
            duration: job.spent,
            reason,
            failure,
        });
        self.emit(RolloutEvent::TenantFinished {
            result,
            totals: self.tally.totals(),
        });
    }

    fn halt_if_budget_is_spent(&mut self) {
        let (failed, to_migrate) = (self.tally.failed_attempts(), self.tally.to_migrate());
        if self.stopped.is_none() && self.policy.budget.is_spent(failed, to_migrate) {
            self.begin_stop(Stopped::Budget, CancelReason::Drain);
        }
    }

    /// Gives those an outcome that a stop has left behind.
    pub(super) fn settle_rest(&mut self) {
        let Some(stopped) = self.stopped.clone() else {
            return;
        };
        for mut job in self.queue.drain() {
            let attempts = job.attempts_made();
            let failure = job.last_failure.take();
            let (outcome, reason) = match &failure {
                None => (Outcome::Skipped, stopped.reason().to_owned()),
                Some(failure) => (
                    Outcome::Interrupted,
                    format!(
                        "stopped before attempt {}; the last one failed: {}",
                        attempts + 1,
                        failure.message
                    ),
                ),
            };
            let id = job.assignment.tenant.id.clone();
            self.left.push((id, outcome, reason.clone()));
            self.tell(job, attempts, outcome, Some(reason), failure);
        }
    }

    pub(super) async fn close(mut self, run: RunId, plan: &Plan, started: Instant) -> RolloutEnd {
        let mut summary = self
            .tally
            .summary(run, plan, self.stopped.as_ref(), started.elapsed());
        let closing = Closing {
            outcome: summary.outcome,
            exit_code: summary.exit.code(),
            left: self.left,
        };
        let mut ledger_error = self.ledger_error;
        if let Some(ledger) = &mut self.ledger
            && let Err(error) = ledger.close(&closing).await
        {
            ledger_error.get_or_insert(error);
        }
        if ledger_error.is_some() {
            summary.exit = ExitCode::Unexpected;
        }
        let summary = Arc::new(summary);
        // nobody has to listen
        let _ = self.events.send(RolloutEvent::RunFinished {
            summary: Arc::clone(&summary),
        });
        RolloutEnd {
            summary,
            ledger_error,
        }
    }
}
