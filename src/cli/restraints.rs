//! What holds tenants when a plan is made: holds and pins of the control schema, windows of the config, and the
//! time by the control database's clock.

use anyhow::Context;

use super::fleet::{Fleet, Found};
use super::options::Selection;
use super::output::Output;
use crate::ledger::{Control, ControlState};
use crate::plan::{Action, Held, HeldBy, HoldKind, Plan, Restraints, WindowRule};
use crate::report;

/// Whether tenants are left alone outside of their windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Windows {
    /// They are.
    Observed,
    /// An emergency does not wait for them.
    Ignored,
}

impl Windows {
    /// As `--ignore-windows` says.
    pub(super) fn unless(ignored: bool) -> Self {
        if ignored {
            Self::Ignored
        } else {
            Self::Observed
        }
    }
}

/// Reads what holds tenants now.
pub(super) async fn read(
    fleet: &Fleet,
    control: &Control,
    state: ControlState,
) -> anyhow::Result<Restraints> {
    let (now, holds) = tokio::try_join!(control.now(), control.holds(state))?;
    Ok(Restraints {
        now,
        holds,
        windows: fleet.config.rollout.windows.clone(),
    })
}

/// The same for a command that has not been at the control database yet.
pub(super) async fn look(fleet: &Fleet) -> anyhow::Result<Restraints> {
    let looking = async {
        let control = fleet.control().await?;
        let state = control.state().await?;
        read(fleet, &control, state).await
    };
    looking.await.context("find out who is held")
}

/// Applies them to a plan. Says who would have been left alone, where windows are ignored.
pub(super) fn apply(
    mut restraints: Restraints,
    windows: Windows,
    mut plan: Plan,
    output: &Output,
) -> Plan {
    if windows == Windows::Ignored && !restraints.windows.is_empty() {
        let mut observed = plan.clone();
        restraints.apply(&mut observed);
        let outside = observed
            .tenants
            .iter()
            .filter(|tenant| matches!(&tenant.action, Action::Hold(held) if is_outside(held)));
        output.notice(&format!(
            "windows are ignored: {} outside of theirs",
            report::tenants_are(outside.count())
        ));
        restraints.windows.clear();
    }
    restraints.apply(&mut plan);
    plan
}

/// The same for an act: who names a tenant to mend it does not wait for its hold or its windows, but what then
/// is pending ends at its pin.
pub(super) fn apply_to_act(mut restraints: Restraints, mut plan: Plan) -> Plan {
    restraints.windows.clear();
    restraints.holds.retain(|hold| hold.kind != HoldKind::Hold);
    restraints.apply(&mut plan);
    plan
}

fn is_outside(held: &Held) -> bool {
    matches!(held.by, HeldBy::Window(_))
}

/// A window that is about nobody is a typo: those that it was meant for are migrated at any time.
pub(super) fn tell_of_idle_windows(
    fleet: &Fleet,
    selection: &Selection,
    found: &Found,
    output: &Output,
) {
    // of databases that were not looked at nothing is known
    if !selection.databases.is_empty() {
        return;
    }
    let is_idle = |rule: &WindowRule| {
        let mut all = found.selected.iter().chain(&found.others);
        !all.any(|tenant| rule.is_about(tenant))
    };
    for (index, rule) in fleet.config.rollout.windows.iter().enumerate() {
        if is_idle(rule) {
            output.notice(&format!(
                "rollout.windows[{index}] ({}) is about no tenant of the fleet: fleet tenants lists their labels",
                rule.window
            ));
        }
    }
}
