//! Stopping in two steps: drain, then abort. Whoever asks holds a [`StopHandle`], the engine the
//! [`StopWatch`].

use tokio::sync::watch;

use crate::run::{CancelReason, StopSignal};

/// How far a stop has gone, and who asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopRequest {
    /// How far.
    pub reason: CancelReason,
    /// The first signal decides what the process exits with.
    pub signal: StopSignal,
}

/// Asks for a stop.
#[derive(Clone, Debug)]
pub struct StopHandle(watch::Sender<Option<StopRequest>>);

/// Sees that a stop was asked for.
#[derive(Clone, Debug)]
pub struct StopWatch(watch::Receiver<Option<StopRequest>>);

/// The two ends of a stop.
pub fn stop_channel() -> (StopHandle, StopWatch) {
    let (sender, receiver) = watch::channel(None);
    (StopHandle(sender), StopWatch(receiver))
}

impl StopHandle {
    /// A signal came: the first drains, every further one aborts. Answers what it asks for.
    pub fn signal(&self, signal: StopSignal) -> CancelReason {
        let reason = if self.0.borrow().is_some() {
            CancelReason::Abort
        } else {
            CancelReason::Drain
        };
        self.0.send_modify(|request| {
            *request = Some(match *request {
                None => StopRequest {
                    reason: CancelReason::Drain,
                    signal,
                },
                Some(first) => StopRequest {
                    reason: CancelReason::Abort,
                    signal: first.signal,
                },
            });
        });
        reason
    }
}

impl StopWatch {
    /// What has been asked for so far.
    pub fn requested(&self) -> Option<StopRequest> {
        *self.0.borrow()
    }

    /// Waits until more is asked for than was seen before. Never returns once nobody can ask.
    pub async fn escalated(&mut self) -> StopRequest {
        loop {
            if self.0.changed().await.is_err() {
                return std::future::pending().await;
            }
            if let Some(request) = *self.0.borrow_and_update() {
                return request;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_only_escalate_and_the_first_signal_is_remembered() {
        let (handle, watch) = stop_channel();
        assert_eq!(watch.requested(), None);
        for (signal, reason) in [
            (StopSignal::Terminate, CancelReason::Drain),
            (StopSignal::Interrupt, CancelReason::Abort),
            (StopSignal::Interrupt, CancelReason::Abort),
        ] {
            handle.signal(signal);
            let expected = StopRequest {
                reason,
                signal: StopSignal::Terminate,
            };
            assert_eq!(watch.requested(), Some(expected));
        }
    }
}
