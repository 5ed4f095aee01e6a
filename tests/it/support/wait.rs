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
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(
        comes_within(LIMIT, condition),
        "waited {LIMIT:?} in vain until {what}"
    );
}

/// Polls until the condition holds; false if that takes too long.
pub(crate) fn comes_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(POLL);
    }
    true
}
