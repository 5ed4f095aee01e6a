//! Waves: one after the other. Between two it is waited, looked, and asked; the queue holds the tenants of one
//! wave alone, so that nothing of a later one can start too early.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::policy::Concurrency;
use super::queue::Job;
use super::tally::Stopped;
use super::wave::{CheckOrder, Operator, RolloutWave};
use crate::ledger::{Ledger, WaveEntry};
use crate::migrator::TenantMigrator;
use crate::plan::Blame;
use crate::run::{
    Approval, BadMigration, CancelReason, Failure, FailureBudget, Halt, Outcome, Totals, WaveGate,
    WaveNumber, WaveState, WaveSummary, WaveTerms,
};
use crate::tenant::{DatabaseName, TenantId};

/// All waves of a run, and where it is in them.
pub(super) struct Waves {
    /// None of them where all tenants go together: then there is one, which nobody is told of.
    boards: Vec<Board>,
    of_tenant: HashMap<TenantId, usize>,
    /// Tenants of the waves to come.
    later: VecDeque<(usize, Vec<Job>)>,
    current: Option<usize>,
    phase: Phase,
    is_told: bool,
    ahead: Ahead,
    blame: Blame,
    suspect: Option<BadMigration>,
}

/// What is to come in later waves, for whoever wants to know how long all of it takes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// The longest that is expected of one tenant.
    pub(super) longest: Duration,
    /// How many of its tenants can be in work at a time.
    pub(super) slots: usize,
}

/// A wave with what has become of it.
struct Board {
    wave: RolloutWave,
    totals: Totals,
    state: WaveState,
    approved_by: Option<String>,
}

enum Phase {
    Working,
    Soaking(Instant),
    Checking(JoinHandle<Result<(), String>>),
    Awaiting,
}

/// What the end of a wave's tenants leads to.
pub(super) enum Step {
    /// Look around again: there is more to start, or the run has been stopped.
    GoOn,
    /// Nothing to do before something happens.
    Wait,
    /// That was the last wave.
    Over,
}

impl Waves {
    /// Divides the jobs; the first wave's are to be put into the queue with [`Waves::next`].
    pub(super) fn new(waves: Vec<RolloutWave>, jobs: Vec<Job>, concurrency: &Concurrency) -> Self {
        let is_told = !waves.is_empty();
        let waves = if is_told { waves } else { vec![all(&jobs)] };
        let of_tenant: HashMap<TenantId, usize> = waves
            .iter()
            .enumerate()
            .flat_map(|(index, wave)| wave.tenants.iter().map(move |id| (id.clone(), index)))
            .collect();
        let mut divided: Vec<Vec<Job>> = waves.iter().map(|_| Vec::new()).collect();
        for job in jobs {
            // whoever is in no wave goes with the last
            let last = divided.len() - 1;
            let index = of_tenant.get(&job.assignment.tenant.id).copied();
            divided[index.unwrap_or(last)].push(job);
        }
        let boards = waves.into_iter().map(|wave| Board {
            totals: Totals {
                tenants: wave.tenants.len() as u64,
                ..Totals::default()
            },
            state: wave.state,
            approved_by: wave.approved_by.clone(),
            wave,
        });
        let mut waves = Self {
            boards: boards.collect(),
            of_tenant,
            later: divided.into_iter().enumerate().collect(),
            current: None,
            phase: Phase::Working,
            is_told,
            ahead: Ahead::default(),
            blame: Blame::default(),
            suspect: None,
        };
        waves.look_ahead(concurrency);
        waves
    }

    /// What is to come in later waves.
    pub(super) fn ahead(&self) -> Ahead {
        self.ahead
    }

    fn look_ahead(&mut self, concurrency: &Concurrency) {
        let mut longest = Duration::ZERO;
        let mut databases: HashMap<&DatabaseName, usize> = HashMap::new();
        for job in self.later.iter().flat_map(|(_, jobs)| jobs) {
            longest = longest.max(job.expected.map(|e| e.time).unwrap_or_default());
            *databases.entry(job.database()).or_default() += 1;
        }
        let slots = databases.into_iter();
        let slots: usize = slots
            .map(|(database, tenants)| tenants.min(concurrency.limit(database)))
            .sum();
        self.ahead = Ahead {
            longest,
            slots: slots.min(concurrency.fleet.get()),
        };
    }

    /// Whether tenants of later waves have not been started.
    pub(super) fn has_later(&self) -> bool {
        self.later.iter().any(|(_, jobs)| !jobs.is_empty())
    }

    /// Those that would be started last, to ask whether there is time for any.
    pub(super) fn later_jobs(&self) -> impl Iterator<Item = &Job> {
        self.later.iter().flat_map(|(_, jobs)| jobs)
    }

    /// Takes out whoever has not been started.
    pub(super) fn take_later(&mut self) -> Vec<Job> {
        let later = std::mem::take(&mut self.later);
        later.into_iter().flat_map(|(_, jobs)| jobs).collect()
    }

    /// A tenant has its outcome.
    pub(super) fn count(&mut self, tenant: &TenantId, outcome: Outcome) {
        if let Some(index) = self.of_tenant.get(tenant) {
            self.boards[*index].totals.count(outcome);
        }
    }

    /// What an outcome says about the migrations.
    pub(super) fn learn(&mut self, applied: &[String], failure: Option<&Failure>, same: u32) {
        self.blame.passed(applied);
        if let Some(bad) = failure.and_then(|failure| self.blame.failed(failure, same)) {
            self.suspect.get_or_insert(bad);
        }
    }

    /// A migration that seems to be bad.
    pub(super) fn suspect(&self) -> Option<&BadMigration> {
        self.suspect.as_ref()
    }

    fn board(&self) -> Option<&Board> {
        self.boards.get(self.current?)
    }

    /// Whether the wave at work has had more failures than its terms allow.
    pub(super) fn overspent(&self) -> Option<Halt> {
        let board = self.board()?;
        let budget = board.wave.terms.max_failures?;
        budget
            .is_spent(board.totals.failed, board.members())
            .then(|| board.failed())
    }

    /// Whether a wave whose tenants are done must not be followed by another.
    fn failed(&self) -> Option<Halt> {
        let board = self.board()?;
        // somebody, or an earlier run, has let it pass with what had failed then
        let was_passed = board.wave.state == WaveState::Passed || board.approved_by.is_some();
        let (failed, members) = (board.totals.failed, board.members());
        let is_spent = match board.wave.terms.max_failures {
            Some(FailureBudget::Unlimited) => false,
            Some(budget) => budget.is_spent(failed, members),
            None => failed > 0 && failed == members,
        };
        (is_spent && self.is_told && !was_passed).then(|| board.failed())
    }

    /// How many of its tenants at a time the wave at work allows.
    pub(super) fn concurrency(&self) -> Option<usize> {
        let limit = self.board()?.wave.terms.concurrency?;
        Some(limit.get())
    }

    /// Whether no other wave has anything to do.
    fn is_at_the_last(&self) -> bool {
        let mut later = self.later.iter();
        !later.any(|(index, _)| self.boards[*index].wave.is_due())
    }

    /// Whether the tenants of a wave are done and it is not known yet whether it is well.
    pub(super) fn is_unchecked(&self) -> bool {
        let is_open = |board: &Board| {
            let is_between = matches!(board.state, WaveState::Soaking | WaveState::Checking);
            is_between && board.wave.terms.check.is_some()
        };
        self.boards.iter().any(is_open)
    }

    /// Whose approval is waited for.
    pub(super) fn awaits(&self) -> Option<WaveNumber> {
        match self.phase {
            Phase::Awaiting => Some(self.board()?.wave.number),
            Phase::Working | Phase::Soaking(_) | Phase::Checking(_) => None,
        }
    }

    /// When a soak is over.
    pub(super) fn soaks_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Soaking(until) => Some(until),
            Phase::Working | Phase::Checking(_) | Phase::Awaiting => None,
        }
    }

    /// What a check that is under way has found. Pends for ever while there is none.
    pub(super) async fn checked(&mut self) -> Result<(), String> {
        let Phase::Checking(check) = &mut self.phase else {
            return std::future::pending().await;
        };
        let found = check.await;
        found.unwrap_or_else(|panicked| Err(format!("it could not be carried out: {panicked}")))
    }

    /// Nothing more is waited for.
    pub(super) fn stop(&mut self) {
        if let Phase::Checking(check) = &self.phase {
            check.abort();
        }
        self.phase = Phase::Working;
    }

    /// Those of the waves that are told of.
    pub(super) fn summaries(&self) -> Vec<WaveSummary> {
        let told = self.boards.iter().filter(|_| self.is_told);
        told.map(Board::summary).collect()
    }
}

impl Board {
    /// How many tenants it has, those included that an earlier run has migrated.
    fn members(&self) -> u64 {
        self.wave.members.len() as u64
    }

    fn failed(&self) -> Halt {
        Halt::WaveBudget {
            wave: self.wave.terms.name.clone(),
            failed: self.totals.failed,
            tenants: self.members(),
        }
    }

    fn summary(&self) -> WaveSummary {
        WaveSummary {
            number: self.wave.number,
            name: self.wave.terms.name.clone(),
            totals: self.totals,
            state: self.state,
            approved_by: self.approved_by.clone(),
        }
    }
}

/// All tenants together.
fn all(jobs: &[Job]) -> RolloutWave {
    RolloutWave {
        number: 1,
        terms: WaveTerms::named(""),
        tenants: jobs
            .iter()
            .map(|job| job.assignment.tenant.id.clone())
            .collect(),
        members: Vec::new(),
        state: WaveState::Pending,
        approved_by: None,
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// The first wave, unless the run was stopped before.
    pub(super) fn begin_waves(&mut self) {
        self.after_wave(Instant::now());
    }

    /// The queue is empty and everything is written: what comes now.
    pub(super) fn after_wave(&mut self, now: Instant) -> Step {
        if self.stopped.is_some() {
            return Step::Over;
        }
        match self.waves.phase {
            Phase::Working => self.end_of_tenants(now),
            Phase::Soaking(until) if now < until => Step::Wait,
            Phase::Soaking(_) => self.begin_check(),
            Phase::Checking(_) | Phase::Awaiting => Step::Wait,
        }
    }

    /// All tenants of the wave have an outcome; before the first wave that is so as well.
    fn end_of_tenants(&mut self, now: Instant) -> Step {
        let Some(board) = self.waves.board() else {
            return self.next_wave();
        };
        let (soak, is_last) = (board.wave.terms.soak, self.waves.is_at_the_last());
        let has_check = board.wave.terms.check.is_some();
        if !is_last && let Some(halt) = self.waves.failed() {
            return self.halt(halt);
        }
        // an earlier run has soaked it, if it came as far as that
        let was_soaked = board.wave.tenants.is_empty()
            && !matches!(board.wave.state, WaveState::Running | WaveState::Soaking);
        if soak.is_zero() || was_soaked || (is_last && !has_check) {
            return self.begin_check();
        }
        self.soak(soak, now)
    }

    fn soak(&mut self, soak: Duration, now: Instant) -> Step {
        let until = now + soak;
        self.enter(WaveState::Soaking, None);
        self.waves.phase = Phase::Soaking(until);
        self.tell_wave(|wave| RolloutEvent::WaveSoaking { wave, soak });
        if let Some(by) = self.policy.deadline.filter(|by| until >= by.last_call()) {
            if by.never_fits(soak) {
                self.tally.need_somebody();
            }
            self.begin_stop(Stopped::Deadline, CancelReason::Drain);
        }
        Step::GoOn
    }

    fn begin_check(&mut self) -> Step {
        let Some(board) = self.waves.board() else {
            return self.pass();
        };
        let Some(check) = board.wave.terms.check.clone() else {
            return self.ask();
        };
        let order = CheckOrder {
            wave: board.wave.terms.name.clone(),
            check,
            members: board.wave.members.clone(),
        };
        self.enter(WaveState::Checking, None);
        self.tell_wave(|wave| RolloutEvent::WaveChecking { wave });
        self.waves.phase = Phase::Checking(tokio::spawn((self.checker)(order)));
        Step::GoOn
    }

    /// A check has ended.
    pub(super) fn on_checked(&mut self, found: Result<(), String>) {
        self.waves.phase = Phase::Working;
        let Some(board) = self.waves.board() else {
            return;
        };
        match found {
            Ok(()) => {
                self.ask();
            }
            Err(problem) => {
                let wave = board.wave.terms.name.clone();
                self.halt(Halt::Check { wave, problem });
            }
        }
    }

    /// Asks for somebody's word, where the terms of the wave want it.
    fn ask(&mut self) -> Step {
        let Some(board) = self.waves.board() else {
            return self.pass();
        };
        let is_last = self.waves.is_at_the_last();
        let is_asked = board.wave.terms.gate == WaveGate::Manual && board.approved_by.is_none();
        if is_last || !is_asked {
            return self.pass();
        }
        let wave = board.wave.terms.name.clone();
        self.enter(WaveState::Awaiting, None);
        if self.operator == Operator::Absent {
            return self.halt(Halt::Gate { wave });
        }
        self.waves.phase = Phase::Awaiting;
        let run = self.run.clone();
        self.tell_wave(|wave| RolloutEvent::ApprovalAwaited { wave, run });
        Step::GoOn
    }

    /// Somebody has given it.
    pub(super) fn on_approval(&mut self, approval: Approval) {
        let Some(index) = self.waves.current.filter(|_| self.waves.awaits().is_some()) else {
            return;
        };
        self.waves.boards[index].approved_by = Some(approval.by);
        self.pass();
    }

    /// The wave is well. The one after the last is none.
    fn pass(&mut self) -> Step {
        self.enter(WaveState::Passed, None);
        self.waves.phase = Phase::Working;
        self.tell_wave(|wave| RolloutEvent::WaveFinished { wave });
        self.next_wave()
    }

    /// Puts the tenants of the next wave into the queue.
    fn next_wave(&mut self) -> Step {
        let Some((index, jobs)) = self.waves.later.pop_front() else {
            return Step::Over;
        };
        self.waves.current = Some(index);
        self.waves.look_ahead(&self.policy.concurrency);
        if !self.waves.boards[index].wave.is_due() {
            // nobody is in it, or an earlier run has seen to it
            return self.next_wave();
        }
        self.enter(WaveState::Running, None);
        self.queue.limit_to(self.waves.concurrency());
        for job in jobs {
            self.queue.append(job);
        }
        for (database, why) in self.health.all_given_up() {
            self.give_up(&database, &why);
        }
        self.begin_looks();
        self.tell_wave(|wave| RolloutEvent::WaveStarted { wave });
        Step::GoOn
    }

    /// No other wave begins. At a gate it is the one before it that goes on waiting.
    pub(super) fn halt(&mut self, halt: Halt) -> Step {
        if !matches!(halt, Halt::Gate { .. }) {
            self.enter(WaveState::Halted, Some(halt.to_string()));
        }
        self.begin_stop(Stopped::Halted(halt), CancelReason::Drain);
        Step::GoOn
    }

    /// Notes where the wave at work is.
    fn enter(&mut self, state: WaveState, reason: Option<String>) {
        let Some(index) = self.waves.current else {
            return;
        };
        let board = &mut self.waves.boards[index];
        board.state = state;
        if self.waves.is_told {
            self.books.waves.push(WaveEntry {
                wave: board.wave.number,
                state,
                reason,
                approved_by: board.approved_by.clone(),
            });
        }
    }

    fn tell_wave(&self, event: impl FnOnce(Arc<WaveSummary>) -> RolloutEvent) {
        if let Some(board) = self.waves.board().filter(|_| self.waves.is_told) {
            self.emit(event(Arc::new(board.summary())));
        }
    }
}
