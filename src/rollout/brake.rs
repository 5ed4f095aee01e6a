//! What a server may be made to bear, and what becomes of a run where it has to bear more: half as many
//! tenants at a time with each look, then none, until the measure is well under its limit again. What is in
//! work is left alone.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use crate::migrator::Pressure;
use crate::run::{Measure, PaceChange, ThrottleReason, milliseconds};

/// Limits of what fleet may do to a server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleLimits {
    /// The worst replay lag of a streaming replica; zero is without limit.
    pub replica_lag: Duration,
    /// Active sessions that are not fleet's.
    pub active_sessions: SessionLimit,
    /// Sessions that are not fleet's and wait for a lock; 0 is without limit.
    pub lock_waits: u32,
}

/// How many sessions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SessionLimit {
    /// Any number.
    Unlimited,
    /// That many.
    Sessions(NonZeroU32),
    /// That share of the server's slots, in per cent, above 0 and at most 100.
    Percent(f64),
}

impl SessionLimit {
    fn of(self, slots: u64) -> u64 {
        match self {
            Self::Unlimited => 0,
            Self::Sessions(sessions) => sessions.get().into(),
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of some thousand slots"
            )]
            Self::Percent(share) => ((slots as f64 * share / 100.0) as u64).max(1),
        }
    }
}

impl ThrottleLimits {
    /// No limit at all.
    pub const NONE: Self = Self {
        replica_lag: Duration::ZERO,
        active_sessions: SessionLimit::Unlimited,
        lock_waits: 0,
    };

    /// One measure beside its limit; None where it has none, or is not known.
    fn measured(&self, measure: Measure, seen: &Pressure) -> Option<ThrottleReason> {
        let (value, limit) = match measure {
            Measure::ReplicaLagMs => (
                milliseconds(seen.replica_lag?),
                milliseconds(self.replica_lag),
            ),
            Measure::ActiveSessions => (seen.active_sessions, self.active_sessions.of(seen.slots)),
            Measure::LockWaits => (seen.lock_waits, self.lock_waits.into()),
        };
        (limit > 0).then_some(ThrottleReason {
            measure,
            value,
            limit,
            behind_fleet: match measure {
                Measure::LockWaits => seen.behind_fleet,
                Measure::ReplicaLagMs | Measure::ActiveSessions => 0,
            },
        })
    }

    /// The measure that is furthest beyond its limit, or nearest to it.
    fn worst(&self, seen: &Pressure) -> Option<ThrottleReason> {
        Measure::ALL
            .into_iter()
            .filter_map(|measure| self.measured(measure, seen))
            .max_by_key(|reason| u128::from(reason.value) * 1000 / u128::from(reason.limit))
    }

    /// Measures with a limit of which not everything is seen.
    pub(super) fn unseen(&self, seen: &Pressure) -> Vec<Measure> {
        let mut measures = Vec::new();
        if seen.unseen.replicas && !self.replica_lag.is_zero() {
            measures.push(Measure::ReplicaLagMs);
        }
        if seen.unseen.sessions && self.active_sessions != SessionLimit::Unlimited {
            measures.push(Measure::ActiveSessions);
        }
        measures
    }
}

/// Over the limit.
fn is_over(reason: ThrottleReason) -> bool {
    reason.value > reason.limit
}

/// So near to the limit that more work would bring it over again.
fn is_near(reason: ThrottleReason) -> bool {
    reason.value.saturating_mul(5) > reason.limit.saturating_mul(4)
}

/// The brake of one database.
pub(super) struct Brake {
    limits: ThrottleLimits,
    braking: Option<Braking>,
    /// For how long each measure was the reason, and the worst of it.
    spent: Vec<(ThrottleReason, Duration)>,
}

struct Braking {
    tenants: usize,
    reason: ThrottleReason,
    since: Instant,
    counted_to: Instant,
}

impl Brake {
    pub(super) fn new(limits: ThrottleLimits) -> Self {
        Self {
            limits,
            braking: None,
            spent: Vec::new(),
        }
    }

    /// How many tenants at a time; None where it is off.
    pub(super) fn tenants(&self) -> Option<usize> {
        self.braking.as_ref().map(|braking| braking.tenants)
    }

    /// Takes a look in. `free` is how many tenants there would be at a time without it, 0 where none
    /// was started yet: then none is, on a server that is over a limit already.
    pub(super) fn look(
        &mut self,
        seen: &Pressure,
        free: usize,
        now: Instant,
    ) -> Option<PaceChange> {
        self.count(now);
        let worst = self.limits.worst(seen);
        let Some(braking) = &mut self.braking else {
            let reason = worst.filter(|reason| is_over(*reason))?;
            let tenants = if free == 0 { 0 } else { (free / 2).max(1) };
            self.braking = Some(Braking {
                tenants,
                reason,
                since: now,
                counted_to: now,
            });
            return Some(PaceChange::Throttled { tenants, reason });
        };
        let pressing = worst.filter(|reason| is_near(*reason));
        if let Some(reason) = pressing {
            braking.reason = reason;
            if is_over(reason) {
                braking.tenants /= 2;
            }
        } else {
            let now_measured = self.limits.measured(braking.reason.measure, seen);
            braking.reason = now_measured.unwrap_or(braking.reason);
            braking.tenants = (braking.tenants * 2).max(1);
            if braking.tenants >= free {
                let after = now - braking.since;
                self.braking = None;
                return Some(PaceChange::Released { after });
            }
        }
        let (tenants, reason) = (braking.tenants, braking.reason);
        Some(PaceChange::Throttled { tenants, reason })
    }

    /// Nothing more is to be started. Lets go, if no limit is exceeded by now.
    pub(super) fn let_go(&mut self, now: Instant) -> Option<PaceChange> {
        self.count(now);
        let eased = self.braking.take_if(|braking| !is_over(braking.reason))?;
        let after = now - eased.since;
        Some(PaceChange::Released { after })
    }

    /// Counts the time that has passed to the reason that there was.
    fn count(&mut self, now: Instant) {
        let Some(braking) = &mut self.braking else {
            return;
        };
        let passed = now - braking.counted_to;
        braking.counted_to = now;
        let reason = braking.reason;
        let known = self.spent.iter_mut();
        match known
            .into_iter()
            .find(|(of, _)| of.measure == reason.measure)
        {
            Some((worst, lasted)) => {
                *lasted += passed;
                if reason.value > worst.value {
                    *worst = reason;
                }
            }
            None => self.spent.push((reason, passed)),
        }
    }

    /// For how long each measure has been the reason up to now, with the worst of it.
    pub(super) fn spent(&mut self, now: Instant) -> &[(ThrottleReason, Duration)] {
        self.count(now);
        &self.spent
    }
}

#[cfg(test)]
#[path = "brake_tests.rs"]
mod tests;
