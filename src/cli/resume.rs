//! `fleet resume`: carries on exactly what an earlier run left.

use std::collections::HashSet;

use super::fleet::{Fleet, Found, Needed};
use super::migrate::{Order, take_lease};
use super::options::{Global, ResumeArguments};
use super::output::Output;
use super::signals::{self, Stop};
use crate::ledger::{Lease, RunRecord, RunState};
use crate::plan;
use crate::report;
use crate::rollout::StopWatch;
use crate::run::{ExitCode, RunOutcome};
use crate::tenant::{Tenant, TenantId};

/// Finds the run and carries it on.
pub(super) async fn execute(
    global: &Global,
    arguments: &ResumeArguments,
    output: &Output,
    mut stop: Stop,
) -> anyhow::Result<ExitCode> {
    let opening = Fleet::open(global, Needed::Tenants(&arguments.selection), output);
    let fleet = signals::unless_stopped(&mut stop.watch, opening).await?;
    let code = resume(&fleet, arguments, output, &mut stop.watch).await;
    fleet.close().await?;
    code
}

async fn resume(
    fleet: &Fleet,
    arguments: &ResumeArguments,
    output: &Output,
    stop: &mut StopWatch,
) -> anyhow::Result<ExitCode> {
    let set = fleet.read_set()?;
    let prepare = async {
        let lease = take_lease(fleet).await?;
        let Some(run) = run_to_resume(&lease, arguments.run.as_deref()).await? else {
            return Ok(None);
        };
        let left = lease.control().unfinished_tenants(&run.id).await?;
        let tenants = fleet.tenants(&arguments.selection).await?;
        Ok(Some((lease, run, left, tenants)))
    };
    let prepared = signals::unless_stopped(stop, prepare).await?;
    let Some((lease, run, left, tenants)) = prepared else {
        output.result(
            |out, _, _| writeln!(out, "Nothing to resume: no run has left anything to do"),
            &report::runless_document(RunOutcome::Succeeded, ExitCode::Done, None),
        )?;
        return Ok(ExitCode::Done);
    };
    let target = plan::resolve_target(&set, run.target)?;
    let tenants = select(tenants, left, &run, output);
    if run.set_fingerprint != set.fingerprint() {
        output.notice(&format!(
            "the migration set has changed since run {}; its target stays {}",
            run.id,
            run.target
                .map_or_else(|| "an empty set".to_owned(), |v| format!("V{v}")),
        ));
    }
    let order = Order {
        command: "resume",
        resumes: Some(run.id),
        selection: arguments.selection.clone(),
        target,
        concurrency: arguments.concurrency,
    };
    order
        .execute(fleet, lease, &set, tenants, output, stop)
        .await
}

async fn run_to_resume(lease: &Lease, asked: Option<&str>) -> anyhow::Result<Option<RunRecord>> {
    let Some(prefix) = asked else {
        return Ok(lease.control().last_unfinished_run().await?);
    };
    let run = lease.control().find_run(prefix).await?;
    let done = run.state == RunState::Finished(RunOutcome::Succeeded);
    Ok((!done).then_some(run))
}

/// The tenants that the run left, as far as the fleet still has them.
fn select(found: Found, left: Vec<TenantId>, run: &RunRecord, output: &Output) -> Found {
    let mut left: HashSet<TenantId> = left.into_iter().collect();
    let (selected, done): (Vec<Tenant>, Vec<Tenant>) = found
        .selected
        .into_iter()
        .partition(|tenant| left.remove(&tenant.id));
    if !left.is_empty() {
        let mut names: Vec<String> = left.iter().map(ToString::to_string).collect();
        names.sort();
        names.truncate(5);
        output.notice(&format!(
            "{} of run {} are not resumed: not selected, or gone from the fleet ({})",
            left.len(),
            run.id,
            names.join(", "),
        ));
    }
    let mut others = found.others;
    others.extend(done);
    Found { selected, others }
}
