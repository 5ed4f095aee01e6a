//! The command line: what can be typed, which command it means, and what the process exits with.

mod act_options;
mod acts;
mod approve;
mod compare;
mod control;
mod deed;
mod doctor;
mod embedded;
mod error;
mod failures;
mod fixes;
mod fleet;
mod gate;
mod guards;
mod histories;
mod hold;
mod isolation;
mod lease;
mod likeness;
mod lint;
mod linting;
mod listed;
mod migrate;
mod open;
mod options;
mod output;
mod plan;
mod reference;
mod rehearse;
mod restraints;
mod resume;
mod roles;
mod run_options;
mod runs;
mod seen;
mod select;
mod settle;
mod signals;
mod stable;
mod status;
mod tenants;
mod verify;
mod watch;
mod waves;

use std::process::ExitCode;

use clap::Parser;
use tokio::time::Instant;

use crate::crash;
use crate::pg;
use crate::run;
use options::{Command, Options};
use output::Output;
use signals::unless_stopped;

/// Parses the command line and does what it says.
pub fn run() -> ExitCode {
    // what a deadline is measured from
    let started = Instant::now();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(error) => return usage(&error),
    };
    let output = Output::new(&options.global);
    // one thread: the work is the servers', and each wake-up of another thread costs a switch; the
    // report has a thread of its own
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output.fail(&anyhow::Error::new(error).context("start the runtime")),
    };
    let code = match runtime.block_on(dispatch(options, started, &output)) {
        Ok(code) => ExitCode::from(code.code()),
        Err(error) => output.fail(&error),
    };
    // a connection attempt that hangs in a system call must not keep the process
    runtime.shutdown_background();
    code
}

/// Who does something, for those who find it in the ledger: user, host and process.
fn started_by() -> String {
    let system = rustix::system::uname();
    format!(
        "{}@{} (pid {})",
        pg::os_user(),
        system.nodename().to_string_lossy(),
        std::process::id()
    )
}

/// `--help` and `--version` are answers, everything else is exit 2.
fn usage(error: &clap::Error) -> ExitCode {
    // a closed stream is nobody's problem here
    let _ = error.print();
    if !error.use_stderr() {
        return ExitCode::SUCCESS;
    }
    if options::asks_for_a_document(std::env::args()) {
        output::write_usage_document(&error.to_string());
    }
    ExitCode::from(run::ExitCode::Usage.code())
}

/// A run stops by itself when it is asked to; everything else may be broken off at any moment.
#[expect(clippy::too_many_lines, reason = "a line or three for each command")]
async fn dispatch(
    options: Options,
    started: Instant,
    output: &Output,
) -> anyhow::Result<run::ExitCode> {
    let Options { global, command } = options;
    let mut stop = signals::listen(started)?;
    crash::arm();
    crash::point("K0");
    let (global, watch) = (&global, &mut stop.watch);
    match command {
        Command::Migrate(arguments) => {
            Box::pin(migrate::execute(global, &arguments, output, stop)).await
        }
        Command::Resume(arguments) => resume::execute(global, &arguments, output, stop).await,
        Command::Rehearse(arguments) => {
            Box::pin(rehearse::execute(global, &arguments, output, stop)).await
        }
        Command::Plan(arguments) => {
            unless_stopped(watch, plan::execute(global, &arguments, output)).await
        }
        Command::Status(arguments) => {
            unless_stopped(watch, status::execute(global, &arguments, output)).await
        }
        Command::Verify(arguments) => {
            Box::pin(verify::execute(global, &arguments, output, stop)).await
        }
        Command::Tenants(arguments) => {
            unless_stopped(watch, tenants::execute(global, &arguments, output)).await
        }
        Command::Lint(arguments) => {
            unless_stopped(watch, lint::execute(global, &arguments, output)).await
        }
        Command::Runs(runs) => unless_stopped(watch, runs::list(global, &runs, output)).await,
        Command::Approve(arguments) => {
            unless_stopped(watch, approve::execute(global, &arguments, output)).await
        }
        Command::Show(arguments) => {
            unless_stopped(watch, runs::show(global, &arguments, output)).await
        }
        Command::Failures(arguments) => {
            unless_stopped(watch, failures::execute(global, &arguments, output)).await
        }
        Command::Gate(arguments) => {
            unless_stopped(watch, gate::execute(global, &arguments, output)).await
        }
        Command::Watch(arguments) => watch::execute(global, &arguments, output, watch).await,
        Command::Reconcile(arguments) => {
            unless_stopped(watch, control::reconcile(global, &arguments, output)).await
        }
        Command::Roles(arguments) => {
            unless_stopped(watch, roles::execute(global, &arguments, output)).await
        }
        Command::Doctor => unless_stopped(watch, doctor::execute(global, output)).await,
        Command::Settle(arguments) => {
            unless_stopped(watch, settle::execute(global, &arguments, output)).await
        }
        Command::Repair(arguments) => {
            Box::pin(acts::repair(global, &arguments, output, stop)).await
        }
        Command::Skip(arguments) => Box::pin(acts::skip(global, &arguments, output, stop)).await,
        Command::Baseline(arguments) => {
            Box::pin(acts::baseline(global, &arguments, output, stop)).await
        }
        Command::AcceptDivergent(arguments) => {
            Box::pin(acts::accept_divergent(global, &arguments, output, stop)).await
        }
        Command::Hold(hold) => unless_stopped(watch, hold::hold(global, &hold, output)).await,
        Command::Release(end) => unless_stopped(watch, hold::release(global, &end, output)).await,
        Command::Pin(pin) => unless_stopped(watch, hold::pin(global, &pin, output)).await,
        Command::Init => unless_stopped(watch, control::init(global, output)).await,
        Command::Embedded(arguments) => {
            unless_stopped(watch, embedded::execute(global, &arguments, output)).await
        }
    }
}
