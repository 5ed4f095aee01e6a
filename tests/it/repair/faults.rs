//! Repairs whose process or connection dies: the fix runs once, whatever became of who ran it.

use super::{fixed, head, with_bad_rows};
use crate::support::{
    Proxy, Server, TestDatabase, TestFleet, assert_nothing_left, assert_nothing_to_do, query_with,
};

/// What a process ends with that aborts.
#[cfg(feature = "failpoints")]
const ABORTED: i32 = 134;

#[cfg(feature = "failpoints")]
#[test]
fn a_repair_that_was_killed_is_typed_again_and_runs_the_fix_once() {
    for point in ["K2", "K4", "K7", "K8"] {
        let (db, fleet) = with_bad_rows(3, &["tenant_0002"]);
        let fleet = fleet.set("execution.concurrency", 1);
        let repair = ["repair", "tenant_*", "--sql", "fix.sql"];
        let mut command = fleet.command(&repair);
        command.env("FAILPOINTS", format!("{point}=return"));
        crate::support::Child::spawn(command)
            .wait()
            .assert_code(ABORTED);
        db.end_what_the_server_cannot_notice();

        fleet.json(&repair, 0);

        for schema in ["tenant_0001", "tenant_0002", "tenant_0003"] {
            let state = (head(&db, schema), fixed(&db, schema));
            assert_eq!(state, (2, 1), "{point}: {schema}");
        }
        let runs = fleet.json(&["runs"], 0);
        assert_eq!(runs["runs"][1]["state"], "interrupted", "{point}");
        let dead = runs["runs"][1]["run"].as_str().expect("a name");
        let shown = fleet.json(&["show", dead], 0);
        assert_eq!(shown["acts"].as_array().map(Vec::len), Some(3), "{point}");
        assert_ne!(
            shown["acts"][0]["state"], "done",
            "{point}: nobody has heard of it"
        );
        assert_nothing_left(&db);
    }
}

/// The same tenants and files, seen through a proxy.
fn behind_a_proxy(db: &TestDatabase, fleet: TestFleet) -> (Proxy, TestFleet) {
    let proxy = Proxy::start(&Server::A.url());
    let url = proxy.url(db.name());
    let fleet = fleet
        .set("databases.0.url", url)
        .set("control", serde_json::json!({ "url": db.url() }))
        .set("execution.retry.backoff", "20ms");
    (proxy, fleet)
}

/// Whether its session commits before it is ended, or is ended before it commits: the fix is there once.
#[test]
fn a_fix_whose_answer_is_lost_is_looked_for_and_run_once() {
    let (db, fleet) = with_bad_rows(2, &["tenant_0002"]);
    let (proxy, fleet) = behind_a_proxy(&db, fleet);
    // nothing is pending in the first any more: no history row can tell
    fleet.json(&["migrate"], 4);
    for schema in ["tenant_0001", "tenant_0002"] {
        let note = format!("INSERT INTO \"{schema}\".fleet_schema_repairs");
        proxy.cut_after(query_with(&note));
    }

    let run = fleet.json(&["repair", "*", "--sql", "fix.sql"], 0);

    assert_eq!(proxy.cuts(), 2);
    assert_eq!(run["totals"]["succeeded"], 2);
    for schema in ["tenant_0001", "tenant_0002"] {
        assert_eq!((head(&db, schema), fixed(&db, schema)), (2, 1), "{schema}");
    }
    assert_nothing_to_do(&fleet);
}

#[test]
fn a_fix_that_did_not_arrive_is_sent_again() {
    let (db, fleet) = with_bad_rows(1, &["tenant_0001"]);
    let (proxy, fleet) = behind_a_proxy(&db, fleet);
    proxy.cut_before(query_with(
        "INSERT INTO \"tenant_0001\".fleet_schema_repairs",
    ));
    let run = fleet.json(&["repair", "tenant_0001", "--sql", "fix.sql"], 0);
    assert_eq!(run["tenants"][0]["attempts"], 2);
    assert_eq!(
        (head(&db, "tenant_0001"), fixed(&db, "tenant_0001")),
        (2, 1)
    );
}

#[test]
fn a_skip_whose_answer_is_lost_is_found_in_the_history() {
    let (db, fleet) = with_bad_rows(1, &[]);
    let (proxy, fleet) = behind_a_proxy(&db, fleet);
    proxy.cut_after(query_with(
        "INSERT INTO \"tenant_0001\".\"refinery_schema_history\"",
    ));
    let run = fleet.json(&["skip", "2", "tenant_0001", "--reason", "x"], 0);
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(run["totals"]["succeeded"], 1);
    assert_eq!(head(&db, "tenant_0001"), 2);
    assert_eq!(fleet.json(&["show"], 0)["acts"][0]["state"], "done");
    assert_nothing_left(&db);
}
