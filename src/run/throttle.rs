//! Why a run does less at a time than it might: what is measured at a server, and what comes of it.

use std::time::Duration;

use serde::Serialize;

use crate::tenant::DatabaseName;

/// What is measured at a server, and has a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The worst replay lag of a streaming replica, in milliseconds.
    ReplicaLagMs,
    /// Active sessions that are not fleet's.
    ActiveSessions,
    /// Sessions that are not fleet's and wait for a lock.
    LockWaits,
}

impl Measure {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::ReplicaLagMs, Self::ActiveSessions, Self::LockWaits];

    /// The value with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }

    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplicaLagMs => "replica_lag_ms",
            Self::ActiveSessions => "active_sessions",
            Self::LockWaits => "lock_waits",
        }
    }

    /// Its key in the config.
    pub fn key(self) -> &'static str {
        match self {
            Self::ReplicaLagMs => "throttle.replica_lag",
            Self::ActiveSessions => "throttle.active_sessions",
            Self::LockWaits => "throttle.lock_waits",
        }
    }
}

/// A measure that is over its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThrottleReason {
    /// Which.
    pub measure: Measure,
    /// What was seen.
    pub value: u64,
    /// What is borne.
    pub limit: u64,
    /// Of `value`, those that wait for fleet's own sessions.
    pub behind_fleet: u64,
}

/// Why so many tenants of a database are worked on at a time, where that is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PaceReason {
    /// It begins low.
    Start,
    /// More at a time have brought more.
    Faster,
    /// One step more is tried, or one less.
    Trial,
    /// More at a time have not brought more.
    NoGain,
    /// Fewer at a time bring as much.
    NoLoss,
    /// `max_connections` of the config.
    MaxConnections,
    /// What is free at the server beside the application's share.
    FreeConnections,
    /// Sessions wait for locks of fleet's, or fleet's own for each other.
    LockWaits,
    /// The server has refused a connection.
    Refused,
}

impl PaceReason {
    /// Every value.
    const ALL: [Self; 9] = [
        Self::Start,
        Self::Faster,
        Self::Trial,
        Self::NoGain,
        Self::NoLoss,
        Self::MaxConnections,
        Self::FreeConnections,
        Self::LockWaits,
        Self::Refused,
    ];

    /// The value with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }

    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Faster => "faster",
            Self::Trial => "trial",
            Self::NoGain => "no_gain",
            Self::NoLoss => "no_loss",
            Self::MaxConnections => "max_connections",
            Self::FreeConnections => "free_connections",
            Self::LockWaits => "lock_waits",
            Self::Refused => "refused",
        }
    }
}

/// What happens to the number of tenants at a time in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaceChange {
    /// Fewer are started, or none, for a limit of the config is exceeded.
    Throttled {
        /// How many at a time; 0: nothing is started.
        tenants: usize,
        /// What is over its limit.
        reason: ThrottleReason,
    },
    /// No limit is exceeded any more.
    Released {
        /// How long one was.
        after: Duration,
    },
    /// A number that `concurrency: auto` has found.
    Found {
        /// How many at a time.
        tenants: usize,
        /// Why not more.
        reason: PaceReason,
    },
}

impl PaceChange {
    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Throttled { .. } => "throttled",
            Self::Released { .. } => "released",
            Self::Found { .. } => "concurrency",
        }
    }
}

/// For how long one measure has kept a run from starting as many tenants as it might have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Throttled {
    /// In which database.
    pub database: DatabaseName,
    /// The worst that was seen.
    pub worst: ThrottleReason,
    /// How long in all.
    pub lasted: Duration,
}
