//! Outcomes as they come in, and the whole at the end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::wave::AtVersion;
use crate::plan::{Action, Plan, TenantPlan};
use crate::run::{
    ExitCode, Failure, FailureClass, Halt, Outcome, RunId, RunOutcome, RunSummary, StopSignal,
    TenantResult, Totals, group_failures,
};
use crate::tenant::TenantId;

/// Every tenant that has its outcome.
pub(super) struct Tally {
    totals: Totals,
    results: HashMap<TenantId, Arc<TenantResult>>,
    /// Of tenants that the plan had settled those that have failed all the same.
    reversed: HashMap<TenantId, Arc<TenantResult>>,
    /// What is to be told of tenants beside.
    notes: HashMap<TenantId, Vec<String>>,
    to_migrate: u64,
    gone: u64,
    needs_somebody: bool,
    hopeless: usize,
    is_unchecked: bool,
}

/// Why a run stopped before it had gone through its tenants.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stopped {
    /// By a signal.
    Signal(StopSignal),
    /// By the failure budget, a check or a gate.
    Halted(Halt),
    /// Nothing that is left would be done before the deadline.
    Deadline,
    /// The ledger cannot be written any more.
    Ledger,
}

impl Stopped {
    /// Why a tenant was not attempted.
    pub(super) fn reason(&self) -> String {
        let reason = match self {
            Self::Halted(halt) => return halt.reason_to_leave(),
            Self::Signal(StopSignal::Interrupt) => "not attempted: the run was stopped by SIGINT",
            Self::Signal(StopSignal::Terminate) => "not attempted: the run was stopped by SIGTERM",
            Self::Deadline => "not attempted: it would not have been done before the deadline",
            Self::Ledger => "not attempted: the control database was lost",
        };
        reason.to_owned()
    }
}

impl Tally {
    /// Counts what planning has settled.
    pub(super) fn new(plan: &Plan) -> Self {
        let mut tally = Self {
            totals: Totals {
                tenants: plan.tenants.len() as u64,
                ..Totals::default()
            },
            results: HashMap::new(),
            reversed: HashMap::new(),
            notes: HashMap::new(),
            to_migrate: 0,
            gone: 0,
            needs_somebody: false,
            hopeless: 0,
            is_unchecked: false,
        };
        for tenant in &plan.tenants {
            match settled(tenant) {
                Some(result) => tally.totals.count(result.outcome),
                None => tally.to_migrate += 1,
            }
            if matches!(tenant.action, Action::Hold(_)) {
                tally.totals.held += 1;
            }
        }
        tally
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    pub(super) fn to_migrate(&self) -> u64 {
        self.to_migrate
    }

    /// How many tenants of those to migrate have none yet.
    pub(super) fn without_outcome(&self) -> usize {
        usize::try_from(self.to_migrate)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.results.len())
    }

    /// A tenant was dropped while the run went on: there is nobody left who could not be at the target.
    pub(super) fn count_gone(&mut self) {
        self.gone += 1;
    }

    /// A tenant was left for which the deadline never leaves enough time.
    pub(super) fn count_hopeless(&mut self) {
        self.hopeless += 1;
    }

    /// The run ends before it is known whether its last wave is well.
    pub(super) fn leave_unchecked(&mut self) {
        self.is_unchecked = true;
    }

    /// The same command again would not get any further: a database could not be worked on, or a soak is longer
    /// than all the time up to the deadline.
    pub(super) fn need_somebody(&mut self) {
        self.needs_somebody = true;
    }

    /// A tenant has its outcome.
    pub(super) fn add(&mut self, result: TenantResult) -> Arc<TenantResult> {
        let result = Arc::new(result);
        self.totals.count(result.outcome);
        self.results
            .insert(result.tenant.clone(), Arc::clone(&result));
        result
    }

    /// A tenant that was attempted and is at its target.
    pub(super) fn reached(&self, tenant: &TenantId) -> Option<AtVersion> {
        let result = self.results.get(tenant)?;
        is_there(result).then(|| (tenant.clone(), result.to))
    }

    /// Something is to be told of a tenant beside its outcome.
    pub(super) fn note(&mut self, tenant: &TenantId, note: &str) {
        let notes = self.notes.entry(tenant.clone()).or_default();
        notes.push(note.to_owned());
    }

    /// A tenant that was at its target has failed all the same; `there` are those that the plan had settled. Answers
    /// what it was before; None for one that was not there.
    pub(super) fn reverse(
        &mut self,
        tenant: &TenantId,
        there: &[AtVersion],
        failure: Failure,
    ) -> Option<(Outcome, Arc<TenantResult>)> {
        let own = self.results.get_mut(tenant);
        let there = there.iter().find(|(id, _)| id == tenant);
        let (was, result) = match (own, there) {
            (Some(own), _) if is_there(own) => {
                let was = own.outcome;
                let result = Arc::make_mut(own);
                (result.outcome, result.reason) = (Outcome::Failed, None);
                result.failure = Some(failure);
                (was, Arc::clone(own))
            }
            (None, Some((_, version))) if !self.reversed.contains_key(tenant) => {
                let result = Arc::new(TenantResult {
                    tenant: tenant.clone(),
                    outcome: Outcome::Failed,
                    from: *version,
                    to: *version,
                    applied: Vec::new(),
                    attempts: 0,
                    duration: Duration::ZERO,
                    reason: None,
                    failure: Some(failure),
                    notes: Vec::new(),
                });
                self.reversed.insert(tenant.clone(), Arc::clone(&result));
                (Outcome::UpToDate, result)
            }
            _ => return None,
        };
        self.totals.uncount(was);
        self.totals.count(Outcome::Failed);
        Some((was, result))
    }

    /// Failures of this run's own attempts.
    pub(super) fn failed_attempts(&self) -> u64 {
        self.results
            .values()
            .filter(|result| result.outcome == Outcome::Failed)
            .count() as u64
    }

    /// The whole run.
    pub(super) fn summary(
        mut self,
        run: RunId,
        plan: &Plan,
        stopped: Option<&Stopped>,
        duration: Duration,
    ) -> RunSummary {
        let is_futile = self.hopeless > 0 && self.hopeless == self.results.len();
        let tenants: Vec<TenantResult> = plan
            .tenants
            .iter()
            .filter_map(|tenant| {
                let id = &tenant.tenant.id;
                let own = self.results.remove(id).or(self.reversed.remove(id));
                let own = own.map(|own| as_pinned(tenant, Arc::unwrap_or_clone(own)));
                let mut result = own.or_else(|| settled(tenant))?;
                result
                    .notes
                    .extend(self.notes.remove(id).unwrap_or_default());
                Some(result)
            })
            .collect();
        let failures = group_failures(
            tenants
                .iter()
                .filter(|result| result.outcome == Outcome::Failed)
                .filter_map(|result| Some((&result.tenant, result.failure.as_ref()?))),
        );
        let undone = Undone {
            gone: self.gone,
            needs_somebody: self.needs_somebody || is_futile,
            is_unchecked: self.is_unchecked,
        };
        let (outcome, exit) = verdict(&self.totals, undone, stopped);
        let halt = match stopped {
            Some(Stopped::Halted(halt)) if outcome == RunOutcome::Halted => Some(halt.clone()),
            _ => None,
        };
        RunSummary {
            run,
            outcome,
            exit,
            target: plan.target,
            totals: self.totals,
            tenants,
            failures,
            newcomers: Vec::new(),
            waves: Vec::new(),
            halt,
            rounds: Vec::new(),
            throttled: Vec::new(),
            error: None,
            duration,
        }
    }
}

/// What the totals do not tell about tenants that are not at their target.
#[derive(Clone, Copy)]
struct Undone {
    /// Dropped while the run went on.
    gone: u64,
    /// Some were left because their database could not be worked on, or all because the deadline leaves
    /// too little time: the same command again would not get any further.
    needs_somebody: bool,
    /// It is not known whether the last wave is well.
    is_unchecked: bool,
}

/// What a run amounts to. Only a run with every tenant at its target, or held, exits with 0.
fn verdict(totals: &Totals, left: Undone, stopped: Option<&Stopped>) -> (RunOutcome, ExitCode) {
    // to hold a tenant is to ask for it to be left as it is
    let undone = (totals.failed + totals.interrupted + totals.skipped)
        .saturating_sub(totals.held + left.gone)
        + u64::from(left.is_unchecked);
    match stopped {
        Some(Stopped::Ledger) if undone == 0 => (RunOutcome::Succeeded, ExitCode::Unexpected),
        Some(Stopped::Ledger) => (RunOutcome::Interrupted, ExitCode::Unexpected),
        // every tenant is there, and not well
        Some(Stopped::Halted(Halt::Check { .. } | Halt::Shapes { .. })) => {
            (RunOutcome::Halted, ExitCode::Halted)
        }
        _ if undone == 0 => (RunOutcome::Succeeded, ExitCode::Done),
        Some(Stopped::Signal(StopSignal::Interrupt)) => {
            (RunOutcome::Interrupted, ExitCode::Interrupted)
        }
        Some(Stopped::Signal(StopSignal::Terminate)) => {
            (RunOutcome::Interrupted, ExitCode::Terminated)
        }
        Some(Stopped::Halted(_)) => (RunOutcome::Halted, ExitCode::Halted),
        // the deadline's code says that another run is all it takes, which a failure makes untrue
        Some(Stopped::Deadline) if totals.failed == 0 && !left.needs_somebody => {
            (RunOutcome::Interrupted, ExitCode::Deadline)
        }
        Some(Stopped::Deadline) => (RunOutcome::Failed, ExitCode::TenantsFailed),
        None if totals.failed + totals.interrupted > 0 || left.needs_somebody => {
            (RunOutcome::Failed, ExitCode::TenantsFailed)
        }
        None => (RunOutcome::Failed, ExitCode::Divergent),
    }
}

/// The outcome of a tenant that needs no attempt.
pub fn settled(plan: &TenantPlan) -> Option<TenantResult> {
    let (outcome, reason, failure) = match &plan.action {
        Action::Migrate(_) => return None,
        Action::UpToDate => (Outcome::UpToDate, None, None),
        Action::Refuse(refusal) if refusal.is_failure() => {
            let failure = Failure::new(FailureClass::Permanent, refusal.to_string())
                .with_hint(refusal.hint());
            (Outcome::Failed, Some(refusal.to_string()), Some(failure))
        }
        Action::Refuse(refusal) => (
            Outcome::Skipped,
            Some(format!("{refusal} ({})", refusal.hint())),
            None,
        ),
        Action::Hold(held) => (Outcome::Skipped, Some(held.to_string()), None),
    };
    Some(TenantResult {
        tenant: plan.tenant.id.clone(),
        outcome,
        from: plan.from,
        to: plan.from,
        applied: Vec::new(),
        attempts: 0,
        duration: Duration::ZERO,
        reason,
        failure,
        notes: Vec::new(),
    })
}

fn is_there(result: &TenantResult) -> bool {
    matches!(result.outcome, Outcome::Succeeded | Outcome::UpToDate)
}

/// A pinned tenant is where it is to be, and says why that is not the target.
fn as_pinned(plan: &TenantPlan, mut result: TenantResult) -> TenantResult {
    let pin = plan.pin();
    if let Some(pin) = pin.filter(|_| is_there(&result) && result.reason.is_none()) {
        result.reason = Some(pin.to_string());
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Undone = Undone {
        gone: 0,
        needs_somebody: false,
        is_unchecked: false,
    };

    #[test]
    fn only_a_run_with_every_tenant_at_its_target_exits_with_0() {
        let all_done = Totals {
            tenants: 2,
            succeeded: 1,
            up_to_date: 1,
            ..Totals::default()
        };
        let gone = Undone { gone: 1, ..NONE };
        let interrupt = Stopped::Signal(StopSignal::Interrupt);
        let spent = Stopped::Halted(Halt::Budget { failed: 1 });
        let unwell = Stopped::Halted(Halt::Check {
            wave: "canary".to_owned(),
            problem: "it is not".to_owned(),
        });
        assert_eq!(verdict(&all_done, NONE, None).1, ExitCode::Done);
        assert_eq!(verdict(&all_done, NONE, Some(&interrupt)).1, ExitCode::Done);
        assert_eq!(
            verdict(&all_done, NONE, Some(&Stopped::Ledger)).1,
            ExitCode::Unexpected
        );

        let skipped = Totals {
            skipped: 1,
            ..all_done
        };
        assert_eq!(verdict(&skipped, NONE, None).1, ExitCode::Divergent);
        assert_eq!(
            verdict(&skipped, NONE, Some(&interrupt)).1,
            ExitCode::Interrupted
        );
        assert_eq!(verdict(&skipped, NONE, Some(&spent)).1, ExitCode::Halted);

        assert_eq!(verdict(&skipped, gone, None).1, ExitCode::Done);
        assert_eq!(verdict(&all_done, NONE, Some(&spent)).1, ExitCode::Done);
        assert_eq!(verdict(&all_done, NONE, Some(&unwell)).1, ExitCode::Halted);
        let held = Totals {
            skipped: 2,
            held: 1,
            ..all_done
        };
        assert_eq!(verdict(&held, NONE, None).1, ExitCode::Divergent);
        assert_eq!(verdict(&held, gone, None).1, ExitCode::Done);
        let unreachable = Undone {
            needs_somebody: true,
            ..NONE
        };
        assert_eq!(
            verdict(&skipped, unreachable, None).1,
            ExitCode::TenantsFailed
        );

        let failed = Totals {
            failed: 1,
            ..skipped
        };
        assert_eq!(verdict(&failed, NONE, None).1, ExitCode::TenantsFailed);

        let deadline = |totals, left| verdict(totals, left, Some(&Stopped::Deadline)).1;
        assert_eq!(deadline(&all_done, NONE), ExitCode::Done);
        assert_eq!(deadline(&skipped, NONE), ExitCode::Deadline);
        assert_eq!(deadline(&failed, NONE), ExitCode::TenantsFailed);
        assert_eq!(deadline(&skipped, unreachable), ExitCode::TenantsFailed);
    }

    #[test]
    fn tenants_of_whom_it_is_not_known_whether_they_are_well_are_not_done() {
        let all_done = Totals {
            tenants: 1,
            succeeded: 1,
            ..Totals::default()
        };
        let unchecked = Undone {
            is_unchecked: true,
            ..NONE
        };
        let late = Some(&Stopped::Deadline);
        assert_eq!(verdict(&all_done, unchecked, late).1, ExitCode::Deadline);
    }
}
