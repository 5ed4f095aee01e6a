//! `fleet plan`: what `migrate` would do. Writes nothing anywhere.

use std::collections::HashMap;

use anyhow::Context;

use super::fleet::{Fleet, Needed};
use super::linting;
use super::options::{Global, PlanArguments, Selection, WaveArguments};
use super::output::Output;
use super::restraints::{self, Windows};
use super::waves::{self, Earlier};
use crate::ledger::{ControlState, HaltRecord};
use crate::migration::Version;
use crate::plan::{self, Action, LastFailure, Plan, Restraints, TenantPlan};
use crate::report::{self, Planned};
use crate::run::{ExitCode, RunId};
use crate::tenant::TenantId;

/// Makes the plan and shows it.
pub(super) async fn execute(
    global: &Global,
    arguments: &PlanArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Tenants(&arguments.selection), output).await?;
    let asked = Asked {
        selection: &arguments.selection,
        to: arguments.to,
        windows: Windows::unless(arguments.ignore_windows),
        waves: &arguments.waves,
    };
    let planned = show(&fleet, asked, output).await;
    fleet.close().await?;
    planned
}

/// What a plan is asked for.
pub(super) struct Asked<'a> {
    /// Which tenants.
    pub(super) selection: &'a Selection,
    /// Up to which version instead of the newest.
    pub(super) to: Option<Version>,
    /// Whether tenants are left alone outside of their windows.
    pub(super) windows: Windows,
    /// Who goes first.
    pub(super) waves: &'a WaveArguments,
}

/// Makes the plan and shows it; `migrate --dry-run` is the same.
pub(super) async fn show(
    fleet: &Fleet,
    asked: Asked<'_>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let set = fleet.read_set()?;
    let target = plan::resolve_target(&set, asked.to)?;
    let found = fleet.tenants(asked.selection).await?;
    restraints::tell_of_idle_windows(fleet, asked.selection, &found, output);
    let planned = fleet.plan(&set, target, found.clone());
    let (plan, (held, left)) = tokio::try_join!(planned, look(fleet, target))?;
    let plan = restraints::apply(held, asked.windows, plan, output);
    linting::tell(fleet, (&set, &plan), None, output).await;
    let plan = fleet.with_guards(plan, &found).await?;
    let config = &fleet.config.rollout;
    let carried_on = left.earlier.as_ref();
    let carried_on = carried_on.and_then(|of| waves::left(of, config, asked.waves, &plan));
    let (waves, goes_on) = match carried_on {
        Some((waves, run)) => (waves, Some(run)),
        None => (waves::planned(config, asked.waves, &plan), None),
    };
    if let Some(run) = goes_on {
        output.notice(&left.in_words(run));
    }
    let planned = Planned {
        plan: &plan,
        waves: &waves,
        goes_on,
        unlike: &left.unlike,
    };
    let is_refused = linting::is_refused(fleet, (&set, target), asked.selection).await?;
    let write = if is_refused {
        report::refused_plan
    } else {
        report::plan
    };
    output.selecting(asked.selection).result(
        |out, style, verbosity| write(out, planned, &set, style, verbosity),
        &report::plan_document(planned, &set),
    )?;
    if is_refused {
        output.notice("migrate would be refused: the lint denies what is pending (exit code 3)");
        return Ok(ExitCode::Refused);
    }
    Ok(verdict(&plan))
}

/// What an earlier run has left that `migrate` goes on with.
#[derive(Default)]
struct Left {
    earlier: Option<Earlier>,
    halt: Option<HaltRecord>,
    unlike: HashMap<TenantId, LastFailure>,
}

impl Left {
    fn in_words(&self, run: &RunId) -> String {
        let goes_on = format!("migrate goes on with the waves of run {run}");
        let Some(halt) = &self.halt else {
            return goes_on;
        };
        let again = if self.unlike.is_empty() {
            ""
        } else {
            "; it compares the shapes again first"
        };
        format!("{goes_on}, which has halted: {}{again}", halt.reason)
    }
}

/// Reads what holds tenants, and what is left to go on with.
async fn look(fleet: &Fleet, target: Option<Version>) -> anyhow::Result<(Restraints, Left)> {
    let looking = async {
        let control = fleet.control().await?;
        let state = control.state().await?;
        let restraints = restraints::read(fleet, &control, state).await?;
        if state != ControlState::Current {
            return anyhow::Ok((restraints, Left::default()));
        }
        let unfinished = control.last_unfinished_run().await?;
        let mut unlike = control.unlike(state).await?;
        unlike.retain(|tenant, _| !fleet.may_differ(tenant));
        let left = Left {
            earlier: Earlier::of(&control, unfinished.as_ref(), target).await?,
            halt: unfinished.and_then(|run| run.halt),
            unlike,
        };
        Ok((restraints, left))
    };
    looking.await.context("find out who is held")
}

/// Pending migrations are no fault, tenants that cannot be migrated are.
pub(super) fn verdict(plan: &Plan) -> ExitCode {
    if plan.has_unguarded() {
        return ExitCode::Refused;
    }
    let is_refused = |tenant: &TenantPlan| matches!(tenant.action, Action::Refuse(_));
    if plan.tenants.iter().any(is_refused) {
        ExitCode::Divergent
    } else {
        ExitCode::Done
    }
}
