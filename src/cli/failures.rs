//! `fleet failures`: what went wrong in a run, cause by cause, and whose tenants it hit.

use clap::Args;

use super::error::{self, Refusal};
use super::fleet::{Fleet, Needed};
use super::options::Global;
use super::output::Output;
use crate::ledger::{Control, ControlState, LedgerError, RunDetail, RunRecord};
use crate::report::{self, Cause, Known};
use crate::run::ExitCode;
use crate::tenant::TenantId;

/// `fleet failures`.
#[derive(Args, Debug)]
pub(super) struct FailuresArguments {
    /// The run, or the beginning of its name; the last one with failures if left out
    #[arg(value_name = "RUN")]
    pub(super) run: Option<String>,

    /// Print the tenants of this cause, one a line, for --tenants-from of another command
    #[arg(long, value_name = "CAUSE")]
    pub(super) tenants_of: Option<String>,
}

/// Shows the causes, or the tenants of one.
pub(super) async fn execute(
    global: &Global,
    arguments: &FailuresArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Control, output).await?;
    let found = find(&fleet, arguments.run.as_deref()).await;
    fleet.close().await?;
    let found = found?;
    match (found, &arguments.tenants_of) {
        (Some(found), Some(typed)) => write_tenants(&found, typed, output)?,
        (Some(found), None) => output.result(
            |out, style, verbosity| {
                report::failures(out, &found.run, &found.causes, style, verbosity)
            },
            &report::failures_document(&found.run, &found.causes),
        )?,
        (None, Some(typed)) => {
            return Err(Refusal::NoSuchCause {
                typed: typed.clone(),
                known: "no recorded run has failures".to_owned(),
            }
            .into());
        }
        (None, None) => output.result(
            |out, style, _| report::no_failures(out, style),
            &report::no_failures_document(),
        )?,
    }
    Ok(ExitCode::Done)
}

struct Found {
    run: RunRecord,
    causes: Vec<Cause>,
}

async fn find(fleet: &Fleet, asked: Option<&str>) -> anyhow::Result<Option<Found>> {
    let control = fleet.control().await?;
    if control.state().await? == ControlState::Missing {
        return Err(LedgerError::Missing(control.schema().to_string()).into());
    }
    let run = match asked {
        Some(prefix) => Some(control.find_run(prefix).await?),
        None => control.last_run_with_failures().await?,
    };
    let Some(run) = run else { return Ok(None) };
    let detail = control.detail(run).await?;
    let causes = causes(fleet, &control, &detail).await?;
    Ok(Some(Found {
        run: detail.run,
        causes,
    }))
}

async fn causes(
    fleet: &Fleet,
    control: &Control,
    detail: &RunDetail,
) -> anyhow::Result<Vec<Cause>> {
    let tenants: Vec<&TenantId> = detail.tenants.iter().map(|row| &row.tenant).collect();
    let state = control.state().await?;
    let known = Known {
        versions: control.known_versions(&tenants).await?,
        unlike: control.unlike(state).await?.into_keys().collect(),
    };
    // whoever looks from another machine may not have the files
    let files = fleet.read_set().map_err(|error| error::message(&error));
    let files = files.as_ref().map(AsRef::as_ref).map_err(String::as_str);
    Ok(report::causes(detail, &known, files))
}

/// The words and nothing else go to stdout.
fn write_tenants(found: &Found, typed: &str, output: &Output) -> anyhow::Result<()> {
    let Some(cause) = found
        .causes
        .iter()
        .find(|cause| cause.name.is_called(typed))
    else {
        let known = match report::cause_names(&found.causes) {
            none if none.is_empty() => format!("run {} has no failures", found.run.id),
            names => format!("run {} has {names}", found.run.id),
        };
        let typed = typed.to_owned();
        return Err(Refusal::NoSuchCause { typed, known }.into());
    };
    let mended = cause.mended.len();
    if mended > 0 {
        let all = cause.group.tenants.len();
        let what = if cause.is_shape {
            "are like the others since"
        } else {
            "got past it since"
        };
        output.notice(&format!(
            "{mended} of the {all} tenants of this cause {what} and are left out"
        ));
    }
    output.result(
        |out, _, _| report::tenant_words(out, cause),
        &report::tenants_of_document(&found.run, cause),
    )
}
