//! The single owner of a run's state. One loop takes in what workers, the ledger, probes, the clock and
//! the stop say, and decides what starts next. What it does with the end of an attempt is in
//! `attempts`, with the ledger in `books`, with a database that does not answer in `health`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::books::{Books, FLUSH_EVERY, Writing};
use super::deadline::Gate;
use super::event::{Outlook, RolloutEvent};
use super::expect::expectations;
use super::forecast::Forecast;
use super::governor::Ticket;
use super::health::Health;
use super::leaks::LeakChecks;
use super::looks::Looks;
use super::policy::RolloutPolicy;
use super::queue::{Job, Queue};
use super::shutdown::{StopRequest, StopWatch};
use super::tally::{Stopped, Tally};
use super::wave::{Checker, Comparer, Operator};
use super::waves::{Step, Waves};
use super::worker::{self, AttemptReport, Told};
use super::{Rollout, RolloutEnd};
use crate::crash;
use crate::ledger::{Closing, Ledger, Past};
use crate::migrator::{Applied, Assignment, Knowledge, Task, TenantMigrator};
use crate::plan::{Action, Plan};
use crate::run::{CancelReason, ExitCode, RunId};
use crate::tenant::TenantId;

/// The state of a run while it goes on.
pub(super) struct Dispatcher<M, L> {
    pub(super) migrator: Arc<M>,
    pub(super) policy: RolloutPolicy,
    events: mpsc::UnboundedSender<RolloutEvent>,
    pub(super) run: RunId,
    target: Option<crate::migration::Version>,

    pub(super) queue: Queue,
    pub(super) waves: Waves,
    pub(super) checker: Checker,
    pub(super) comparer: Comparer,
    pub(super) operator: Operator,
    pub(super) tally: Tally,
    pub(super) forecast: Forecast,
    workers: JoinSet<AttemptReport>,
    pub(super) flights: HashMap<Id, Job>,
    told: (mpsc::UnboundedSender<Told>, mpsc::UnboundedReceiver<Told>),
    pub(super) abort: CancellationToken,

    pub(super) books: Books<L>,
    pub(super) health: Health,
    pub(super) looks: Looks,
    pub(super) leaks: LeakChecks,
    pub(super) stopped: Option<Stopped>,
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    pub(super) fn new(rollout: Rollout<M, L>, events: mpsc::UnboundedSender<RolloutEvent>) -> Self {
        let tally = Tally::new(&rollout.plan);
        let jobs = jobs(&rollout.plan, &rollout.pasts);
        Self {
            forecast: Forecast::new(&jobs),
            queue: Queue::new(rollout.policy.concurrency.clone()),
            waves: Waves::new(
                rollout.waves,
                rollout.at_the_end,
                jobs,
                &rollout.policy.concurrency,
            ),
            checker: rollout.checker,
            comparer: rollout.comparer,
            operator: rollout.operator,
            tally,
            migrator: rollout.migrator,
            policy: rollout.policy,
            events,
            run: rollout.run,
            target: rollout.plan.target,
            workers: JoinSet::new(),
            flights: HashMap::new(),
            told: mpsc::unbounded_channel(),
            abort: CancellationToken::new(),
            books: Books::new(rollout.ledger),
            health: Health::default(),
            looks: Looks::default(),
            leaks: LeakChecks::default(),
            stopped: None,
        }
    }

    pub(super) fn announce(&self, resumes: Option<RunId>) {
        self.emit(RolloutEvent::RunStarted {
            run: self.run.clone(),
            resumes,
            target: self.target,
            to_migrate: self.tally.to_migrate(),
            concurrency: self.policy.concurrency.fleet.get(),
            pace: self.policy.concurrency.pace,
            totals: self.tally.totals(),
            outlook: self.outlook(),
            deadline: self
                .policy
                .deadline
                .map(|deadline| deadline.at().saturating_duration_since(Instant::now())),
        });
    }

    /// How long a look at the fleet may take at the end: it is worth neither the run's sign of life nor its
    /// deadline.
    pub(super) fn patience_for_a_look(&self) -> Duration {
        let heartbeat = self.policy.heartbeat;
        self.policy.deadline.map_or(heartbeat, |deadline| {
            heartbeat.min(deadline.at().saturating_duration_since(Instant::now()))
        })
    }

    /// What is left of the run.
    pub(super) fn outlook(&self) -> Option<Outlook> {
        self.forecast.outlook(&self.queue, self.waves.ahead())
    }

    /// Nobody has to listen.
    pub(super) fn emit(&self, event: RolloutEvent) {
        let _ = self.events.send(event);
    }

    pub(super) async fn work(&mut self, mut stop: StopWatch) {
        let mut flush = interval(FLUSH_EVERY.min(self.policy.heartbeat));
        flush.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Some(request) = stop.requested() {
            self.on_stop(request);
        }
        self.begin_waves();
        let mut writing: Option<Writing<L>> = None;
        loop {
            self.queue.promote_due(Instant::now());
            self.look_if_due();
            self.start_workers();
            if writing.is_none() || self.last_call().is_none() {
                self.mind_deadline(Instant::now());
            }
            if writing.is_none() {
                writing = self.write_if_due();
            }
            if writing.is_none() && self.is_done() {
                match self.after_wave(Instant::now()) {
                    Step::GoOn => continue,
                    Step::Wait => {}
                    Step::Over => return,
                }
            }
            let now = Instant::now();
            let due = [
                self.queue.next_due(),
                self.waves.soaks_until(),
                self.last_call(),
                self.looks.next_due(now),
            ];
            let due = due.into_iter().flatten().min();
            // biased: a worker tells what it begins before it ends, and is heard in this order
            tokio::select! {
                biased;
                request = stop.escalated() => self.on_stop(request),
                Some(told) = self.told.1.recv() => self.emit(RolloutEvent::TenantProgress {
                    tenant: told.tenant,
                    progress: told.progress,
                }),
                Some(joined) = self.workers.join_next_with_id() => self.on_worker(joined),
                Some(probed) = self.health.probed() => self.on_probe(probed),
                Some(looked) = self.looks.looked() => self.on_looked(looked),
                answer = self.waves.answered() => self.on_answer(answer),
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
        self.flights.is_empty() && self.books.is_written() && self.queue.is_empty()
    }

    fn start_workers(&mut self) {
        let is_canary = self.waves.is_canary();
        self.queue.go_alone(is_canary && !self.leaks.any_passed());
        loop {
            let gate = Gate::new(&self.forecast, self.policy.deadline, Instant::now());
            let Some(mut job) = self.queue.start_next(&gate) else {
                return;
            };
            job.assignment.checks_leaks = is_canary || self.leaks.is_due(&job);
            if job.assignment.task == Task::Migrate {
                self.emit(RolloutEvent::AttemptStarted {
                    tenant: job.assignment.tenant.id.clone(),
                    attempt: job.assignment.attempt,
                    pending: job.assignment.pending.len(),
                    expected: job.expected.map(|expected| expected.time),
                    outlook: self.outlook(),
                });
            }
            let task = self.workers.spawn(worker::attempt(
                Arc::clone(&self.migrator),
                job.assignment.clone(),
                self.told.0.clone(),
                self.abort.clone(),
            ));
            self.flights.insert(task.id(), job);
        }
    }

    fn on_stop(&mut self, request: StopRequest) {
        self.begin_stop(Stopped::Signal(request.signal), request.reason);
    }

    /// Nothing new is started from here on. What is in flight finishes, unless the run is aborted; of
    /// what is in doubt it is still found out what has become of it.
    pub(super) fn begin_stop(&mut self, why: Stopped, reason: CancelReason) {
        let event = match &why {
            Stopped::Deadline => self.deadline_near(),
            Stopped::Signal(_) | Stopped::Halted(_) | Stopped::Ledger => {
                RolloutEvent::CancelBegun {
                    reason,
                    signal: match why {
                        Stopped::Signal(signal) => Some(signal),
                        _ => None,
                    },
                    halt: match &why {
                        Stopped::Halted(halt) => Some(halt.clone()),
                        _ => None,
                    },
                    in_flight: self.flights.len(),
                }
            }
        };
        self.stopped.get_or_insert(why);
        self.waves.stop();
        self.queue.limits.stop();
        if reason == CancelReason::Abort {
            self.abort.cancel();
        }
        self.emit(event);
        self.leave_all_but_doubtful();
    }

    /// After a stop: of tenants in doubt it is found out what has become of them, unless the run is
    /// aborted or late; all others are left as they are.
    pub(super) fn leave_all_but_doubtful(&mut self) {
        let left = if self.may_settle() {
            self.queue.keep_in_doubt()
        } else {
            self.queue.drain()
        };
        for job in left.into_iter().chain(self.waves.take_later()) {
            self.leave(job);
        }
    }

    fn on_worker(&mut self, joined: Result<(Id, AttemptReport), JoinError>) {
        let (id, report) = match joined {
            Ok((id, report)) => (id, report),
            Err(error) => (error.id(), worker::panic_report(error)),
        };
        let Some(mut job) = self.flights.remove(&id) else {
            return;
        };
        self.queue.finished(&mut job);
        self.on_pace_of(&job, &report);
        self.on_attempt_end(job, report);
    }

    pub(super) async fn close(
        mut self,
        run: RunId,
        plan: &Plan,
        newcomers: Vec<TenantId>,
        started: Instant,
    ) -> RolloutEnd {
        self.end_looks();
        if self.waves.is_unchecked() {
            self.tally.leave_unchecked();
        }
        let mut summary = self
            .tally
            .summary(run, plan, self.stopped.as_ref(), started.elapsed());
        summary.newcomers = newcomers;
        summary.waves = self.waves.summaries();
        summary.throttled = self.queue.limits.throttled(Instant::now());
        let closing = Closing {
            outcome: summary.outcome,
            exit_code: summary.exit.code(),
            left: std::mem::take(&mut self.books.left),
            events: std::mem::take(&mut self.books.events),
            waves: std::mem::take(&mut self.books.waves),
            halt: summary.halt.clone(),
        };
        crash::point("K11");
        let ledger_error = self.books.close(&closing).await;
        if let Some(error) = &ledger_error {
            summary.exit = ExitCode::Unexpected;
            summary.error = Some(error.to_string());
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

/// The tenants that have something pending, with what is expected of each.
fn jobs(plan: &Plan, pasts: &HashMap<TenantId, Past>) -> Vec<Job> {
    let target = plan.target;
    let pending: Vec<_> = plan
        .tenants
        .iter()
        .filter_map(|plan| match &plan.action {
            Action::Migrate(pending) => Some((plan, pending)),
            Action::UpToDate | Action::Refuse(_) | Action::Hold(_) => None,
        })
        .collect();
    let known: Vec<_> = pending
        .iter()
        .map(|(plan, pending)| (pasts.get(&plan.tenant.id).copied(), pending.len()))
        .collect();
    let expected = expectations(&known);
    let jobs = pending.into_iter().zip(expected);
    jobs.map(|((plan, pending), expected)| Job {
        assignment: Assignment {
            tenant: plan.tenant.clone(),
            history: plan.history.clone(),
            knowledge: Knowledge::Planned,
            pending: Arc::clone(pending),
            target: plan.target(target),
            attempt: 1,
            task: Task::Migrate,
            has_turn: false,
            checks_leaks: false,
        },
        applied: Applied {
            version: plan.from,
            ..Applied::default()
        },
        spent: Duration::ZERO,
        worked: Duration::ZERO,
        expected,
        last_failure: None,
        is_claimed: false,
        recorded: super::queue::Recorded::default(),
        ticket: Ticket::default(),
    })
    .collect()
}
