//! Who is left as it is because somebody asked for it: holds and pins of single tenants, and windows of those
//! with a label. Applied to a plan when it is made; "now" is the control database's.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

use super::window::{Closed, WindowRule};
use super::{Action, Plan, Refusal, TenantPlan};
use crate::migration::Version;
use crate::tenant::TenantId;

/// What somebody has said about one tenant, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// About whom.
    pub tenant: TenantId,
    /// What.
    pub kind: HoldKind,
    /// Why. A pin may be without.
    pub reason: Option<String>,
    /// Until when, RFC 3339 in UTC; None: until it is released.
    pub until: Option<String>,
    /// Who said it: user, host, process id.
    pub set_by: String,
    /// RFC 3339 in UTC, by the database's clock.
    pub set_at: String,
}

/// What somebody can say about a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldKind {
    /// Leave it alone.
    Hold,
    /// Take it no further than that version.
    Pin(Version),
}

impl HoldKind {
    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Pin(_) => "pin",
        }
    }

    /// The version of a pin.
    pub fn version(self) -> Option<Version> {
        match self {
            Self::Hold => None,
            Self::Pin(version) => Some(version),
        }
    }
}

/// `held until 2026-12-01T00:00:00Z: imports until Tuesday`.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            HoldKind::Hold => f.write_str("held")?,
            HoldKind::Pin(version) => write!(f, "pinned to V{version}")?,
        }
        match &self.until {
            Some(until) => write!(f, " until {until}")?,
            None => f.write_str(" until released")?,
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

/// A tenant that is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// By what.
    pub by: HeldBy,
    /// What would be applied otherwise, in this order.
    pub pending: Arc<[Version]>,
    /// Why it would be left as it is all the same: whoever holds a tenant may know about that.
    pub besides: Option<Refusal>,
}

/// What keeps a tenant as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// Somebody who said so.
    Somebody(Hold),
    /// None of its windows is open.
    Window(Closed),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.by {
            HeldBy::Somebody(hold) => write!(f, "{hold}")?,
            HeldBy::Window(closed) => write!(f, "{closed}")?,
        }
        match &self.besides {
            Some(refusal) => write!(f, " (besides: {refusal})"),
            None => Ok(()),
        }
    }
}

/// All that holds tenants at one moment.
#[derive(Clone, Debug)]
pub struct Restraints {
    /// That moment.
    pub now: Timestamp,
    /// Holds and pins that are in force then.
    pub holds: Vec<Hold>,
    /// When tenants may be touched; one that no rule is about may be touched at any time.
    pub windows: Vec<WindowRule>,
}

impl Restraints {
    /// Leaves as they are, or takes less far, the tenants of a plan that are held, pinned or outside of their
    /// windows.
    pub fn apply(&self, plan: &mut Plan) {
        let mut holds: HashMap<&TenantId, Vec<&Hold>> = HashMap::new();
        for hold in &self.holds {
            holds.entry(&hold.tenant).or_default().push(hold);
        }
        for tenant in &mut plan.tenants {
            let of_tenant = holds.remove(&tenant.tenant.id).unwrap_or_default();
            tenant.holds = of_tenant.into_iter().cloned().collect();
            self.restrain(tenant);
        }
    }

    fn restrain(&self, tenant: &mut TenantPlan) {
        let hold = tenant.holds.iter().find(|h| h.kind == HoldKind::Hold);
        if let Some(hold) = hold {
            hold_back(&mut tenant.action, HeldBy::Somebody(hold.clone()));
            return;
        }
        if let Some(pin) = tenant.pin().cloned() {
            pin_down(&mut tenant.action, pin);
        }
        if matches!(tenant.action, Action::Migrate(_))
            && let Some(closed) = Closed::for_tenant(&self.windows, &tenant.tenant, self.now)
        {
            hold_back(&mut tenant.action, HeldBy::Window(closed));
        }
    }
}

impl TenantPlan {
    /// The pin of this tenant.
    pub fn pin(&self) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.kind.version().is_some())
    }

    /// How far this tenant may go in a plan with such a target.
    pub fn target(&self, of_plan: Option<Version>) -> Option<Version> {
        let pin = self.pin().and_then(|hold| hold.kind.version());
        of_plan.min(pin.or(of_plan))
    }
}

/// Where nothing would be done, nothing is held back.
fn hold_back(action: &mut Action, by: HeldBy) {
    let (pending, besides) = match action {
        Action::Migrate(pending) => (Arc::clone(pending), None),
        Action::Refuse(refusal) => (Arc::default(), Some(refusal.clone())),
        Action::UpToDate | Action::Hold(_) => return,
    };
    *action = Action::Hold(Box::new(Held {
        by,
        pending,
        besides,
    }));
}

/// What is pending ends at the pin. Where that is nothing the tenant is held. What is the matter with a tenant
/// is the matter with a pinned one too.
fn pin_down(action: &mut Action, pin: Hold) {
    let (Action::Migrate(pending), Some(version)) = (&*action, pin.kind.version()) else {
        return;
    };
    let allowed: Arc<[Version]> = pending.iter().copied().filter(|v| *v <= version).collect();
    if allowed.is_empty() {
        hold_back(action, HeldBy::Somebody(pin));
    } else {
        *action = Action::Migrate(allowed);
    }
}

#[cfg(test)]
#[path = "hold_tests.rs"]
mod tests;
