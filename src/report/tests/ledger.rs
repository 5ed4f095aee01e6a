//! Past runs and the inventory, read by people and by scripts.

use std::collections::BTreeMap;

use super::super::{
    Verbosity, runs, runs_document, show, show_document, tenants, tenants_document, write_document,
};
use super::*;
use crate::ledger::{ActsOfRun, AttemptRecord, RunDetail, RunRecord, RunState, RunTenantRecord};
use crate::tenant::{Presence, Tenant};

fn record(state: RunState) -> RunRecord {
    RunRecord {
        id: RunId::new(RUN),
        command: "migrate".to_owned(),
        resumes: None,
        state,
        started_at: "2026-11-23T16:10:04Z".to_owned(),
        finished_at: Some("2026-11-23T16:10:08Z".to_owned()),
        duration_s: 4.2,
        target: Some(12),
        set_fingerprint: "00ff".to_owned(),
        started_by: "ann@ci pid 7".to_owned(),
        fleet_version: "0.1.0".to_owned(),
        halt: None,
        what_changed: None,
        exit_code: Some(4),
        totals: Totals {
            tenants: 5,
            succeeded: 1,
            up_to_date: 1,
            failed: 2,
            ..Totals::default()
        },
    }
}

fn member(schema: &str, outcome: Option<Outcome>) -> RunTenantRecord {
    RunTenantRecord {
        tenant: tenant(schema),
        outcome,
        claimed: true,
        from: Some(11),
        to: None,
        attempts: 1,
        duration_ms: 12,
        reason: None,
    }
}

fn tried(schema: &str, attempt: u32, failure: Failure) -> AttemptRecord {
    AttemptRecord {
        tenant: tenant(schema),
        attempt,
        ended_at: "2026-11-23T16:10:05Z".to_owned(),
        duration_ms: 12,
        outcome: Outcome::Failed,
        applied: Vec::new(),
        failure: Some(failure),
        notes: Vec::new(),
    }
}

pub(super) fn detail() -> RunDetail {
    let mut broken = member("d", Some(Outcome::Failed));
    broken.reason = Some("the schema does not exist".to_owned());
    RunDetail {
        run: record(RunState::Finished(RunOutcome::Failed)),
        tenants: vec![
            member("a", Some(Outcome::Succeeded)),
            member("b", Some(Outcome::UpToDate)),
            member("c", Some(Outcome::Failed)),
            broken,
            member("e", None),
        ],
        failed_attempts: vec![
            // a got through later, c failed in the end for another reason than at first
            tried("a", 1, lock_timeout()),
            tried("c", 1, lock_timeout()),
            tried("c", 2, failure()),
        ],
        waves: Vec::new(),
        events: Vec::new(),
        acts: ActsOfRun::default(),
    }
}

#[test]
fn runs_are_a_table() {
    let abandoned = RunRecord {
        finished_at: None,
        exit_code: None,
        ..record(RunState::Abandoned)
    };
    let failed = record(RunState::Finished(RunOutcome::Failed));
    assert_eq!(
        written(|out| runs(out, &[failed, abandoned], PLAIN)),
        "\
RUN                   STARTED               COMMAND  STATE      TARGET  TENANTS  DONE  FAILED  LEFT  TOOK   BY
20261123-161004-7f3a  2026-11-23T16:10:04Z  migrate  failed     V12     5        2     2       1     4.2 s  ann@ci pid 7
20261123-161004-7f3a  2026-11-23T16:10:04Z  migrate  abandoned  V12     5        2     2       1     4.2 s  ann@ci pid 7
"
    );
    assert_eq!(written(|out| runs(out, &[], PLAIN)), "No run is recorded\n");
}

#[test]
fn a_run_is_shown_with_its_causes_in_the_end() {
    assert_eq!(
        written(|out| show(out, &detail(), PLAIN, Verbosity::Normal)),
        "\
Run 20261123-161004-7f3a: failed
  command    migrate
  by         ann@ci pid 7 with fleet 0.1.0
  time       2026-11-23T16:10:04Z to 2026-11-23T16:10:08Z (4.2 s)
  target     V12 (set 00ff)
  exit code  4
  tenants    5: 1 migrated, 1 already there, 2 failed, 1 without an outcome

✗ 1 tenant at V12__unique_email.sql:4: 23505 could not create unique index \"users_email_key\"
  detail     Key (email)=(ann@example.com) is duplicated.
  tenants    main/c
✗ 1 tenant: the schema does not exist
  tenants    main/d

- 1 tenant begun, or about to be, and not finished
  tenants    main/e

3 attempts did not succeed, retries included; each one: -v

Next:
  fleet resume 20261123-161004-7f3a  when the causes are mended; tenants that are done are not touched again
"
    );
    let verbose = written(|out| show(out, &detail(), PLAIN, Verbosity::Verbose));
    assert!(verbose.contains("main/a attempt 1 failed after 12 ms at V11__orders line 2: 55P03"));
}

#[test]
fn a_run_that_only_skipped_points_to_status() {
    let mut skipped = member("a", Some(Outcome::Skipped));
    skipped.reason = Some("the file is missing: V3".to_owned());
    let mut refused = detail();
    refused.run.totals = Totals {
        tenants: 1,
        skipped: 1,
        ..Totals::default()
    };
    refused.tenants = vec![skipped];
    refused.failed_attempts.clear();
    let text = written(|out| show(out, &refused, PLAIN, Verbosity::Normal));
    assert!(text.contains(
        "\n\n- 1 tenant skipped: the file is missing: V3\n  tenants    main/a\n\nNext:\n  fleet status  "
    ));
}

#[test]
fn documents_of_runs() {
    let text = written(|out| write_document(out, &runs_document(&[detail().run])));
    assert_eq!(
        text,
        r#"{"runs":[{"run":"20261123-161004-7f3a","command":"migrate","resumes":null,"state":"failed","started_at":"2026-11-23T16:10:04Z","finished_at":"2026-11-23T16:10:08Z","duration_ms":4200,"target":12,"set_fingerprint":"00ff","started_by":"ann@ci pid 7","fleet_version":"0.1.0","exit_code":4,"halted":null,"what_changed":null,"totals":{"tenants":5,"succeeded":1,"up_to_date":1,"failed":2,"interrupted":0,"skipped":0,"held":0}}]}
"#
    );
    let mut small = detail();
    small.tenants.truncate(3);
    small.tenants.remove(0);
    small.failed_attempts.remove(0);
    small.failed_attempts.remove(0);
    let text = written(|out| write_document(out, &show_document(&small)));
    let (header, lists) = text.split_once(r#","tenants":["#).unwrap();
    assert!(header.starts_with(r#"{"run":"20261123-161004-7f3a","command":"migrate""#));
    assert_eq!(
        lists,
        r#"{"database":"main","schema":"b","outcome":"up_to_date","claimed":true,"from":11,"to":null,"attempts":1,"duration_ms":12,"reason":null},{"database":"main","schema":"c","outcome":"failed","claimed":true,"from":11,"to":null,"attempts":1,"duration_ms":12,"reason":null}],"failed_attempts":[{"database":"main","schema":"c","attempt":2,"ended_at":"2026-11-23T16:10:05Z","duration_ms":12,"outcome":"failed","applied":[],"failure":{"migration":"V12__unique_email","statement":1,"line":4,"column":null,"sqlstate":"23505","class":"permanent","message":"could not create unique index \"users_email_key\"","detail":"Key (email)=(ann@example.com) is duplicated.","hint":null,"context":null,"blocked_by":null},"notes":[]}],"failures":[{"count":1,"sqlstate":"23505","migration":"V12__unique_email","message":"could not create unique index \"users_email_key\"","tenants":["main/c"]}],"events":[],"waves":[]}
"#
    );
}

#[test]
fn tenants_are_a_table_with_a_count() {
    let labels = BTreeMap::from([("plan".to_owned(), "pro".to_owned())]);
    let found = [
        Tenant {
            id: tenant("acme"),
            labels: Arc::new(labels),
            presence: Presence::Present,
        },
        Tenant {
            id: tenant("new\n"),
            labels: Arc::default(),
            presence: Presence::ToCreate,
        },
    ];
    assert_eq!(
        written(|out| tenants(out, &found, PLAIN)),
        "\
DATABASE  SCHEMA  EXISTS     LABELS
main      acme    yes        plan=pro
main      new\\n   to create

2 tenants in 1 database, 1 schema missing
"
    );
    assert_eq!(
        written(|out| write_document(out, &tenants_document(&found))),
        r#"{"tenants":[{"database":"main","schema":"acme","labels":{"plan":"pro"},"exists":true},{"database":"main","schema":"new\n","labels":{},"exists":false}]}
"#
    );
}
