//! How many tenants are worked on at a time, as events and as rows.

use serde::Serialize;

use crate::ledger::RunEventRecord;
use crate::run::{PaceChange, PaceReason, ThrottleReason, Throttled, milliseconds};
use crate::tenant::DatabaseName;

/// One change.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(in crate::report) enum PaceRow<'a> {
    Throttled {
        database: &'a str,
        tenants: usize,
        reason: ThrottleReason,
    },
    ThrottleReleased {
        database: &'a str,
        after_ms: u64,
    },
    ConcurrencyChanged {
        database: &'a str,
        tenants: usize,
        reason: PaceReason,
    },
}

impl<'a> PaceRow<'a> {
    pub(in crate::report) fn of(database: &'a DatabaseName, change: PaceChange) -> Self {
        let database = database.as_str();
        match change {
            PaceChange::Throttled { tenants, reason } => Self::Throttled {
                database,
                tenants,
                reason,
            },
            PaceChange::Released { after } => Self::ThrottleReleased {
                database,
                after_ms: milliseconds(after),
            },
            PaceChange::Found { tenants, reason } => Self::ConcurrencyChanged {
                database,
                tenants,
                reason,
            },
        }
    }
}

/// One that was recorded.
#[derive(Serialize)]
pub(super) struct RecordedRow<'a> {
    at: &'a str,
    #[serde(flatten)]
    row: PaceRow<'a>,
}

impl<'a> RecordedRow<'a> {
    pub(super) fn of(event: &'a RunEventRecord) -> Self {
        Self {
            at: &event.at,
            row: PaceRow::of(&event.database, event.change),
        }
    }
}

/// For how long one measure was over its limit.
#[derive(Serialize)]
pub(super) struct ThrottledRow<'a> {
    database: &'a str,
    duration_ms: u64,
    worst: ThrottleReason,
}

impl<'a> ThrottledRow<'a> {
    pub(super) fn of(throttled: &'a Throttled) -> Self {
        Self {
            database: throttled.database.as_str(),
            duration_ms: milliseconds(throttled.lasted),
            worst: throttled.worst,
        }
    }
}
