//! `fleet approve`: lets the next wave of a run begin.

use super::error::Refusal;
use super::fleet::{Fleet, Needed};
use super::options::{ApproveArguments, Global};
use super::output::Output;
use super::started_by;
use crate::ledger::{Control, ControlState, LedgerError, RunRecord, RunState};
use crate::report;
use crate::run::{ExitCode, WaveState};

/// How many runs are looked at for one that waits.
const LOOKED_AT: i64 = 20;

/// Approves, and says what comes of it.
pub(super) async fn execute(
    global: &Global,
    arguments: &ApproveArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Control, output).await?;
    let approved = async {
        let control = fleet.control().await?;
        if control.state().await? == ControlState::Missing {
            return Err(LedgerError::Missing(control.schema().to_string()).into());
        }
        approve(&control, arguments.run.as_deref()).await
    }
    .await;
    fleet.close().await?;
    let (run, wave) = approved?;
    let is_waiting = run.state == RunState::Running;
    output.result(
        |out, style, _| report::approved(out, &run.id, &wave, is_waiting, style),
        &report::approved_document(&run.id, &wave),
    )?;
    Ok(ExitCode::Done)
}

async fn approve(control: &Control, asked: Option<&str>) -> anyhow::Result<(RunRecord, String)> {
    let run = match asked {
        Some(prefix) => control.find_run(prefix).await?,
        None => last_waiting(control).await?.ok_or(Refusal::NobodyWaits)?,
    };
    match control.approve(&run.id, &started_by()).await? {
        Some(wave) => Ok((run, wave)),
        None => Err(Refusal::NotWaiting(run.id.to_string()).into()),
    }
}

async fn last_waiting(control: &Control) -> Result<Option<RunRecord>, LedgerError> {
    for run in control.runs(LOOKED_AT).await? {
        let waves = control.waves(&run.id).await?;
        let waits =
            |state, approved: &Option<String>| state == WaveState::Awaiting && approved.is_none();
        if waves
            .iter()
            .any(|wave| waits(wave.state, &wave.approved_by))
        {
            return Ok(Some(run));
        }
    }
    Ok(None)
}
