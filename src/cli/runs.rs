//! `fleet runs` and `fleet show`: what the ledger remembers.

use super::fleet::{Fleet, Needed};
use super::options::{Global, RunsArguments, ShowArguments};
use super::output::Output;
use crate::ledger::{Control, ControlState, LedgerError};
use crate::report;
use crate::run::ExitCode;

/// Lists the newest runs.
pub(super) async fn list(
    global: &Global,
    arguments: &RunsArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Control, output).await?;
    let runs = async {
        let control = fleet.control().await?;
        match control.state().await? {
            ControlState::Missing => Ok(Vec::new()),
            ControlState::Older(_) | ControlState::Current => {
                anyhow::Ok(control.runs(i64::from(arguments.limit)).await?)
            }
        }
    }
    .await;
    fleet.close().await?;
    let runs = runs?;
    output.result(
        |out, style, _| report::runs(out, &runs, style),
        &report::runs_document(&runs),
    )?;
    Ok(ExitCode::Done)
}

/// Shows one run.
pub(super) async fn show(
    global: &Global,
    arguments: &ShowArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Control, output).await?;
    let detail = async {
        let control = fleet.control().await?;
        let run = find(&control, arguments.run.as_deref()).await?;
        anyhow::Ok(control.detail(run).await?)
    }
    .await;
    fleet.close().await?;
    let detail = detail?;
    output.result(
        |out, style, verbosity| report::show(out, &detail, style, verbosity),
        &report::show_document(&detail),
    )?;
    Ok(ExitCode::Done)
}

async fn find(
    control: &Control,
    asked: Option<&str>,
) -> Result<crate::ledger::RunRecord, LedgerError> {
    let missing = || LedgerError::Missing(control.schema().to_string());
    if control.state().await? == ControlState::Missing {
        return Err(missing());
    }
    match asked {
        Some(prefix) => control.find_run(prefix).await,
        None => control.runs(1).await?.pop().ok_or_else(missing),
    }
}
