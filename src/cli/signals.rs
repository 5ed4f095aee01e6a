//! Signals: the first asks for a drain, every further one for an abort.

use std::future::Future;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::rollout::{StopWatch, stop_channel};
use crate::run::{ExitCode, StopSignal};

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
        loop {
            let stop = tokio::select! {
                _ = interrupt.recv() => StopSignal::Interrupt,
                _ = terminate.recv() => StopSignal::Terminate,
                _ = hangup.recv() => StopSignal::Terminate,
            };
            handle.signal(stop);
        }
    });
    Ok(Stop { watch })
}

/// Does something that may be broken off at any moment.
///
/// # Errors
/// The exit code, where a signal came first.
pub(super) async fn unless_stopped<T>(
    watch: &mut StopWatch,
    work: impl Future<Output = T>,
) -> Result<T, ExitCode> {
    tokio::select! {
        done = work => Ok(done),
        request = watch.escalated() => Err(exit_code(request.signal)),
    }
}

/// What the process exits with after a signal.
pub(super) fn exit_code(signal: StopSignal) -> ExitCode {
    match signal {
        StopSignal::Interrupt => ExitCode::Interrupted,
        StopSignal::Terminate => ExitCode::Terminated,
    }
}
