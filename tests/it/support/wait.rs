//! Waiting for events. Tests never sleep for a while and hope.

use std::time::{Duration, Instant};

/// How long anything may take before it counts as broken.
const LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(5);

/// Polls until the condition holds.
///
/// # Panics
/// After a minute, with `what`.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "waited {LIMIT:?} in vain until {what}"
        );
        std::thread::sleep(POLL);
    }
}
