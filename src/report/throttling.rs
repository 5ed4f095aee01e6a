//! Words for how many tenants are worked on at a time, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use super::wording::{count, count_u64, duration};
use crate::rollout::RolloutEvent;
use crate::run::{Measure, PaceChange, PaceReason, ThrottleReason, Throttled};
use crate::tenant::DatabaseName;

/// How many at a time there are in each database, as the events have told.
#[derive(Default)]
pub(super) struct AtATime {
    databases: BTreeMap<DatabaseName, Now>,
}

#[derive(Default)]
struct Now {
    /// What `concurrency: auto` has found.
    found: Option<usize>,
    throttled: Option<(usize, ThrottleReason)>,
}

impl AtATime {
    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &RolloutEvent) {
        let RolloutEvent::PaceChanged { database, change } = event else {
            return;
        };
        let now = self.databases.entry(database.clone()).or_default();
        match *change {
            PaceChange::Throttled { tenants, reason } => now.throttled = Some((tenants, reason)),
            PaceChange::Released { .. } => now.throttled = None,
            PaceChange::Found { tenants, .. } => now.found = Some(tenants),
        }
    }

    /// `throttled to 2: replica lag 45 s (limit 30 s)`: of the database that is throttled most.
    pub(super) fn throttled(&self) -> Option<String> {
        let throttled = self.databases.iter();
        let mut throttled: Vec<_> = throttled
            .filter_map(|(database, now)| Some((now.throttled?, database)))
            .collect();
        throttled.sort_by_key(|((tenants, _), _)| *tenants);
        let ((tenants, reason), database) = *throttled.first()?;
        let text = throttled_to(tenants, reason);
        Some(match throttled.len() - 1 {
            0 if self.databases.len() == 1 => text,
            0 => format!("{database} {text}"),
            more => format!("{database} {text}, and {}", count(more, "more database")),
        })
    }

    /// Whether nothing is started in any database: no rate of the past tells when that ends.
    pub(super) fn is_paused(&self) -> bool {
        let paused = |now: &Now| matches!(now.throttled, Some((0, _)));
        !self.databases.is_empty() && self.databases.values().all(paused)
    }

    /// `6 at a time`: what was found out for all databases together.
    pub(super) fn found(&self) -> Option<String> {
        let found: Vec<usize> = self
            .databases
            .values()
            .filter_map(|now| now.found)
            .collect();
        (!found.is_empty()).then(|| format!("{} at a time", found.iter().sum::<usize>()))
    }
}

/// `throttled to 2: replica lag 45 s (limit 30 s)`.
fn throttled_to(tenants: usize, reason: ThrottleReason) -> String {
    let why = briefly(reason);
    match tenants {
        0 => format!("paused: {why}"),
        _ if reason.value > reason.limit => format!("throttled to {tenants}: {why}"),
        _ => format!("easing, {tenants} at a time: {why}"),
    }
}

/// The same in as few words as the bar's line has room for.
fn briefly(reason: ThrottleReason) -> String {
    match reason.measure {
        Measure::ReplicaLagMs | Measure::ActiveSessions => measured(reason),
        Measure::LockWaits => {
            let waits = count_u64(reason.value, "lock wait");
            format!("{waits} (limit {})", reason.limit)
        }
    }
}

/// `replica lag 45 s (limit 30 s)`.
fn measured(reason: ThrottleReason) -> String {
    let ThrottleReason {
        measure,
        value,
        limit,
        behind_fleet,
    } = reason;
    match measure {
        Measure::ReplicaLagMs => {
            let (lag, limit) = (milliseconds(value), milliseconds(limit));
            format!("replica lag {lag} (limit {limit})")
        }
        Measure::ActiveSessions => {
            format!("{} (limit {limit})", count_u64(value, "active session"))
        }
        Measure::LockWaits => {
            let waiting = if value == 1 {
                "1 session waits for a lock".to_owned()
            } else {
                format!("{value} sessions wait for locks")
            };
            let behind = match behind_fleet {
                0 => String::new(),
                _ => format!(", {behind_fleet} of them for fleet"),
            };
            format!("{waiting}{behind} (limit {limit})")
        }
    }
}

fn milliseconds(ms: u64) -> String {
    duration(Duration::from_millis(ms))
}

/// What has happened in a database, as one line.
pub(super) fn changed(database: &DatabaseName, change: PaceChange) -> String {
    match change {
        PaceChange::Throttled { tenants: 0, reason } => format!(
            "database {database} is paused, nothing new is started there: {}",
            measured(reason)
        ),
        PaceChange::Throttled { tenants, reason } => format!(
            "database {database} {} {} at a time: {}",
            if reason.value > reason.limit {
                "is throttled to"
            } else {
                "goes on with"
            },
            count(tenants, "tenant"),
            measured(reason)
        ),
        PaceChange::Released { after } => format!(
            "database {database} is not throttled any more, after {}",
            duration(after)
        ),
        PaceChange::Found { tenants, reason } => format!(
            "database {database}: {} at a time ({})",
            count(tenants, "tenant"),
            found_because(reason)
        ),
    }
}

fn found_because(reason: PaceReason) -> &'static str {
    match reason {
        PaceReason::Start => "to begin with",
        PaceReason::Faster => "more at a time have brought more",
        PaceReason::Trial => "a trial",
        PaceReason::NoGain => "more at a time have not brought more",
        PaceReason::NoLoss => "fewer at a time bring as much",
        PaceReason::MaxConnections => "as max_connections allows",
        PaceReason::FreeConnections => {
            "as many as the server has connections for, beside the application's share"
        }
        PaceReason::LockWaits => "sessions wait for locks of fleet's, or fleet's for each other",
        PaceReason::Refused => "the server has refused a connection",
    }
}

/// What a role cannot see.
pub(super) fn unseen(database: &DatabaseName, measure: Measure) -> String {
    let what = match measure {
        Measure::ReplicaLagMs => "how far the replicas are",
        Measure::ActiveSessions => "what sessions of other roles do",
        Measure::LockWaits => "who waits for locks",
    };
    format!(
        "database {database}: this role cannot see {what}, so {} counts only what it sees (GRANT pg_monitor lets it; 0 turns the limit off)",
        measure.key()
    )
}

/// `Throttled for 1 min 20 s: replica lag up to 45 s (limit 30 s)`. None where it was not.
pub(super) fn in_all(throttled: &[Throttled]) -> Option<String> {
    let several = throttled
        .iter()
        .any(|other| other.database != throttled[0].database);
    let parts: Vec<String> = throttled
        .iter()
        .map(|of_one| {
            let lasted = duration(of_one.lasted);
            let worst = at_worst(of_one.worst);
            if several {
                format!("{lasted} in {}: {worst}", of_one.database)
            } else {
                format!("{lasted}: {worst}")
            }
        })
        .collect();
    (!parts.is_empty()).then(|| format!("Throttled for {}", parts.join("; for ")))
}

fn at_worst(worst: ThrottleReason) -> String {
    let ThrottleReason { value, limit, .. } = worst;
    match worst.measure {
        Measure::ReplicaLagMs => {
            let (lag, limit) = (milliseconds(value), milliseconds(limit));
            format!("replica lag up to {lag} (limit {limit})")
        }
        Measure::ActiveSessions => format!("up to {value} active sessions (limit {limit})"),
        Measure::LockWaits => format!("up to {value} sessions waiting for locks (limit {limit})"),
    }
}
