//! `fleet resume`: carries on exactly what an earlier run left.

use std::collections::HashSet;

use anyhow::Context;

use super::error::Refusal;
use super::fleet::{Fleet, Found, Needed};
use super::lease;
use super::migrate::{Ending, Order};
use super::open::find_writable;
use super::options::{Global, ResumeArguments};
use super::output::Output;
use super::restraints::Windows;
use super::signals::Stop;
use crate::ledger::{Lease, RunRecord, RunState, TakeOver};
use crate::migration::MigrationSet;
use crate::plan;
use crate::report::{self, Format};
use crate::run::{ExitCode, RunOutcome};
use crate::tenant::{Tenant, TenantId};

/// Finds the run and carries it on.
pub(super) async fn execute(
    global: &Global,
    arguments: &ResumeArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let mut stop = stop.with_deadline(arguments.deadline);
    let opening = Fleet::open(global, Needed::Tenants(&arguments.selection), output);
    let fleet = stop.preparing(opening).await?;
    let code = resume(&fleet, arguments, output, &mut stop).await;
    fleet.close().await?;
    code
}

async fn resume(
    fleet: &Fleet,
    arguments: &ResumeArguments,
    output: &Output,
    stop: &mut Stop,
) -> anyhow::Result<ExitCode> {
    let set = fleet.read_set()?;
    let prepare = async {
        fleet.check_writable().await?;
        let lease = lease::take(fleet, arguments.wait, None, output).await?;
        let Some(run) = run_to_resume(&lease, arguments.run.as_deref()).await? else {
            return Ok(None);
        };
        let left = lease.control().unfinished_tenants(&run.id).await?;
        let tenants = find_writable(fleet, &arguments.selection, output).await?;
        Ok(Some((lease, run, left, tenants)))
    };
    let prepared = stop.preparing(prepare).await?;
    let Some((lease, run, left, tenants)) = prepared else {
        if output.format != Format::Human {
            output.notice("nothing to resume: no recorded run has left anything to do; fleet migrate plans anew");
        }
        output.result(
            |out, _, _| writeln!(out, "Nothing to resume: no recorded run has left anything to do; fleet migrate plans anew"),
            &report::runless_document(RunOutcome::Succeeded, ExitCode::Done, None),
        )?;
        return Ok(ExitCode::Done);
    };
    let target = plan::resolve_target(&set, run.target)
        .with_context(|| format!("run {} cannot be carried on with these files", run.id))?;
    let (tenants, left_out) = select(tenants, left);
    if let Some(names) = left_out.names() {
        if tenants.selected.is_empty() {
            return Err(Refusal::NothingLeftHere {
                run: run.id.to_string(),
                names,
            }
            .into());
        }
        output.notice(&format!(
            "{} of run {} stay as they are: not selected, or not found by the config now ({names})",
            left_out.0.len(),
            run.id,
        ));
    }
    notice_changed_set(&run, &set, output);
    let order = Order {
        command: "resume",
        resumes: Some(run.id),
        takes_over: if left_out.0.is_empty() {
            TakeOver::Resumed
        } else {
            TakeOver::None
        },
        selection: arguments.selection.clone(),
        target,
        concurrency: arguments.concurrency,
        windows: Windows::unless(arguments.ignore_windows),
        ending: Ending::Told,
    };
    Box::pin(order.execute(fleet, lease, &set, tenants, output, stop)).await
}

fn notice_changed_set(run: &RunRecord, set: &MigrationSet, output: &Output) {
    if run.set_fingerprint != set.fingerprint() {
        output.notice(&format!(
            "the migration set has changed since run {}; its target stays {}",
            run.id,
            run.target
                .map_or_else(|| "an empty set".to_owned(), |v| format!("V{v}")),
        ));
    }
}

async fn run_to_resume(lease: &Lease, asked: Option<&str>) -> anyhow::Result<Option<RunRecord>> {
    let Some(prefix) = asked else {
        return Ok(lease.control().last_unfinished_run().await?);
    };
    let run = lease.control().find_run(prefix).await?;
    let done = run.state == RunState::Finished(RunOutcome::Succeeded);
    Ok((!done).then_some(run))
}

/// Tenants that the run left and that are not carried on.
struct LeftOut(Vec<TenantId>);

impl LeftOut {
    fn names(&self) -> Option<String> {
        const SHOWN: usize = 5;
        let names: Vec<String> = self.0.iter().take(SHOWN).map(ToString::to_string).collect();
        let more = self.0.len().saturating_sub(SHOWN);
        match (names.is_empty(), more) {
            (true, _) => None,
            (false, 0) => Some(names.join(", ")),
            (false, more) => Some(format!("{} and {more} more", names.join(", "))),
        }
    }
}

/// The tenants that the run left, as far as the fleet has them and the command line selects them.
fn select(found: Found, left: Vec<TenantId>) -> (Found, LeftOut) {
    let mut left: HashSet<TenantId> = left.into_iter().collect();
    let (selected, done): (Vec<Tenant>, Vec<Tenant>) = found
        .selected
        .into_iter()
        .partition(|tenant| left.remove(&tenant.id));
    let mut others = found.others;
    others.extend(done);
    let mut left: Vec<TenantId> = left.into_iter().collect();
    left.sort();
    (Found { selected, others }, LeftOut(left))
}
