//! Plans, read by people.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::super::{Planned, Verbosity, plan};
use super::*;
use crate::plan::{Action, HistorySnapshot, LastFailure, Plan, Refusal, TenantPlan};
use crate::tenant::{Presence, Tenant};

pub(super) fn planned(schema: &str, from: Option<Version>, action: Action) -> TenantPlan {
    let presence = if from.is_none() && action != Action::Refuse(Refusal::SchemaMissing) {
        Presence::ToCreate
    } else {
        Presence::Present
    };
    TenantPlan {
        tenant: Tenant {
            id: tenant(schema),
            labels: Arc::default(),
            presence,
        },
        history: HistorySnapshot::SchemaAbsent,
        from,
        action,
        holds: Vec::new(),
    }
}

/// A plan without waves, of tenants that are alike.
pub(super) fn shown(plan: &Plan) -> Planned<'_> {
    static NOBODY: LazyLock<HashMap<TenantId, LastFailure>> = LazyLock::new(HashMap::new);
    Planned {
        plan,
        waves: &[],
        goes_on: None,
        unlike: &NOBODY,
    }
}

pub(super) fn sample() -> Plan {
    let mut tenants: Vec<TenantPlan> = (1..=197)
        .map(|n| {
            let action = Action::Migrate(versions(&[11, 12]));
            planned(&format!("a{n:03}"), Some(10), action)
        })
        .collect();
    tenants.push(planned("b", None, Action::Migrate(versions(&[10, 11, 12]))));
    tenants.push(planned("c", Some(12), Action::UpToDate));
    for (schema, relations) in [("d", 12), ("e", 3), ("f", 3)] {
        let refusal = Refusal::NoHistory { relations };
        tenants.push(planned(schema, Some(10), Action::Refuse(refusal)));
    }
    Plan {
        target: Some(12),
        tenants,
        others: Vec::new(),
    }
}

#[test]
fn tenants_that_share_a_fate_share_a_line() {
    let text = written(|out| plan(out, shown(&sample()), &set(), PLAIN, Verbosity::Normal));
    assert_eq!(
        text,
        "\
To V12: 198 of 202 tenants to migrate, 1 up to date, 3 refused

197 tenants: V10 → V12 (V11__orders, V12__unique_email)
1 tenant: schema to create → V12 (V10__init, V11__orders, V12__unique_email)
  tenants    main/b

✗ 3 tenants refused: no history
  reason     3 relations but no history
  tenants    main/e, main/f
  reason     12 relations but no history
  tenants    main/d
  hint       restore the history table with the schema, or say where the tenant is: fleet baseline NAME --at VERSION; fleet never starts at the first version on a schema that is in use

Next:
  fleet migrate  does it; refused tenants are left as they are
"
    );
}

#[test]
fn verbose_has_a_line_for_each_tenant() {
    let text = written(|out| plan(out, shown(&sample()), &set(), PLAIN, Verbosity::Verbose));
    assert!(text.contains("\nmain/a001  V10 → V12 (V11__orders, V12__unique_email)\n"));
    assert!(text.contains("\nmain/c  V12  up to date\n"));
    assert!(text.contains("\nmain/d  refused  12 relations but no history\n"));
}

#[test]
fn a_target_below_head_is_part_of_the_command() {
    let tenants = vec![planned("a", Some(10), Action::Migrate(versions(&[11])))];
    let below = Plan {
        target: Some(11),
        tenants,
        others: Vec::new(),
    };
    let text = written(|out| plan(out, shown(&below), &set(), PLAIN, Verbosity::Normal));
    assert_eq!(
        text,
        "\
To V11: 1 of 1 tenant to migrate, 0 up to date

1 tenant: V10 → V11 (V11__orders)
  tenants    main/a

Next:
  fleet migrate --to 11  does it
"
    );
}

#[test]
fn nothing_to_do_is_one_line() {
    let done = Plan {
        target: Some(12),
        tenants: vec![planned("c", Some(12), Action::UpToDate)],
        others: Vec::new(),
    };
    let text = written(|out| plan(out, shown(&done), &set(), PLAIN, Verbosity::Normal));
    assert_eq!(text, "Nothing to do: 1 tenant at V12\n");
}

#[test]
fn who_is_up_to_date_and_unlike_the_others_is_named() {
    let plan_of = Plan {
        target: Some(12),
        tenants: vec![
            planned("a", Some(10), Action::Migrate(versions(&[11, 12]))),
            planned("b", Some(12), Action::UpToDate),
        ],
        others: Vec::new(),
    };
    let mut failure = failure();
    failure.message = "its shape differs from that of the others".to_owned();
    let last = |schema: &str| {
        let last = LastFailure {
            run: RunId::new(RUN),
            at: "2026-11-23T16:10:05Z".to_owned(),
            failure: failure.clone(),
        };
        (tenant(schema), last)
    };
    let unlike = HashMap::from([last("a"), last("b")]);
    let shown = Planned {
        unlike: &unlike,
        ..shown(&plan_of)
    };
    let text = written(|out| plan(out, shown, &set(), PLAIN, Verbosity::Normal));
    assert!(
        text.contains(
            "\n✗ 1 tenant is up to date and has failed\n  reason     its shape differs from that of the others\n  tenants    main/b\n"
        ),
        "{text}"
    );
    let text = written(|out| plan(out, shown, &set(), PLAIN, Verbosity::Verbose));
    assert!(
        text.contains("main/b  V12  up to date, its shape differs\n"),
        "{text}"
    );
}
