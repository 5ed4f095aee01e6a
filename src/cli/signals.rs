//! Signals: the first asks for a drain, the second for an abort; one more ends a process whose abort does
//! not come to an end.

use std::future::Future;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::error::Refusal;
use crate::rollout::{StopWatch, stop_channel};
use crate::run::{CancelReason, ExitCode, StopSignal};

/// How long an abort may take before a further signal ends the process where it stands.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// What a signal reaches.
pub(super) struct Stop {
    /// Sees the requests.
    pub(super) watch: StopWatch,
}

/// Listens for SIGINT and SIGTERM, and for the SIGHUP of a terminal that went away.
pub(super) fn listen() -> anyhow::Result<Stop> {
    let (handle, watch) = stop_channel();
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
    tokio::spawn(async move {
        let mut aborted_at: Option<Instant> = None;
        loop {
            let stop = tokio::select! {
                _ = interrupt.recv() => StopSignal::Interrupt,
                _ = terminate.recv() => StopSignal::Terminate,
                _ = hangup.recv() => StopSignal::Terminate,
            };
            if let Some(aborted_at) = aborted_at
                && aborted_at.elapsed() >= ABORT_PATIENCE
            {
                end_at_once(stop);
            }
            if handle.signal(stop) == CancelReason::Abort {
                aborted_at.get_or_insert_with(Instant::now);
            }
        }
    });
    Ok(Stop { watch })
}

/// The process ends where it stands, as by SIGKILL: nothing that it leaves needs a hand.
#[expect(
    clippy::exit,
    reason = "whatever keeps the run from its end would keep it from a return too"
)]
fn end_at_once(signal: StopSignal) -> ! {
    // a closed stderr is nobody's problem here
    let _ = writeln!(
        io::stderr(),
        "stopped at once, with work in flight; fleet resume carries on"
    );
    let code = match signal {
        StopSignal::Interrupt => ExitCode::Interrupted,
        StopSignal::Terminate => ExitCode::Terminated,
    };
    std::process::exit(code.code().into())
}

/// Does something that may be broken off at any moment, because it touches no tenant.
pub(super) async fn unless_stopped<T>(
    watch: &mut StopWatch,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::select! {
        done = work => done,
        request = watch.escalated() => Err(Refusal::Stopped(request.signal).into()),
    }
}
