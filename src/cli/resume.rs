//! `fleet resume`: carries on exactly what an earlier run left.

use std::collections::HashSet;

use anyhow::Context;

use super::error::Refusal;
use super::fleet::{Fleet, Found, Needed};
use super::lease;
use super::likeness::LeftShapes;
use super::linting;
use super::migrate::{Ending, Order};
use super::open::find_writable;
use super::options::{Global, ResumeArguments};
use super::output::Output;
use super::restraints::Windows;
use super::signals::Stop;
use super::waves::WaveSource;
use crate::ledger::{Control, Lease, LeftWave, RunRecord, RunState, TakeOver};
use crate::migration::MigrationSet;
use crate::plan;
use crate::report::{self, Format};
use crate::run::{Act, ExitCode, RunOutcome, WaveState};
use crate::tenant::{Tenant, TenantId};

/// Finds the run and carries it on.
pub(super) async fn execute(
    global: &Global,
    arguments: &ResumeArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let mut stop = stop.with_deadline(arguments.running.deadline);
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
    let judging = linting::refuse(fleet, (&set, set.head()), &arguments.selection);
    stop.preparing(judging).await?;
    let prepare = async {
        fleet.check_writable().await?;
        let lease = lease::take(fleet, arguments.running.wait, None, output).await?;
        let Some(run) = run_to_resume(&lease, arguments.run.as_deref()).await? else {
            return Ok(None);
        };
        let waves = lease.control().left_waves(&run.id).await?;
        let what_changed =
            may_go_on(lease.control(), &run, &waves, &set, arguments, output).await?;
        let left = lease.control().unfinished_tenants(&run.id).await?;
        let shapes = LeftShapes::of(lease.control(), Some(&run.id)).await?;
        let tenants = find_writable(fleet, &arguments.selection, output).await?;
        let halted = (waves, what_changed);
        Ok(Some((lease, run, (left, shapes), tenants, halted)))
    };
    let prepared = stop.preparing(prepare).await?;
    let Some((lease, run, (left, left_shapes), tenants, (waves, what_changed))) = prepared else {
        return nothing_to_resume(output);
    };
    let target = plan::resolve_target(&set, run.target)
        .with_context(|| format!("run {} cannot be carried on with these files", run.id))?;
    let to_compare = left_shapes.to_compare(fleet, &waves, &left);
    let (tenants, left_out) = select(tenants, left, &to_compare);
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
        deed: None,
        resumes: Some(run.id),
        takes_over: left_out.takes_over(),
        selection: arguments.selection.clone(),
        target,
        concurrency: arguments.running.concurrency,
        waves: WaveSource::Left(waves),
        left_shapes,
        what_changed,
        windows: Windows::unless(arguments.ignore_windows),
        ending: Ending::Told,
    };
    Box::pin(order.execute(fleet, lease, &set, tenants, output, stop)).await
}

fn nothing_to_resume(output: &Output) -> anyhow::Result<ExitCode> {
    if output.format != Format::Human {
        output.notice(
            "nothing to resume: no recorded run has left anything to do; fleet migrate plans anew",
        );
    }
    output.result(
        |out, _, _| writeln!(out, "Nothing to resume: no recorded run has left anything to do; fleet migrate plans anew"),
        &report::runless_document(RunOutcome::Succeeded, ExitCode::Done, None),
    )?;
    Ok(ExitCode::Done)
}

/// A run that waits for an approval goes on when it is given, and one that was halted when something has changed:
/// the same files on the same tenants would halt it again. Answers what somebody says has changed.
async fn may_go_on(
    control: &Control,
    run: &RunRecord,
    waves: &[LeftWave],
    set: &MigrationSet,
    arguments: &ResumeArguments,
    output: &Output,
) -> anyhow::Result<Option<String>> {
    let said = arguments.what_changed.clone();
    let awaiting = waves.iter().map(|wave| &wave.record);
    let mut awaiting = awaiting.filter(|wave| wave.state == WaveState::Awaiting);
    if let Some(wave) = awaiting.find(|wave| wave.approved_by.is_none()) {
        return Err(Refusal::NotApproved {
            run: run.id.to_string(),
            wave: wave.terms.name.clone(),
        }
        .into());
    }
    let Some(halt) = run.halt.as_ref().filter(|halt| halt.by != "gate") else {
        return Ok(said);
    };
    // what was done by hand shows when the tenants are compared again, before anybody else is touched
    if said.is_some() || halt.by == "shapes" || run.set_fingerprint != set.fingerprint() {
        return Ok(said);
    }
    if let Some(act) = control.act_since(&run.id).await? {
        return Ok(Some(format!("the act of run {act}")));
    }
    let question = format!(
        "Run {} was halted: {}\nThe migration files are the same. What has changed since? ",
        run.id, halt.reason
    );
    let answer = output.ask(&question).await;
    if answer.is_none() && halt.by == "budget" {
        // it may be tenants that were mended, and the budget still holds
        output.notice(&format!(
            "run {} was halted, and the migration files are the same since: {}; --what-changed says what has changed",
            run.id, halt.reason
        ));
        return Ok(None);
    }
    let nothing = || Refusal::NothingChanged {
        run: run.id.to_string(),
        reason: halt.reason.clone(),
    };
    Ok(Some(answer.ok_or_else(nothing)?))
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
    if Act::parse(&run.command).is_some() {
        return Err(Refusal::NotResumable {
            run: run.id.to_string(),
            command: run.command,
        }
        .into());
    }
    let done = run.state == RunState::Finished(RunOutcome::Succeeded);
    Ok((!done).then_some(run))
}

/// Tenants that the run left and that are not carried on.
struct LeftOut(Vec<TenantId>);

impl LeftOut {
    /// What is left of the run that is carried on.
    fn takes_over(&self) -> TakeOver {
        if self.0.is_empty() {
            TakeOver::Resumed
        } else {
            TakeOver::None
        }
    }

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

/// The tenants that the run left, and those that they are to be compared with, as far as the fleet has them and the
/// command line selects them.
fn select(found: Found, left: Vec<TenantId>, to_compare: &HashSet<TenantId>) -> (Found, LeftOut) {
    let mut left: HashSet<TenantId> = left.into_iter().collect();
    let (selected, done): (Vec<Tenant>, Vec<Tenant>) = found
        .selected
        .into_iter()
        .partition(|tenant| left.remove(&tenant.id) || to_compare.contains(&tenant.id));
    let mut others = found.others;
    others.extend(done);
    let mut left: Vec<TenantId> = left.into_iter().collect();
    left.sort();
    (Found { selected, others }, LeftOut(left))
}
