//! Taking the lease: the right to write to the ledger.

use std::time::{Duration, Instant};

use super::error;
use super::fleet::Fleet;
use super::output::Output;
use crate::ledger::{Control, ControlState, Lease, LeaseTerms};

/// How soon the lease is asked for again after the connection was lost.
const TAKE_AGAIN: Duration = Duration::from_millis(200);

/// A connection to the control database, and what was found there.
pub(super) struct Ahead {
    control: Control,
    found: ControlState,
}

/// Connects and looks at the control schema beside other work, and writes nothing. None where that fails: taking
/// the lease will say why.
pub(super) async fn look_ahead(fleet: &Fleet) -> Option<Ahead> {
    let control = fleet.control().await.ok()?;
    let found = control.state().await.ok()?;
    Some(Ahead { control, found })
}

/// The control schema is brought up to date, then the lease taken: planning under it sees nobody else's run.
pub(super) async fn take(
    fleet: &Fleet,
    wait: Option<Duration>,
    mut ahead: Option<Ahead>,
    output: &Output,
) -> anyhow::Result<Lease> {
    let terms = LeaseTerms {
        lasts: fleet.config.control.lease,
        wait: wait.unwrap_or(fleet.config.control.wait),
    };
    let deadline = Instant::now() + fleet.config.execution.reconnect_timeout;
    let mut was_there = false;
    loop {
        let ahead = ahead.take();
        let taking = async {
            let (mut control, found) = match ahead {
                Some(Ahead { control, found }) => (control, Some(found)),
                None => (fleet.control().await?, None),
            };
            was_there = true;
            if found != Some(ControlState::Current) {
                control.ensure().await?;
            }
            anyhow::Ok(control.acquire(terms, |text| output.notice(text)).await?)
        };
        match taking.await {
            // a server that goes away while one waits is not the end of the waiting
            Err(error) if was_there && error::is_transient(&error) && Instant::now() < deadline => {
                tokio::time::sleep(TAKE_AGAIN.mul_f64(0.5 + fastrand::f64())).await;
            }
            taken => return taken,
        }
    }
}
