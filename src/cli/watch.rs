//! `fleet watch`: follows a run that another process executes, from any terminal or machine that reaches the control
//! database. It only reads, and nothing that happens to it reaches the run.

use std::time::{Duration, Instant};

use clap::Args;

use super::error::{self, Refusal};
use super::fleet::{Fleet, Needed};
use super::options::Global;
use super::output::Output;
use crate::ledger::{Control, ControlState, Follower, LedgerError, Look, RunRecord, RunState};
use crate::report::{self, Format, Verbosity, Watching};
use crate::rollout::StopWatch;
use crate::run::{Act, ExitCode, RunId, RunOutcome, StopSignal};

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// `fleet watch`.
#[derive(Args, Debug)]
pub(super) struct WatchArguments {
    /// The run, or the beginning of its name; the one that is under way if left out
    #[arg(value_name = "RUN")]
    pub(super) run: Option<String>,
}

/// Follows the run to its end, or until a signal comes.
pub(super) async fn execute(
    global: &Global,
    arguments: &WatchArguments,
    output: &Output,
    stop: &mut StopWatch,
) -> anyhow::Result<ExitCode> {
    let mut followed = None;
    let watching = watch(global, arguments, output, &mut followed);
    let request = tokio::select! {
        ended = Box::pin(watching) => return ended,
        request = stop.escalated() => request,
    };
    let Some(run) = followed else {
        return Err(Refusal::Stopped(request.signal).into());
    };
    output.notice(&format!(
        "watching has ended, run {run} goes on: fleet watch {run} follows it again"
    ));
    let exit = match request.signal {
        StopSignal::Interrupt => ExitCode::Interrupted,
        StopSignal::Terminate => ExitCode::Terminated,
    };
    output.result(
        |_, _, _| Ok(()),
        &report::runless_document(RunOutcome::Interrupted, exit, None),
    )?;
    Ok(exit)
}

async fn watch(
    global: &Global,
    arguments: &WatchArguments,
    output: &Output,
    followed: &mut Option<RunId>,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Control, output).await?;
    let ended = async {
        let control = fleet.control().await?;
        let run = find(&control, arguments.run.as_deref()).await?;
        *followed = Some(run.id.clone());
        follow(&fleet, control, run, output).await
    }
    .await;
    fleet.close().await?;
    ended
}

async fn find(control: &Control, asked: Option<&str>) -> anyhow::Result<RunRecord> {
    if control.state().await? == ControlState::Missing {
        return Err(LedgerError::Missing(control.schema().to_string()).into());
    }
    match asked {
        Some(prefix) => Ok(control.find_run(prefix).await?),
        None => Ok(control.open_run().await?.ok_or(Refusal::NothingRuns)?),
    }
}

/// How a run came to its end.
enum Ending {
    /// It was closed.
    Closed(RunOutcome),
    /// Its process has died.
    Died,
}

async fn follow(
    fleet: &Fleet,
    mut control: Control,
    run: RunRecord,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let mut follower = Follower::new(run.id.clone());
    let mut watching = Watching::new(output.format, output.screen, output.verbosity);
    if !matches!(run.state, RunState::Finished(_)) {
        watching.begin(&run);
    }
    let mut was_silent = false;
    let ending = loop {
        let look = look(fleet, &mut control, &mut follower, &mut watching).await?;
        watching.look(&look);
        if let Some(ending) = ending(&look) {
            break ending;
        }
        let is_silent = look.silent > look.lease;
        if is_silent && !was_silent {
            let silent = report::duration(look.silent);
            watching.notice(&format!(
                "the run was not heard of for {silent}: its process hangs, or cannot reach the control database"
            ));
        }
        was_silent = is_silent;
        tokio::time::sleep(INTERVAL).await;
    };
    let undelivered = watching.undelivered();
    // the bar goes before the result comes
    drop(watching);
    if let Some(why) = undelivered {
        anyhow::bail!("the events could not be written: {why}");
    }
    conclude(&control, &run.id, &ending, output).await
}

/// A run whose lease nobody holds may be about to take it back, for as long as the lease lasts.
fn ending(look: &Look) -> Option<Ending> {
    match look.run.state {
        RunState::Finished(outcome) => Some(match look.run.exit_code {
            Some(_) => Ending::Closed(outcome),
            None => Ending::Died,
        }),
        RunState::Abandoned if look.silent > look.lease => Some(Ending::Died),
        RunState::Abandoned | RunState::Running => None,
    }
}

/// One look; a control database that is away is asked again, as a run does.
async fn look(
    fleet: &Fleet,
    control: &mut Control,
    follower: &mut Follower,
    watching: &mut Watching,
) -> anyhow::Result<Look> {
    let patience = fleet.config.execution.reconnect_timeout;
    let mut away_since: Option<Instant> = None;
    loop {
        let error = match control.look(follower).await {
            Ok(look) => {
                if let Some(since) = away_since {
                    let away = report::duration(since.elapsed());
                    watching.notice(&format!("the control database answers again after {away}"));
                }
                return Ok(look);
            }
            Err(error) => anyhow::Error::from(error),
        };
        let since = *away_since.get_or_insert_with(|| {
            watching.notice(&format!(
                "{}; asking again for {}",
                error::message(&error),
                report::duration(patience)
            ));
            Instant::now()
        });
        if !error::is_transient(&error) || since.elapsed() >= patience {
            return Err(error);
        }
        tokio::time::sleep(INTERVAL).await;
        // where that fails, the next look says why
        if let Ok(again) = fleet.control().await {
            *control = again;
        }
    }
}

/// Shows the run as `fleet show` does, and ends as it did.
async fn conclude(
    control: &Control,
    run: &RunId,
    ending: &Ending,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let detail = control
        .detail(control.find_run(run.as_str()).await?)
        .await?;
    let exit = match ending {
        Ending::Closed(RunOutcome::Succeeded) => ExitCode::Done,
        Ending::Closed(_) => detail
            .run
            .exit_code
            .and_then(ExitCode::of_code)
            .unwrap_or(ExitCode::Unexpected),
        Ending::Died => ExitCode::Unexpected,
    };
    // quiet means: nothing for people where all is well
    let is_quiet = output.verbosity == Verbosity::Quiet && output.format == Format::Human;
    if !is_quiet || exit != ExitCode::Done {
        output.result(
            |out, style, verbosity| report::show(out, &detail, style, verbosity),
            &report::show_document(&detail),
        )?;
    }
    if matches!(ending, Ending::Died) {
        // an act is typed again, not carried on
        let then = match Act::parse(&detail.run.command) {
            Some(_) => "fleet status shows what is left to do".to_owned(),
            None => format!("fleet resume {run} carries it on"),
        };
        output.notice(&format!("the process of run {run} has died; {then}"));
    }
    Ok(exit)
}
