//! Two releases, two checkouts, three kinds of tenants: what the files say and what was applied.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, each_tenants,
    tenant, tenants,
};

/// F14: the older of two releases leaves alone what the newer has migrated, and says so without any noise.
#[test]
fn an_older_release_never_takes_a_tenant_back() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 4);
    let new = TestFleet::new(&db).probe_migrations(1..=10);
    let old = TestFleet::new(&db).probe_migrations(1..=9);
    new.json(&["migrate", "--tenant", "*1", "--tenant", "*2"], 0);

    let plan = old.json(&["plan"], 7);
    let run = old.fleet(&["-o", "json", "migrate"]);

    assert_eq!(
        each_tenants(&plan, "action"),
        [
            "tenant_0001 refuse",
            "tenant_0002 refuse",
            "tenant_0003 migrate",
            "tenant_0004 migrate"
        ]
    );
    run.assert_code(7);
    let document = run.json();
    for schema in &schemas[..2] {
        let row = tenant(&document, schema);
        assert_eq!(row["outcome"], "skipped");
        assert_says(&row["reason"], &["ahead of this migration set: V10"]);
    }
    for noise in ["divergent", "edited", "missing"] {
        let seen = format!("{}{}", run.stdout, run.stderr);
        assert!(!seen.contains(noise), "{noise}\n{run}");
    }
    assert_applied_exactly_once(&db, &schemas[..2], &(1..=10).collect::<Vec<_>>());
    assert_applied_exactly_once(&db, &schemas[2..], &(1..=9).collect::<Vec<_>>());
    new.json(&["migrate"], 0);
    assert_eq!(old.json(&["migrate"], 7)["totals"]["skipped"], 4);
    assert_applied_exactly_once(&db, &schemas, &(1..=10).collect::<Vec<_>>());
}

/// F43: also an edit that no eye sees is one, and both checksums are told.
#[test]
fn an_edit_that_no_eye_sees_is_an_edit() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    fleet.json(&["migrate"], 0);
    let path = fleet.migration_path("V2__probe_2");
    let text = std::fs::read_to_string(path).expect("the file");
    for edited in [
        text.replace('\n', "\r\n"),
        format!("\u{feff}{text}"),
        format!("{text} "),
        text.replace(";\n", "; \n"),
    ] {
        fleet.write_migration("V2__probe_2", &edited);
        let plan = fleet.json(&["plan"], 7);
        let row = tenant(&plan, "tenant_0002");
        assert_says(
            &row["reason"],
            &[
                "edited after being applied",
                "V2__probe_2",
                "with checksum",
                "the file has",
            ],
        );
        assert_eq!(fleet.json(&["migrate"], 7)["totals"]["skipped"], 2);
    }
    fleet.write_migration("V2__probe_2", &text);
    assert_eq!(fleet.json(&["migrate"], 0)["totals"]["up_to_date"], 2);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
}

/// F45: tenants are grouped by what their histories are, and only the clean group runs.
#[test]
fn histories_that_differ_are_told_by_groups_and_only_the_clean_ones_run() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 8);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    fleet.json(&["migrate"], 0);
    for edited in &schemas[4..6] {
        db.execute(&format!(
            "UPDATE {edited}.refinery_schema_history SET checksum = '7' WHERE version = 2"
        ));
    }
    for ahead in &schemas[6..8] {
        db.execute(&format!(
            "INSERT INTO {ahead}.refinery_schema_history
               SELECT 9, 'later', applied_on, checksum FROM {ahead}.refinery_schema_history WHERE version = 2"
        ));
    }
    let fleet = fleet.probe_migrations(3..=3);

    let plan = fleet.fleet(&["plan"]);

    plan.assert_code(7)
        .assert_stdout_has("4 tenants: V2 → V3")
        .assert_stdout_has("2 tenants refused: divergent")
        .assert_stdout_has("main/tenant_0005, main/tenant_0006")
        .assert_stdout_has("2 tenants refused: ahead")
        .assert_stdout_has("main/tenant_0007, main/tenant_0008");
    let run = fleet.json(&["migrate"], 7);
    assert_eq!(run["totals"]["succeeded"], 4);
    assert_eq!(run["totals"]["skipped"], 4);
    assert_applied_exactly_once(&db, &schemas[..4], &[1, 2, 3]);
    assert_applied_exactly_once(&db, &schemas[4..6], &[1, 2]);
}
