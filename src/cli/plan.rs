//! `fleet plan`: what `migrate` would do. Writes nothing anywhere.

use super::fleet::{Fleet, Needed};
use super::options::{Global, PlanArguments, Selection};
use super::output::Output;
use crate::migration::{MigrationSet, Version};
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
    let planned = show(&fleet, &arguments.selection, arguments.to, output).await;
    fleet.close().await?;
    planned
}

/// Makes the plan and shows it; `migrate --dry-run` is the same.
pub(super) async fn show(
    fleet: &Fleet,
    selection: &Selection,
    to: Option<Version>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let set = fleet.read_set()?;
    let target = plan::resolve_target(&set, to)?;
    let tenants = fleet.tenants(selection).await?;
    let plan = fleet.plan(&set, target, tenants).await?;
    print(&plan, &set, &output.selecting(selection))?;
    Ok(verdict(&plan))
}

fn print(plan: &Plan, set: &MigrationSet, output: &Output) -> anyhow::Result<()> {
    output.result(
        |out, style, verbosity| report::plan(out, plan, set, style, verbosity),
        &report::plan_document(plan, set),
    )
}

/// Pending migrations are no fault, tenants that cannot be migrated are.
pub(super) fn verdict(plan: &Plan) -> ExitCode {
    let is_refused = |tenant: &TenantPlan| matches!(tenant.action, Action::Refuse(_));
    if plan.tenants.iter().any(is_refused) {
        ExitCode::Divergent
    } else {
        ExitCode::Done
    }
}
