//! CREATE INDEX CONCURRENTLY over a fleet.

use serde_json::json;

use super::{Fleet, TENANT};
use crate::support::{assert_nothing_left, assert_says, tenant, wait_until};

const BUILD: &str = "CREATE INDEX CONCURRENTLY t1_note ON t1 (note);\n";

#[test]
fn every_tenant_gets_its_index_and_keeps_no_notes() {
    let fleet = Fleet::with(20).migration("V2__index", BUILD);

    let run = fleet.folder.json(&["migrate"], 0);

    assert_eq!(run["totals"]["succeeded"], 20);
    for schema in &fleet.schemas {
        assert_eq!(fleet.indexes(schema), ["t1_note"], "{schema}");
        assert_eq!(fleet.history(schema), [1, 2], "{schema}");
        assert!(!fleet.has_notes(schema), "{schema}");
    }
    assert_nothing_left(&fleet.db);
    assert_eq!(
        fleet.folder.json(&["migrate"], 0)["totals"]["up_to_date"],
        20
    );
}

/// F29: builds wait for each other by their own limit, and neither for connections nor for slots.
#[test]
fn few_indexes_are_built_at_a_time_and_other_tenants_go_on() {
    let fleet = Fleet::with(6).migration("V2__index", BUILD);
    // the first four have nothing but the index before them, the others a table as well
    let writer = fleet.db.hold_lock(
        "INSERT INTO tenant_0001.t1 VALUES (1001); INSERT INTO tenant_0002.t1 VALUES (1001); \
                    INSERT INTO tenant_0003.t1 VALUES (1001)",
    );
    let run = fleet.folder.spawn(&["-o", "json", "migrate"]);
    wait_until("a build waits for the writer", || writer.waiters() == 1);
    let others = fleet.schemas[3..].to_vec();
    assert_eq!(
        writer.waiters(),
        1,
        "one at a time: the turn is not given twice"
    );
    writer.release();
    let run = run.wait();
    run.assert_code(0);
    for schema in others {
        assert_eq!(fleet.indexes(&schema), ["t1_note"]);
    }
}

#[test]
fn a_tenant_that_waits_for_its_turn_holds_up_nobody() {
    let fleet = Fleet::with(4)
        .set("execution.concurrency", 2)
        .migration("V2__index", BUILD);
    // two tenants need the index only, the others are at an earlier version
    fleet.folder.json(&["migrate"], 0);
    for schema in &fleet.schemas[..2] {
        fleet.db.execute(&format!(
            "DROP INDEX {schema}.t1_note; DELETE FROM {schema}.refinery_schema_history WHERE version = 2"
        ));
    }
    let fleet = fleet.migration("V3__table", "CREATE TABLE t3 (id int);\n");
    let writer = fleet.db.hold_lock(
        "INSERT INTO tenant_0001.t1 VALUES (1001); INSERT INTO tenant_0002.t1 VALUES (1001)",
    );
    let run = fleet.folder.spawn(&["-o", "json", "migrate"]);
    wait_until("a build waits for the writer", || writer.waiters() == 1);
    wait_until("the others are done", || {
        fleet.schemas[2..]
            .iter()
            .all(|schema| fleet.history(schema) == [1, 2, 3])
    });
    writer.release();
    run.wait().assert_code(0);
}

/// The turn is for the index alone: what follows it is done for as many tenants at a time as anything else.
#[test]
fn a_migration_behind_an_index_does_not_keep_the_turn() {
    let fleet = Fleet::with(3).set("lint.isolation", "off")
        .set("execution.statement_timeout", "20s")
        .migration("V2__index", BUILD)
        .migration(
            "V3__together",
            "-- fleet: allow leak tenants meet there\nSELECT nextval('public.arrivals');\n\
             DO $$ BEGIN
               WHILE (SELECT last_value FROM public.arrivals) < 3 LOOP PERFORM pg_sleep(0.01); END LOOP;
             END $$;\n",
        );
    fleet.db.execute("CREATE SEQUENCE public.arrivals");

    let run = fleet.folder.json(&["migrate"], 0);

    for schema in &fleet.schemas {
        assert_eq!(fleet.indexes(schema), ["t1_note"], "{schema}");
        assert_eq!(fleet.history(schema), [1, 2, 3], "{schema}");
        assert_eq!(tenant(&run, schema)["attempts"], 1, "{schema}");
    }
    assert_nothing_left(&fleet.db);
}

/// F25, F29: `lock_timeout` does not end the wait of a build, and the wait is shown with who is in the way.
#[test]
fn a_build_waits_longer_than_lock_timeout_and_says_for_whom() {
    let fleet = Fleet::with(1)
        .set("execution.lock_timeout", "50ms")
        .migration("V2__index", BUILD);
    let old = fleet.db.connect();
    old.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class");
    let run = fleet.folder.spawn(&["-o", "ndjson", "migrate"]);
    wait_until("the wait is shown", || {
        run.stdout_so_far().contains("waiting for old snapshots")
    });
    let shown = run.stdout_so_far();
    let event = shown
        .lines()
        .find(|line| line.contains("waiting for old snapshots"))
        .expect("an event");
    assert!(event.contains(&format!("pid {} ", old.pid())), "{event}");
    let snapshots: i64 = fleet.db.query_one(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'fleet%' AND datname = current_database()
           AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL) AND query NOT LIKE 'CREATE INDEX%'",
    );
    assert_eq!(snapshots, 0, "fleet itself is in the way of its build");
    old.execute("COMMIT");
    let run = run.wait();
    run.assert_code(0);
    assert_eq!(
        run.ndjson().last().expect("a document")["tenants"][0]["attempts"],
        1
    );
}

#[test]
fn a_build_that_takes_too_long_is_ended_by_its_own_limit() {
    let fleet = Fleet::with(1)
        .set("execution.index_build_timeout", "200ms")
        .migration("V2__index", BUILD);
    let writer = fleet
        .db
        .hold_lock("INSERT INTO tenant_0001.t1 VALUES (1001)");
    let run = fleet.folder.json(&["migrate"], 4);
    let failure = &tenant(&run, TENANT)["failure"];
    assert_eq!(failure["sqlstate"], "57014");
    assert_says(&failure["hint"], &["index_build_timeout"]);
    writer.release();
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes(TENANT), ["t1_note"]);
}

/// F28: what a failed build has left is taken away, and `IF NOT EXISTS` is not trusted.
#[test]
fn a_build_that_fails_leaves_no_invalid_index_and_can_be_repeated() {
    let unique = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t1_unique ON t1 (note);\n";
    let fleet = Fleet::with(3).migration("V2__index", unique);
    fleet
        .db
        .execute("INSERT INTO tenant_0002.t1 VALUES (1001, 'note 1')");

    let run = fleet.folder.json(&["migrate"], 4);

    let failure = &tenant(&run, "tenant_0002")["failure"];
    assert_eq!(failure["sqlstate"], "23505");
    assert_eq!(failure["migration"], "V2__index");
    assert_eq!(failure["statement"], 1);
    assert_eq!(failure["line"], 1);
    assert_eq!(fleet.indexes("tenant_0002"), [""; 0]);
    assert_eq!(fleet.indexes("tenant_0003"), ["t1_unique"]);
    fleet
        .db
        .execute("DELETE FROM tenant_0002.t1 WHERE id = 1001");
    fleet.folder.json(&["resume"], 0);
    assert_eq!(fleet.indexes("tenant_0002"), ["t1_unique"]);
    assert_eq!(fleet.history("tenant_0002"), [1, 2]);
}

#[test]
fn an_invalid_index_that_was_there_before_is_built_anew() {
    let build = "CREATE INDEX CONCURRENTLY IF NOT EXISTS t1_note ON t1 (note);\n";
    let fleet = Fleet::with(1).migration("V2__index", build);
    // as a build by hand that was cut off
    let by_hand = fleet.db.connect();
    by_hand.execute("SET statement_timeout = '100ms'");
    let writer = fleet
        .db
        .hold_lock("INSERT INTO tenant_0001.t1 VALUES (1001)");
    by_hand
        .try_execute("CREATE INDEX CONCURRENTLY t1_note ON tenant_0001.t1 (note)")
        .expect_err("it runs into its limit");
    writer.release();
    assert_eq!(fleet.indexes(TENANT), ["t1_note!"]);

    fleet.folder.json(&["migrate"], 0);

    assert_eq!(fleet.indexes(TENANT), ["t1_note"]);
}

/// F30: try-locks never deadlock with a build.
#[test]
fn two_installations_that_build_the_same_indexes_never_deadlock() {
    let fleet = Fleet::with(12).migration(
        "V2__index",
        "CREATE INDEX CONCURRENTLY t1_note ON t1 (lower(note));\nDROP INDEX CONCURRENTLY t1_note;\n\
         CREATE INDEX CONCURRENTLY t1_note ON t1 (note);\n",
    );
    let fleet = fleet
        .set("databases.0.max_index_builds", 4)
        .set("execution.retry.attempts", 100);
    let first = fleet.folder.spawn(&["-o", "json", "migrate"]);
    wait_until("it has read its config", || {
        first.stderr_so_far().contains("Migrating")
    });
    let fleet = Fleet {
        folder: fleet
            .folder
            .config(|yaml| yaml["control"] = json!({ "schema": "another_control" })),
        ..fleet
    };
    let second = fleet.folder.spawn(&["-o", "json", "migrate"]);
    for run in [first.wait(), second.wait()] {
        run.assert_code(0);
        assert!(!run.stderr.contains("40P01"), "{run}");
    }
    for schema in &fleet.schemas {
        assert_eq!(fleet.indexes(schema), ["t1_note"]);
        assert_eq!(fleet.history(schema), [1, 2]);
    }
    assert_nothing_left(&fleet.db);
}
