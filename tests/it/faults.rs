//! Faults in mid-run: networks, servers, other runs, tenants that come and go. `tests/README.md` tells which
//! row of the fault matrix is where.

mod chaos;
#[cfg(feature = "failpoints")]
mod crashes;
mod network;
mod runs;
mod servers;
mod tenants;

use serde_json::json;

use crate::support::TestFleet;

/// Retries that do not keep a test waiting.
fn impatient(fleet: TestFleet) -> TestFleet {
    fleet.set(
        "execution.retry",
        json!({ "attempts": 5, "backoff": "20ms", "max_backoff": "500ms" }),
    )
}
