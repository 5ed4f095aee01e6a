//! Signals: the first asks for a drain, every further one for an abort.

use std::future::Future;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use super::error::Refusal;
use crate::rollout::{StopWatch, stop_channel};
use crate::run::StopSignal;

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
