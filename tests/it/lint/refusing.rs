//! `migrate` and its like refuse what is denied, and tell what is worth a warning.

use super::{LEAVES, fleet, places};
use crate::support::{Server, TestDatabase, TestFleet, assert_untouched, tenants};

/// F35: what would leave the tenant is refused before anything is touched, and let through where that is wanted.
#[test]
fn migrate_refuses_a_file_that_leaves_its_tenant() {
    let (db, fleet) = fleet();
    let fleet = fleet.probe_migrations(1..=1).migration("V2__view", LEAVES);
    for command in [
        &["migrate"][..],
        &["migrate", "--rehearse"],
        &["rehearse"],
        &["resume"],
    ] {
        let run = fleet.fleet(&[&["-o", "json"], command].concat());
        run.assert_code(3)
            .assert_stderr_has("V2__view.sql:3:24: deny[qualified-name]")
            .assert_stderr_has("-- fleet: allow RULE reason");
        let document = run.json();
        assert_eq!(document["outcome"], "refused");
        assert_eq!(places(&document), ["V2__view.sql:3 qualified-name"]);
    }
    assert_untouched(&db);
    // what is pending further on is nobody's business yet
    fleet.json(&["migrate", "--to", "1"], 0);

    let allowed = LEAVES.replace(
        "CREATE OR",
        "-- fleet: allow qualified-name one view for all\n-- fleet: allow leak the same\nCREATE OR",
    );
    fleet.write_migration("V2__view", &allowed);
    fleet.json(&["migrate"], 0);
}

#[test]
fn plan_says_what_migrate_would_refuse() {
    let (db, fleet) = fleet();
    let fleet = fleet.migration("V1__view", LEAVES);
    for command in [&["plan"][..], &["migrate", "--dry-run"]] {
        let run = fleet.fleet(command);
        run.assert_code(3)
            .assert_stderr_has("V1__view.sql:3:24: deny[qualified-name]")
            .assert_stderr_has("migrate would be refused");
        assert!(!run.stdout.contains("does it"), "{run}");
    }
    assert_untouched(&db);
}

#[test]
fn warnings_are_a_line_each_and_do_not_stop_anybody() {
    let (_db, fleet) = fleet();
    let indexes: Vec<String> = (1..=12)
        .map(|n| format!("CREATE INDEX i{n} ON probe (version);\n"))
        .collect();
    let fleet = fleet.probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    fleet.write_migration("V2__indexes", &indexes.concat());
    let quiet = fleet.fleet(&["-q", "plan"]);
    assert!(!quiet.stderr.contains("lint:"), "{quiet}");
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(0).assert_stderr_has("and 2 more");
    let told = run
        .stderr
        .matches("warn[require-concurrent-index-creation]")
        .count();
    assert_eq!(told, 10, "{run}");
    let again = fleet.fleet(&["migrate"]);
    assert!(!again.stderr.contains("lint:"), "{again}");
}

#[test]
fn rules_about_locks_refuse_where_the_config_says_so() {
    let (_db, fleet) = fleet();
    let fleet = fleet
        .probe_migrations(1..=1)
        .migration("V2__index", "CREATE INDEX i ON probe (version);\n")
        .set(
            "lint.rules",
            serde_json::json!({ "require-concurrent-index-creation": "deny" }),
        );
    assert_eq!(
        places(&fleet.json(&["migrate"], 3)),
        ["V2__index.sql:1 require-concurrent-index-creation"]
    );
    fleet.write_migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY i ON probe (version);\n",
    );
    fleet.json(&["migrate"], 0);
}

/// The hundred honest migrations of the unit test are real ones: they run, and give the same in each tenant.
#[test]
fn a_hundred_honest_migrations_run_as_they_are() {
    let db = TestDatabase::create(Server::A);
    let has_uuids = "SELECT to_regproc('gen_random_uuid') IS NOT NULL"; // from PostgreSQL 13 on
    if !db.query_one::<bool>(has_uuids) {
        return;
    }
    let schemas = tenants(&db, 2);
    let mut fleet = TestFleet::new(&db);
    let honest = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/honest");
    for entry in std::fs::read_dir(honest).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        fleet = fleet.migration(&stem, &std::fs::read_to_string(&path).unwrap());
    }
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], schemas.len());
}
