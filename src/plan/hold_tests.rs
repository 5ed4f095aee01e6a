use std::sync::Arc;

use super::super::{HistorySnapshot, Window};
use super::*;
use crate::tenant::{DatabaseName, Presence, SchemaName, Tenant};

fn id() -> TenantId {
    TenantId {
        database: DatabaseName::new("main"),
        schema: SchemaName::parse("acme").unwrap(),
    }
}

fn said(kind: HoldKind) -> Hold {
    Hold {
        tenant: id(),
        kind,
        reason: Some("big import".to_owned()),
        until: Some("2026-12-01T00:00:00Z".to_owned()),
        set_by: "ann@ops".to_owned(),
        set_at: "2026-11-26T12:00:00Z".to_owned(),
    }
}

/// What becomes of a tenant with such an action.
fn under(holds: &[HoldKind], window: Option<&str>, action: Action) -> Action {
    let restraints = Restraints {
        now: "2026-11-26T12:00:00Z".parse().unwrap(),
        holds: holds.iter().map(|kind| said(*kind)).collect(),
        windows: window
            .into_iter()
            .map(|text| WindowRule {
                tenants: Vec::new(),
                labels: Vec::new(),
                window: Window::parse(text).unwrap(),
            })
            .collect(),
    };
    let tenant = TenantPlan {
        tenant: Tenant {
            id: id(),
            labels: Arc::default(),
            presence: Presence::Present,
        },
        history: HistorySnapshot::NoTable { relations: 0 },
        from: None,
        action,
        holds: Vec::new(),
    };
    let mut plan = Plan {
        target: Some(3),
        tenants: vec![tenant],
        others: Vec::new(),
    };
    restraints.apply(&mut plan);
    assert_eq!(plan.tenants[0].holds.len(), holds.len());
    plan.tenants.remove(0).action
}

fn migrate(versions: &[Version]) -> Action {
    Action::Migrate(versions.into())
}

fn words(action: &Action) -> String {
    match action {
        Action::Hold(held) => format!("{held}; pending {:?}", held.pending),
        other => other.as_str().to_owned(),
    }
}

const CLOSED: &str = "Sun 02:00-05:00 UTC";
const OPEN: &str = "daily 00:00-24:00 UTC";

#[test]
fn a_held_tenant_is_left_as_it_is_with_what_is_pending() {
    let held = under(&[HoldKind::Hold], None, migrate(&[2, 3]));
    assert_eq!(
        words(&held),
        "held until 2026-12-01T00:00:00Z: big import; pending [2, 3]"
    );
    assert_eq!(held.pending(), &[] as &[Version]);
    assert_eq!(held.outstanding(), &[2, 3]);
}

#[test]
fn a_pin_is_how_far_a_tenant_goes() {
    let pin = [HoldKind::Pin(2)];
    assert_eq!(under(&pin, None, migrate(&[1, 2, 3])), migrate(&[1, 2]));
    assert_eq!(
        words(&under(&pin, None, migrate(&[3]))),
        "pinned to V2 until 2026-12-01T00:00:00Z: big import; pending [3]"
    );
    let both = [HoldKind::Hold, HoldKind::Pin(2)];
    assert!(words(&under(&both, None, migrate(&[1]))).starts_with("held"));
}

#[test]
fn a_closed_window_holds_and_an_open_one_does_not() {
    assert_eq!(
        words(&under(&[], Some(CLOSED), migrate(&[3]))),
        "outside the window Sun 02:00-05:00 UTC, which opens Sun 2026-11-29 02:00 +00:00; pending [3]"
    );
    assert_eq!(under(&[], Some(OPEN), migrate(&[3])), migrate(&[3]));
    let pinned = under(&[HoldKind::Pin(2)], Some(CLOSED), migrate(&[2, 3]));
    assert_eq!(pinned.outstanding(), &[2]);
}

#[test]
fn where_nothing_would_be_done_nothing_is_held() {
    for holds in [&[HoldKind::Hold][..], &[HoldKind::Pin(1)]] {
        assert_eq!(
            under(holds, Some(CLOSED), Action::UpToDate),
            Action::UpToDate
        );
    }
}

/// Whoever holds a tenant looks after it; a pin and a window are no answer to what is the matter with it.
#[test]
fn a_hold_covers_what_is_the_matter_with_a_tenant_and_says_so() {
    let refused = || Action::Refuse(Refusal::Hole(vec![2]));
    assert_eq!(
        words(&under(&[HoldKind::Hold], None, refused())),
        "held until 2026-12-01T00:00:00Z: big import (besides: other tenants have applied V2, this one has not, though it is further); pending []"
    );
    assert_eq!(
        under(&[HoldKind::Pin(1)], Some(CLOSED), refused()),
        refused()
    );
}
