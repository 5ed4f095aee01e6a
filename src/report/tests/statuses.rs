//! Where the fleet is, read by people.

use super::super::{Recorded, Verbosity, status, status_detail};
use super::*;
use crate::ledger::AttemptRecord;
use crate::plan::{FleetStatus, LastFailure, StatusRow, TenantState, VersionCount};

pub(super) fn row(schema: &str, version: Option<Version>, state: TenantState) -> StatusRow {
    StatusRow {
        tenant: tenant(schema),
        version,
        pending: usize::from(!matches!(
            state,
            TenantState::UpToDate | TenantState::Refused
        )),
        state,
        halfway: None,
        reason: None,
        hint: None,
        holds: Vec::new(),
        last_failure: (state == TenantState::Failed).then(|| LastFailure {
            run: RunId::new(RUN),
            at: "2026-11-23T16:10:09Z".to_owned(),
            failure: failure(),
        }),
    }
}

fn recorded(attempts: &[AttemptRecord]) -> Recorded<'_> {
    Recorded {
        attempts,
        holds: &[],
    }
}

pub(super) fn fleet(tenants: Vec<StatusRow>) -> FleetStatus {
    let mut states = std::collections::BTreeMap::new();
    let mut versions = std::collections::BTreeMap::new();
    for row in &tenants {
        *states.entry(row.state).or_default() += 1;
        *versions.entry(row.version).or_default() += 1;
    }
    FleetStatus {
        head: Some(12),
        tenants,
        states,
        versions: versions
            .into_iter()
            .map(|(version, tenants)| VersionCount { version, tenants })
            .collect(),
    }
}

#[test]
fn a_histogram_then_only_the_exceptions() {
    let mut rows: Vec<StatusRow> = (1..=194)
        .map(|n| row(&format!("a{n:03}"), Some(12), TenantState::UpToDate))
        .collect();
    rows.push(row("b", Some(11), TenantState::Failed));
    rows.push(row("c", Some(11), TenantState::Failed));
    rows.push(row("d", Some(11), TenantState::Interrupted));
    rows.push(row("e", None, TenantState::Pending));
    let mut refused = row("f", Some(13), TenantState::Refused);
    refused.reason = Some("ahead of this migration set: V13 applied, no file".to_owned());
    refused.hint = Some("deploy the newer release");
    rows.push(refused);
    let text = written(|out| status(out, &fleet(rows), PLAIN, Verbosity::Normal));
    assert_eq!(
        text,
        "\
Head V12, 199 tenants

  V13      1  ▇
  V12    194  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇
  V11      3  ▇
  empty    1  ▇

194 up to date, 1 pending, 2 failed, 1 interrupted, 1 refused

✗ 2 tenants at V12__unique_email.sql:4: 23505 could not create unique index \"users_email_key\"
  detail     Key (email)=(ann@example.com) is duplicated. (main/b)
  tenants    main/b, main/c

✗ 1 tenant refused: ahead of this migration set: V13 applied, no file
  hint       deploy the newer release
  tenants    main/f

- 1 tenant interrupted
  tenants    main/d

Next:
  fleet show -v 20261123-161004-7f3a  every attempt
  fleet resume 20261123-161004-7f3a   when the cause is mended
"
    );
}

#[test]
fn a_fleet_at_head_has_nothing_to_say() {
    let rows = vec![row("a", Some(12), TenantState::UpToDate)];
    let text = written(|out| status(out, &fleet(rows), PLAIN, Verbosity::Normal));
    assert_eq!(
        text,
        "\
Head V12, 1 tenant

  V12  1  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇

1 up to date
"
    );
}

#[test]
fn old_versions_share_a_line() {
    let rows = (1..=40)
        .map(|n| row(&format!("t{n}"), Some(n), TenantState::Pending))
        .collect();
    let text = written(|out| status(out, &fleet(rows), PLAIN, Verbosity::Normal));
    assert!(text.contains("\n  29 older versions  29  "));
    assert!(text.ends_with("\nNext:\n  fleet migrate  migrates 40 tenants\n"));
    assert!(text.lines().count() < 25);
}

#[test]
fn one_tenant_in_detail() {
    let attempt = AttemptRecord {
        tenant: tenant("acme"),
        attempt: 1,
        ended_at: "2026-11-23T16:10:05Z".to_owned(),
        duration_ms: 3_012,
        outcome: Outcome::Failed,
        applied: Vec::new(),
        failure: Some(lock_timeout()),
        notes: Vec::new(),
    };
    let acme = row("acme", Some(11), TenantState::Failed);
    let pending = ["V12__unique_email".to_owned()];
    let text = written(|out| status_detail(out, &acme, &pending, recorded(&[attempt]), PLAIN));
    assert_eq!(
        text,
        "\
main/acme: failed
  version    V11
  pending    V12__unique_email

Last failure, in run 20261123-161004-7f3a at 2026-11-23T16:10:09Z
  at         V12__unique_email.sql:4
  message    23505 could not create unique index \"users_email_key\"
  class      permanent
  detail     Key (email)=(ann@example.com) is duplicated.

Attempts:
  2026-11-23T16:10:05Z  main/acme attempt 1 failed after 3.0 s at V11__orders line 2: 55P03 canceling statement due to lock timeout (blocked by pid 4711, psql, idle in transaction for 2 h)

Next:
  fleet migrate --tenant main/acme  when the cause is mended, this tenant only
"
    );
}

#[test]
fn a_hostile_name_is_never_part_of_a_command() {
    let odd = row("a;rm -rf *", Some(11), TenantState::Pending);
    let text = written(|out| status_detail(out, &odd, &[], recorded(&[]), PLAIN));
    assert!(!text.contains("Next:"));
}
