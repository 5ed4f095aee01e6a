//! What ends a command before it is done. Signals: the first asks for a drain, the second for an abort; one
//! more ends a process whose abort does not come to an end. And its deadline.

use std::future::Future;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::error::Refusal;
use crate::rollout::{Deadline, StopWatch, stop_channel};
use crate::run::{CancelReason, ExitCode, StopSignal};

/// How long an abort may take before a further signal ends the process where it stands.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// How long after the deadline's last call a plan may still be made: only a run that is recorded can be
/// resumed, and nothing but a plan is missing for that.
const PLAN_PATIENCE: Duration = Duration::from_secs(5);

/// What a signal reaches, and a deadline.
pub(super) struct Stop {
    /// Sees the requests.
    pub(super) watch: StopWatch,
    /// When all has to be over.
    pub(super) deadline: Option<Deadline>,
    started: Instant,
}

impl Stop {
    /// The same with a deadline, so long after the start of the process.
    pub(super) fn with_deadline(mut self, span: Option<Duration>) -> Self {
        self.deadline = span.and_then(|span| Deadline::new(self.started, span));
        self
    }

    /// When nothing is waited for any more.
    pub(super) fn last_call(&self) -> Option<Instant> {
        self.deadline.map(|deadline| deadline.last_call())
    }

    /// Does what leads up to a plan. It touches no tenant, so that it may be broken off at any moment.
    pub(super) fn preparing<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> impl Future<Output = anyhow::Result<T>> {
        let ends = self.last_call();
        self.unless_late(ends, work)
    }

    /// The same for the plan itself, which may be a little late.
    pub(super) fn planning<T>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> impl Future<Output = anyhow::Result<T>> {
        let last_call = self.last_call();
        let ends = last_call.map(|last_call| last_call.max(Instant::now()) + PLAN_PATIENCE);
        self.unless_late(ends, work)
    }

    fn unless_late<T>(
        &mut self,
        ends: Option<Instant>,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> impl Future<Output = anyhow::Result<T>> {
        // large, and handed on
        let work = Box::pin(work);
        async move {
            let late = async {
                match ends {
                    Some(ends) => tokio::time::sleep_until(ends).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                done = unless_stopped(&mut self.watch, work) => done,
                () = late => Err(Refusal::Deadline.into()),
            }
        }
    }
}

/// Listens for SIGINT and SIGTERM, and for the SIGHUP of a terminal that went away.
/// `started` is when the process has.
pub(super) fn listen(started: Instant) -> anyhow::Result<Stop> {
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
    Ok(Stop {
        watch,
        deadline: None,
        started,
    })
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
