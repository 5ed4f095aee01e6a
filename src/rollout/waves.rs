//! Waves: one after the other. The queue holds the tenants of one wave alone, so that nothing of a later one can
//! start too early. What is done between two is in `between`, and in `likeness`.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::policy::Concurrency;
use super::queue::Job;
use super::wave::{Likeness, RolloutWave, Unlike};
use crate::plan::Blame;
use crate::run::{
    BadMigration, Failure, FailureBudget, Halt, Outcome, Totals, WaveNumber, WaveState,
    WaveSummary, WaveTerms,
};
use crate::tenant::{DatabaseName, TenantId};

/// All waves of a run, and where it is in them.
pub(super) struct Waves {
    /// None of them where all tenants go together: then there is one, which nobody is told of.
    pub(super) boards: Vec<Board>,
    of_tenant: HashMap<TenantId, usize>,
    /// Tenants of the waves to come.
    pub(super) later: VecDeque<(usize, Vec<Job>)>,
    pub(super) current: Option<usize>,
    pub(super) phase: Phase,
    pub(super) is_told: bool,
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
pub(super) struct Board {
    pub(super) wave: RolloutWave,
    pub(super) totals: Totals,
    pub(super) state: WaveState,
    pub(super) approved_by: Option<String>,
    /// Whether its tenants are known to have one shape, or need not have.
    pub(super) is_compared: bool,
}

pub(super) enum Phase {
    Working,
    Comparing(JoinHandle<Compared>),
    Soaking(Instant),
    Checking(JoinHandle<Result<(), String>>),
    Awaiting,
    Over,
}

/// What was found out of a wave.
pub(super) enum Answer {
    Compared(Compared),
    Checked(Result<(), String>),
}

/// Whoever is unlike the others, or why they could not be compared.
pub(super) type Compared = Result<Vec<Unlike>, String>;

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
    pub(super) fn new(
        waves: Vec<RolloutWave>,
        at_the_end: Likeness,
        jobs: Vec<Job>,
        concurrency: &Concurrency,
    ) -> Self {
        let is_told = !waves.is_empty();
        let waves = if is_told {
            waves
        } else {
            vec![all(&jobs, at_the_end)]
        };
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
        let boards = waves.into_iter().map(Board::new);
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

    pub(super) fn look_ahead(&mut self, concurrency: &Concurrency) {
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

    pub(super) fn board(&self) -> Option<&Board> {
        self.boards.get(self.current?)
    }

    /// The wave in which a tenant is.
    pub(super) fn board_of(&mut self, tenant: &TenantId) -> Option<&mut Board> {
        if let Some(index) = self.of_tenant.get(tenant) {
            return self.boards.get_mut(*index);
        }
        let mut boards = self.boards.iter_mut();
        boards.find(|board| {
            let mut there = board.wave.likeness.there.iter();
            there.any(|(id, _)| id == tenant)
        })
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
    pub(super) fn failed(&self) -> Option<Halt> {
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

    /// Whether the wave at work is the first of several, which goes ahead to see what comes of it.
    pub(super) fn is_canary(&self) -> bool {
        self.is_told && self.current == Some(0)
    }

    /// Whether no other wave has anything to do.
    pub(super) fn is_at_the_last(&self) -> bool {
        let mut later = self.later.iter();
        !later.any(|(index, _)| self.boards[*index].wave.is_due())
    }

    /// Whether the tenants of a wave are done and it is being found out whether it is well.
    pub(super) fn is_at_an_end(&self) -> bool {
        let is_open = |board: &Board| {
            let is_between = matches!(board.state, WaveState::Soaking | WaveState::Checking);
            is_between && board.wave.terms.check.is_some()
        };
        matches!(self.phase, Phase::Comparing(_)) || self.boards.iter().any(is_open)
    }

    /// Whether a wave was begun with, and it is not known whether it is well.
    pub(super) fn is_unchecked(&self) -> bool {
        let begun = self.current.map_or(0, |current| current + 1);
        let mut begun = self.boards.iter().take(begun);
        self.is_at_an_end() || begun.any(|board| !board.is_compared && board.wave.is_due())
    }

    /// Whose approval is waited for.
    pub(super) fn awaits(&self) -> Option<WaveNumber> {
        match self.phase {
            Phase::Awaiting => Some(self.board()?.wave.number),
            _ => None,
        }
    }

    /// When a soak is over.
    pub(super) fn soaks_until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Soaking(until) => Some(until),
            _ => None,
        }
    }

    /// What is found out of the wave at work. Pends for ever while nothing is.
    pub(super) async fn answered(&mut self) -> Answer {
        let broken = |panicked| format!("it could not be carried out: {panicked}");
        match &mut self.phase {
            Phase::Comparing(comparison) => {
                let found = comparison.await;
                Answer::Compared(found.unwrap_or_else(|panicked| Err(broken(panicked))))
            }
            Phase::Checking(check) => {
                let found = check.await;
                Answer::Checked(found.unwrap_or_else(|panicked| Err(broken(panicked))))
            }
            _ => std::future::pending().await,
        }
    }

    /// Nothing more is waited for.
    pub(super) fn stop(&mut self) {
        match &self.phase {
            Phase::Checking(check) => check.abort(),
            Phase::Comparing(comparison) => comparison.abort(),
            _ => {}
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
    fn new(wave: RolloutWave) -> Self {
        let there = wave.likeness.there.len() as u64;
        Self {
            totals: Totals {
                tenants: wave.tenants.len() as u64 + there,
                up_to_date: there,
                ..Totals::default()
            },
            state: wave.state,
            approved_by: wave.approved_by.clone(),
            is_compared: !wave.likeness.is_asked,
            wave,
        }
    }

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

    pub(super) fn summary(&self) -> WaveSummary {
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
fn all(jobs: &[Job], likeness: Likeness) -> RolloutWave {
    RolloutWave {
        number: 1,
        terms: WaveTerms::named(""),
        tenants: jobs
            .iter()
            .map(|job| job.assignment.tenant.id.clone())
            .collect(),
        members: Vec::new(),
        likeness,
        state: WaveState::Pending,
        approved_by: None,
    }
}
