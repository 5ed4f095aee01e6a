//! Where it is looked, and what follows.

use serde_json::json;

use super::{OUTSIDE, assert_leaks, fleet_of_an_owner, versions};
use crate::support::{TestDatabase, assert_says, each_tenants, rows, tenant};

const LEAK: &str =
    "CREATE TABLE fresh (id int);\nCREATE VIEW public.overview AS SELECT 1 AS one;\n";
const ALLOWED: &str = "-- fleet: allow leak all tenants note their names in one table\n\
    INSERT INTO public.settings SELECT max(id) + 1, current_schema() FROM public.settings;\n";

fn settings(db: &TestDatabase) -> i64 {
    db.query_one("SELECT count(*) FROM public.settings")
}

#[test]
fn no_budget_has_room_for_a_leak() {
    let (db, fleet) = fleet_of_an_owner();
    let fleet = fleet
        .set("rollout.max_failures", 0)
        .set("rollout.same_failures", 0)
        .set(
            "rollout.waves",
            json!([{ "name": "canary", "count": 2, "max_failures": 0 }]),
        );
    assert_leaks(&db, &fleet, LEAK, &["created view public.overview"]);
    let told = fleet.fleet(&["migrate"]);
    told.assert_code(5);
    told.assert_stdout_has("Halted: V2__reaches: the file reaches outside of its tenant");
    told.assert_stdout_has("-- fleet: allow leak REASON");
    let causes = fleet.fleet(&["failures"]);
    assert!(!causes.stdout.contains("fleet repair"), "{causes}");
}

#[test]
fn a_file_may_say_that_it_is_meant() {
    let (db, fleet) = fleet_of_an_owner();
    fleet.write_migration("V2__noted", ALLOWED);
    fleet.write_migration("V3__index", "CREATE INDEX CONCURRENTLY ON own (id);\n");
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(0);
    run.assert_stderr_has(
        "not proven to keep to their tenants: V2__noted (allow leak: all tenants note their names in one table), \
         V3__index (no transaction)",
    );
    assert_eq!(settings(&db), 4);
}

#[test]
fn the_file_behind_one_that_may_answers_for_itself_alone() {
    let (db, fleet) = fleet_of_an_owner();
    let fleet = fleet
        .set("execution.transaction", "tenant")
        .set("execution.concurrency", 1);
    fleet.write_migration("V2__noted", ALLOWED);
    fleet.write_migration("V3__own", "ALTER TABLE own ADD COLUMN more int;\n");
    fleet.write_migration("V4__reaches", LEAK);

    let rehearsal = fleet.json(&["rehearse"], 4);
    let run = fleet.json(&["migrate"], 5);

    assert_eq!(rehearsal["totals"]["would_fail"], 3);
    assert_eq!(run["totals"]["failed"], 1);
    for told in [&rehearsal, &run] {
        let failures: Vec<_> = rows(told)
            .iter()
            .map(|row| &row["failure"])
            .filter(|failure| failure.is_object())
            .collect();
        assert!(!failures.is_empty(), "{told:#}");
        for failure in failures {
            assert_eq!(failure["migration"], "V4__reaches");
            let message = failure["message"].as_str().expect("a message");
            assert!(
                message.ends_with("it created view public.overview"),
                "{message}"
            );
        }
    }
    assert_eq!(settings(&db), 1);
    assert_eq!(versions(&db, "tenant_0001"), [1]);

    fleet.remove_migration("V4__reaches");
    assert_eq!(fleet.json(&["rehearse"], 0)["totals"]["would_succeed"], 3);
    fleet.json(&["migrate"], 0);
    assert_eq!(settings(&db), 4);
}

#[test]
fn a_rehearsal_finds_a_leak_in_every_tenant_that_it_is_made_in() {
    let (db, fleet) = fleet_of_an_owner();
    let outside: Vec<String> = db.column(OUTSIDE);
    fleet.write_migration("V2__own", "ALTER TABLE own ADD COLUMN more int;\n");
    fleet.write_migration("V3__noted", ALLOWED);
    fleet.write_migration("V4__reaches", LEAK);

    let told = fleet.json(&["rehearse"], 4);

    assert_eq!(
        each_tenants(&told, "outcome"),
        [
            "tenant_0001 would_fail",
            "tenant_0002 would_fail",
            "tenant_0003 would_fail"
        ]
    );
    let failure = &tenant(&told, "tenant_0003")["failure"];
    assert_eq!(failure["migration"], "V4__reaches");
    assert_says(&failure["message"], &["it created view public.overview"]);
    assert_eq!(db.column::<String>(OUTSIDE), outside);
}

#[test]
fn where_there_are_no_waves_nobody_is_left_with_a_leak_either() {
    let (db, fleet) = fleet_of_an_owner();
    let fleet = fleet.set("rollout.waves", json!([]));
    let outside: Vec<String> = db.column(OUTSIDE);
    fleet.write_migration("V2__reaches", LEAK);

    let run = fleet.json(&["migrate"], 5);

    assert_eq!(run["halted"]["by"], "leak");
    assert_eq!(tenant(&run, "tenant_0001")["outcome"], "failed");
    assert_eq!(db.column::<String>(OUTSIDE), outside);
    for schema in ["tenant_0001", "tenant_0002", "tenant_0003"] {
        assert_eq!(versions(&db, schema), [1]);
    }
}

#[test]
fn what_only_a_later_tenant_of_the_canary_does_is_found_as_well() {
    let (db, fleet) = fleet_of_an_owner();
    let outside: Vec<String> = db.column(OUTSIDE);
    fleet.write_migration(
        "V2__reaches",
        "DO $$ BEGIN IF current_schema() = 'tenant_0002' THEN CREATE VIEW public.overview AS SELECT 1 AS one; END IF; END $$;\n",
    );

    let run = fleet.json(&["migrate"], 5);

    assert_eq!(
        each_tenants(&run, "outcome"),
        [
            "tenant_0001 succeeded",
            "tenant_0002 failed",
            "tenant_0003 skipped"
        ]
    );
    let hint = &tenant(&run, "tenant_0002")["failure"]["hint"];
    assert_says(hint, &["fleet accept-divergent"]);
    assert_eq!(db.column::<String>(OUTSIDE), outside);
}

#[test]
fn a_fix_keeps_to_its_tenant_too() {
    let (db, fleet) = fleet_of_an_owner();
    let outside: Vec<String> = db.column(OUTSIDE);
    fleet.write_file(
        "fix.sql",
        "UPDATE own SET name = 'two';\nDELETE FROM public.settings;\n",
    );

    let run = fleet.json(
        &["repair", "--tenant", "tenant_0003", "--sql", "fix.sql"],
        5,
    );

    let failure = &tenant(&run, "tenant_0003")["failure"];
    assert_says(&failure["message"], &["wrote to table public.settings"]);
    assert_eq!(db.column::<String>(OUTSIDE), outside);
}

#[test]
fn a_file_that_closes_all_cursors_is_told_why_it_cannot() {
    let (db, fleet) = fleet_of_an_owner();
    fleet.write_migration(
        "V2__closes",
        "ALTER TABLE own ADD COLUMN more int;\nCLOSE ALL;\n",
    );
    let run = fleet.json(&["migrate"], 5);
    assert_says(
        &tenant(&run, "tenant_0001")["failure"]["hint"],
        &["CLOSE ALL", "by name"],
    );
    assert_eq!(versions(&db, "tenant_0001"), [1]);
}
