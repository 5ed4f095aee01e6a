//! `fleet status`: where every tenant is.

use super::fleet::{Fleet, Needed};
use super::options::{Global, StatusArguments};
use super::output::Output;
use crate::ledger::ControlState;
use crate::plan::{Action, FleetStatus, LedgerView, Plan};
use crate::report;
use crate::run::ExitCode;
use crate::tenant::TenantId;

/// How many attempts a single tenant's detail goes back.
const ATTEMPTS_SHOWN: i64 = 10;

/// Reads histories and ledger and shows both together.
pub(super) async fn execute(
    global: &Global,
    arguments: &StatusArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Tenants(&arguments.selection), output).await?;
    let shown = show(&fleet, arguments, output).await;
    fleet.close().await?;
    shown
}

async fn show(
    fleet: &Fleet,
    arguments: &StatusArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let set = fleet.read_set()?;
    let tenants = fleet.tenants(&arguments.selection).await?;
    let plan = fleet.plan(&set, set.head(), tenants).await?;
    let control = fleet.control().await?;
    let has_ledger = control.state().await? != ControlState::Missing;
    let view = if has_ledger {
        control.view(&unsettled(&plan)).await?
    } else {
        LedgerView::default()
    };
    let status = FleetStatus::new(&plan, &view);
    let document = report::status_document(&status);
    if let ([row], [planned]) = (&status.tenants[..], &plan.tenants[..])
        && !arguments.selection.tenants.is_empty()
    {
        let attempts = if has_ledger {
            control.attempts_at(&row.tenant, ATTEMPTS_SHOWN).await?
        } else {
            Vec::new()
        };
        let pending: Vec<String> = planned
            .action
            .pending()
            .iter()
            .filter_map(|version| Some(set.get(*version)?.to_string()))
            .collect();
        output.result(
            |out, style, _| report::status_detail(out, row, &pending, &attempts, style),
            &document,
        )?;
    } else {
        output.selecting(&arguments.selection).result(
            |out, style, verbosity| report::status(out, &status, style, verbosity),
            &document,
        )?;
    }
    Ok(super::plan::verdict(&plan))
}

/// The tenants that the ledger may have something to say about.
fn unsettled(plan: &Plan) -> Vec<&TenantId> {
    plan.tenants
        .iter()
        .filter(|tenant| tenant.action != Action::UpToDate)
        .map(|tenant| &tenant.tenant.id)
        .collect()
}
