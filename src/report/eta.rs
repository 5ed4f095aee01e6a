//! When a run will be done, by what its tenants took last time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::wording::duration;
use crate::rollout::{Outlook, RolloutEvent};
use crate::tenant::TenantId;

/// Follows what is left of a run.
pub(super) struct Eta {
    outlook: Option<Outlook>,
    in_work: HashMap<TenantId, InWork>,
}

/// A tenant that a worker has.
struct InWork {
    since: Instant,
    expected: Duration,
}

impl Eta {
    pub(super) fn new(outlook: Option<Outlook>) -> Self {
        Self {
            outlook,
            in_work: HashMap::new(),
        }
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &RolloutEvent, now: Instant) {
        match event {
            RolloutEvent::AttemptStarted {
                tenant,
                expected,
                outlook,
                ..
            } => {
                let in_work = InWork {
                    since: now,
                    expected: expected.unwrap_or_default(),
                };
                self.in_work.insert(tenant.clone(), in_work);
                self.outlook = *outlook;
            }
            RolloutEvent::AttemptFailedWillRetry { tenant, .. }
            | RolloutEvent::TenantPutOff { tenant } => {
                self.in_work.remove(tenant);
            }
            RolloutEvent::TenantFinished {
                result, outlook, ..
            } => {
                self.in_work.remove(&result.tenant);
                self.outlook = *outlook;
            }
            _ => {}
        }
    }

    /// Whether the past has a say.
    pub(super) fn has_past(&self) -> bool {
        self.outlook.is_some()
    }

    /// How long it will take from here on. None without a past, and where all that is left takes longer
    /// already than it was expected to.
    pub(super) fn remaining(&self, now: Instant) -> Option<Duration> {
        let outlook = self.outlook?;
        let corrected = |expected: Duration| outlook.corrected(expected);
        let in_work: Duration = self.in_work.values().map(|tenant| tenant.expected).sum();
        let remainders = self.in_work.values().map(|tenant| {
            corrected(tenant.expected).saturating_sub(now.duration_since(tenant.since))
        });
        let work =
            corrected(outlook.left.saturating_sub(in_work)) + remainders.clone().sum::<Duration>();
        let slots = u32::try_from(outlook.slots.max(1)).unwrap_or(u32::MAX);
        // one giant takes as long as it takes, however many workers there are
        let giant = remainders.max().unwrap_or_default();
        let eta = (work / slots).max(giant).max(corrected(outlook.longest));
        (!eta.is_zero()).then_some(eta)
    }
}

/// `ETA 3 min`.
pub(super) fn words(eta: Duration) -> String {
    format!("ETA {}", whole_seconds(eta))
}

/// `deadline in 3 min 10 s`.
pub(super) fn deadline_words(left: Duration) -> String {
    if left.is_zero() {
        "deadline reached".to_owned()
    } else {
        format!("deadline in {}", whole_seconds(left))
    }
}

/// What is to come has no tenths.
fn whole_seconds(time: Duration) -> String {
    let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    if seconds < 60 {
        format!("{seconds} s")
    } else {
        duration(Duration::from_secs(seconds))
    }
}
