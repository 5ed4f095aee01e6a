//! JSON, compared to the letter: keys and their order are a contract.

use super::super::ending::Document;
use super::super::ndjson::Ndjson;
use super::super::sink::Sink;
use super::super::{Reporter, plan_document, run_document, status_document, write_document};
use super::plans;
use super::statuses::{fleet, row};
use super::*;
use crate::plan::{Plan, TenantState};
use crate::run::{CancelReason, StopSignal};

const FAILURE: &str = r#"{"migration":"V12__unique_email","statement":1,"line":4,"column":null,"sqlstate":"23505","class":"permanent","message":"could not create unique index \"users_email_key\"","detail":"Key (email)=(ann@example.com) is duplicated.","hint":null,"context":null,"blocked_by":null}"#;

fn sample() -> RunSummary {
    let tenants = vec![
        result("a", Outcome::Succeeded),
        failed("b\n", failure()),
        because("c", Outcome::Skipped, "not begun"),
    ];
    summary_of(RunOutcome::Failed, ExitCode::TenantsFailed, tenants)
}

fn expected_run() -> String {
    [
        r#"{"run":"20261123-161004-7f3a","outcome":"failed","exit_code":4,"target":12,"totals":{"tenants":3,"succeeded":1,"up_to_date":0,"failed":1,"interrupted":0,"skipped":1,"held":0},"tenants":["#,
        r#"{"database":"main","schema":"a","outcome":"succeeded","from":11,"to":12,"applied":["V12__unique_email"],"attempts":1,"duration_ms":12,"reason":null,"failure":null,"notes":[]},"#,
        r#"{"database":"main","schema":"b\n","outcome":"failed","from":11,"to":11,"applied":[],"attempts":1,"duration_ms":12,"reason":null,"failure":"#,
        FAILURE,
        r#","notes":[]},{"database":"main","schema":"c","outcome":"skipped","from":11,"to":11,"applied":[],"attempts":0,"duration_ms":12,"reason":"not begun","failure":null,"notes":[]}],"#,
        r#""failures":[{"count":1,"sqlstate":"23505","migration":"V12__unique_email","message":"could not create unique index \"users_email_key\"","tenants":["main/b\n"]}],"new":[],"waves":[],"halted":null,"throttled":[]}"#,
        "\n",
    ]
    .concat()
}

#[test]
fn a_run() {
    assert_eq!(
        written(|out| write_document(out, &run_document(&sample()))),
        expected_run()
    );
}

#[test]
fn a_plan() {
    let mut plan = plans::sample();
    plan.tenants.drain(..196);
    plan.tenants.truncate(4);
    let text = written(|out| write_document(out, &plan_document(plans::shown(&plan), &set())));
    let hint = "restore the history table with the schema, or say where the tenant is: fleet baseline NAME --at VERSION; fleet never starts at the first version on a schema that is in use";
    let expected = [
        r#"{"target":12,"head":12,"totals":{"tenants":4,"migrate":2,"up_to_date":1,"refuse":1,"hold":0},"goes_on_with":null,"waves":[],"tenants":["#,
        r#"{"database":"main","schema":"a197","from":10,"pending":["V11__orders","V12__unique_email"],"action":"migrate","reason":null,"hint":null,"wave":null,"create":false,"halfway":null,"holds":[]},"#,
        r#"{"database":"main","schema":"b","from":null,"pending":["V10__init","V11__orders","V12__unique_email"],"action":"migrate","reason":null,"hint":null,"wave":null,"create":true,"halfway":null,"holds":[]},"#,
        r#"{"database":"main","schema":"c","from":12,"pending":[],"action":"up_to_date","reason":null,"hint":null,"wave":null,"create":false,"halfway":null,"holds":[]},"#,
        r#"{"database":"main","schema":"d","from":10,"pending":[],"action":"refuse","reason":"12 relations but no history","hint":""#,
        hint,
        r#"","wave":null,"create":false,"halfway":null,"holds":[]}]}"#,
        "\n",
    ];
    assert_eq!(text, expected.concat());
    let empty = Plan {
        target: None,
        tenants: Vec::new(),
        others: Vec::new(),
    };
    assert!(
        written(|out| write_document(out, &plan_document(plans::shown(&empty), &set())))
            .starts_with(r#"{"target":null,"head":12,"#)
    );
}

#[test]
fn a_status() {
    let rows = vec![
        row("a", Some(12), TenantState::UpToDate),
        row("b", None, TenantState::Failed),
    ];
    let expected = [
        r#"{"head":12,"totals":{"tenants":2,"up_to_date":1,"pending":0,"failed":1,"interrupted":0,"refused":0,"in_progress":0,"held":0},"versions":[{"version":null,"tenants":1},{"version":12,"tenants":1}],"tenants":["#,
        r#"{"database":"main","schema":"a","version":12,"pending":0,"state":"up_to_date","halfway":null,"reason":null,"holds":[],"last_failure":null},"#,
        r#"{"database":"main","schema":"b","version":null,"pending":1,"state":"failed","halfway":null,"reason":null,"holds":[],"last_failure":{"run":"20261123-161004-7f3a","at":"2026-11-23T16:10:09Z","#,
        &FAILURE[1..],
        "}]}\n",
    ];
    assert_eq!(
        written(|out| write_document(out, &status_document(&fleet(rows)))),
        expected.concat()
    );
}

#[test]
fn events_and_the_document_as_the_last_line() {
    let shared = Shared::default();
    let mut ndjson = Ndjson::new(Sink::new(shared.clone()));
    let totals = sample().totals;
    for event in [
        started(2, totals),
        attempt("a", 1),
        migration_of("a"),
        retry("a"),
        finished(result("a", Outcome::Succeeded), totals),
        RolloutEvent::CancelBegun {
            reason: CancelReason::Drain,
            signal: Some(StopSignal::Interrupt),
            halt: None,
            in_flight: 8,
        },
        ended(sample()),
    ] {
        ndjson.report(&event);
    }
    let totals = r#""totals":{"tenants":3,"succeeded":1,"up_to_date":0,"failed":1,"interrupted":0,"skipped":1,"held":0}"#;
    let expected = [
        r#"{"event":"run_started","run":"20261123-161004-7f3a","resumes":null,"target":12,"to_migrate":2,"concurrency":8,"auto":false,"#,
        totals,
        ",\"eta_ms\":null,\"deadline_ms\":null}\n",
        r#"{"event":"attempt_started","database":"main","schema":"a","attempt":1,"pending":1,"expected_ms":null}"#,
        "\n",
        r#"{"event":"migration_started","database":"main","schema":"a","migration":"V12__unique_email"}"#,
        "\n",
        r#"{"event":"attempt_failed","database":"main","schema":"a","attempt":1,"retry_in_ms":200,"failure":{"migration":"V11__orders","statement":null,"line":2,"column":null,"sqlstate":"55P03","class":"transient","message":"canceling statement due to lock timeout","detail":null,"hint":null,"context":null,"blocked_by":"pid 4711, psql, idle in transaction for 2 h"}}"#,
        "\n",
        r#"{"event":"tenant_finished","database":"main","schema":"a","outcome":"succeeded","from":11,"to":12,"applied":["V12__unique_email"],"attempts":1,"duration_ms":12,"reason":null,"failure":null,"notes":[],"#,
        totals,
        "}\n",
        r#"{"event":"cancel_begun","reason":"drain","signal":"SIGINT","halted":null,"in_flight":8}"#,
        "\n",
        &expected_run(),
    ];
    assert_eq!(shared.text(), expected.concat());
}

#[test]
fn only_the_end_is_a_document() {
    let shared = Shared::default();
    let mut document = Document(Sink::new(shared.clone()));
    document.report(&started(2, Totals::default()));
    document.report(&ended(sample()));
    assert_eq!(shared.text(), expected_run());
}
