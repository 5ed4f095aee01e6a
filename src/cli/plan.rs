//! `fleet plan`: what `migrate` would do. Writes nothing anywhere.

use super::fleet::{Fleet, Needed};
use super::linting;
use super::options::{Global, PlanArguments, Selection, WaveArguments};
use super::output::Output;
use super::restraints::{self, Windows};
use super::waves;
use crate::migration::Version;
use crate::plan::{self, Action, Plan, TenantPlan};
use crate::report;
use crate::run::ExitCode;

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
    let (plan, held) = tokio::try_join!(planned, restraints::look(fleet))?;
    let plan = restraints::apply(held, asked.windows, plan, output);
    linting::tell(fleet, (&set, &plan), None, output).await;
    let plan = fleet.with_guards(plan, &found).await?;
    let waves = waves::planned(&fleet.config.rollout, asked.waves, &plan);
    let is_refused = linting::is_refused(fleet, (&set, target), asked.selection).await?;
    let write = if is_refused {
        report::refused_plan
    } else {
        report::plan
    };
    output.selecting(asked.selection).result(
        |out, style, verbosity| write(out, (&plan, &waves), &set, style, verbosity),
        &report::plan_document(&plan, &waves, &set),
    )?;
    if is_refused {
        output.notice("migrate would be refused: the lint denies what is pending (exit code 3)");
        return Ok(ExitCode::Refused);
    }
    Ok(verdict(&plan))
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
