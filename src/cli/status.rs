//! `fleet status`: where every tenant is.

use super::fleet::{Fleet, Needed};
use super::options::{Global, StatusArguments};
use super::output::Output;
use super::restraints::{self, Windows};
use crate::ledger::ControlState;
use crate::plan::{Action, FleetStatus, LedgerView, Plan};
use crate::report;
use crate::run::ExitCode;
use crate::tenant::TenantId;

/// How many attempts a single tenant's detail goes back.
const ATTEMPTS_SHOWN: i64 = 10;
/// How many holds and pins it goes back.
const HOLDS_SHOWN: i64 = 5;

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
    restraints::tell_of_idle_windows(fleet, &arguments.selection, &tenants, output);
    let control = fleet.control().await?;
    let state = control.state().await?;
    let planned = fleet.plan(&set, set.head(), tenants);
    let (plan, held) = tokio::try_join!(planned, restraints::read(fleet, &control, state))?;
    let plan = restraints::apply(held, Windows::Observed, plan, output);
    let has_ledger = state != ControlState::Missing;
    let view = if has_ledger {
        let mut unlike = control.unlike(state).await?;
        unlike.retain(|tenant, _| !fleet.may_differ(tenant));
        LedgerView {
            unlike,
            ..control.view(&unsettled(&plan)).await?
        }
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
            .outstanding()
            .iter()
            .filter_map(|version| Some(set.get(*version)?.to_string()))
            .collect();
        let holds = control.holds_of(state, &row.tenant, HOLDS_SHOWN).await?;
        let recorded = report::Recorded {
            attempts: &attempts,
            holds: &holds,
        };
        output.result(
            |out, style, _| report::status_detail(out, row, &pending, recorded, style),
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
