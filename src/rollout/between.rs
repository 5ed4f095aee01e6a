//! What is between two waves: a soak, a check, somebody's word; and before it a look whether their tenants have one
//! shape, which is in `likeness`.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::tally::Stopped;
use super::wave::{CheckOrder, Operator};
use super::waves::{Answer, Phase, Step};
use crate::ledger::{Ledger, WaveEntry};
use crate::migrator::TenantMigrator;
use crate::run::{Approval, CancelReason, Halt, WaveGate, WaveState, WaveSummary};

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
            Phase::Comparing(_) | Phase::Checking(_) | Phase::Awaiting => Step::Wait,
            Phase::Over => Step::Over,
        }
    }

    /// All tenants of the wave have an outcome; before the first wave that is so as well.
    fn end_of_tenants(&mut self, now: Instant) -> Step {
        if self.waves.board().is_none() {
            return self.next_wave();
        }
        if !self.waves.is_at_the_last()
            && let Some(halt) = self.waves.failed()
        {
            return self.halt(halt);
        }
        // a difference that is known is not soaked for
        if self.begin_comparison() {
            return Step::GoOn;
        }
        self.begin_soak(now)
    }

    /// Its tenants have one shape, as far as that was asked.
    pub(super) fn begin_soak(&mut self, now: Instant) -> Step {
        let Some(board) = self.waves.board() else {
            return self.pass();
        };
        let (soak, is_last) = (board.wave.terms.soak, self.waves.is_at_the_last());
        let has_check = board.wave.terms.check.is_some();
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

    /// Something was found out of the wave at work.
    pub(super) fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Compared(found) => self.on_compared(found),
            Answer::Checked(found) => self.on_checked(found),
        }
    }

    /// A check has ended.
    fn on_checked(&mut self, found: Result<(), String>) {
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
    pub(super) fn next_wave(&mut self) -> Step {
        let Some((index, jobs)) = self.waves.later.pop_front() else {
            self.waves.phase = Phase::Over;
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
    pub(super) fn enter(&mut self, state: WaveState, reason: Option<String>) {
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

    pub(super) fn tell_wave(&self, event: impl FnOnce(Arc<WaveSummary>) -> RolloutEvent) {
        if let Some(board) = self.waves.board().filter(|_| self.waves.is_told) {
            self.emit(event(Arc::new(board.summary())));
        }
    }
}
