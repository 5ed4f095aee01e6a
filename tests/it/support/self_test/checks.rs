//! The checkers of invariants on trial: each keeps quiet where all is well and names what is broken.

use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitStatus;

use serde_json::Value;

use crate::support::*;

/// Of everything that has a shape, something.
const RICH: &str = "
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE item (
    id bigserial PRIMARY KEY,
    parent bigint REFERENCES item (id),
    mood mood NOT NULL DEFAULT 'good',
    price numeric(10, 2) CHECK (price > 0),
    twice numeric GENERATED ALWAYS AS (price * 2) STORED
);
CREATE UNIQUE INDEX item_by_mood ON item (mood, (lower(price::text))) WHERE price IS NOT NULL;
CREATE VIEW cheap AS SELECT id FROM item WHERE price < 10;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER keep BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION keep();
INSERT INTO probe (version) VALUES (2);
";

struct Whole {
    db: TestDatabase,
    schemas: Vec<String>,
    fleet: TestFleet,
    golden: Golden,
    run: Run,
}

/// So many tenants after an undisturbed run.
fn whole_of(tenant_count: usize) -> Whole {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, tenant_count);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration("V2__rich", RICH);
    let golden = Golden::of(&fleet);
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    Whole {
        db,
        schemas,
        fleet,
        golden,
        run,
    }
}

impl Whole {
    fn places(&self) -> [Place<'_>; 1] {
        [("main", &self.db, &self.schemas)]
    }
}

/// What a checker that fails says.
#[track_caller]
fn complaint_of(check: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(check)).expect_err("the checker finds nothing wrong");
    panic.downcast_ref::<String>().expect("a message").clone()
}

#[test]
fn what_is_whole_passes_every_check() {
    let whole = whole_of(3);
    assert_reports_truly(&whole.run, &whole.places());
    assert_converged(&whole.fleet, &whole.db, &whole.schemas, &whole.golden);
    let shape = crate::support::shape(&whole.db, "tenant_0003");
    assert_eq!(shape, crate::support::shape(&whole.db, "tenant_0001"));
    for kind in [
        "relation item r",
        "column item.3 mood mood not_null=t",
        "constraint item.item_parent_fkey FOREIGN KEY (parent) REFERENCES item(id)",
        "index CREATE UNIQUE INDEX item_by_mood ON item USING btree",
        "view cheap",
        "trigger CREATE TRIGGER keep BEFORE UPDATE ON item",
        "function keep()",
        "label mood.2 bad",
    ] {
        let is_there = shape.iter().any(|line| line.starts_with(kind));
        assert!(is_there, "no {kind:?} in {shape:#?}");
    }
}

#[test]
fn a_part_of_the_set_is_whole_too() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    let golden = Golden::of(&fleet);
    assert_eq!(golden.versions, [1, 2]);
    assert_invariants(&db, &schemas, &golden);
    let run = fleet.fleet(&["-o", "json", "migrate", "--to", "1"]);
    assert_invariants(&db, &schemas, &golden);
    assert_reports_truly(&run, &[("main", &db, &schemas)]);
}

/// What breaks one tenant, `{}`, and what is said of it.
const DAMAGES: &[(&str, &str)] = &[
    (
        "INSERT INTO {}.probe VALUES (2)",
        "I1 {}: ran [1, 2, 2], history [1, 2]",
    ),
    (
        "DELETE FROM {}.refinery_schema_history WHERE version = 2",
        "I1 {}: ran [1, 2], history [1]",
    ),
    (
        "DELETE FROM {}.refinery_schema_history WHERE version = 1;
         DELETE FROM {}.probe WHERE version = 1",
        "I2 {}: history [2] of the set [1, 2]",
    ),
    (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{}.item_by_mood'::regclass",
        "I3 {}.item_by_mood is invalid",
    ),
    (
        "DROP INDEX {}.item_by_mood",
        "I4 {} after [1, 2]: has [], lacks [\"index CREATE UNIQUE INDEX item_by_mood",
    ),
    (
        "ALTER TABLE {}.item ADD extra int",
        "I4 {} after [1, 2]: has [\"column item.6 extra integer",
    ),
    ("ALTER TABLE {}.item ALTER mood DROP NOT NULL", "I4 {} "),
    ("ALTER TABLE {}.item ALTER mood DROP DEFAULT", "I4 {} "),
    (
        "ALTER TABLE {}.item DROP CONSTRAINT item_price_check",
        "I4 {} ",
    ),
    ("ALTER TABLE {}.t1 ALTER note TYPE varchar(9)", "I4 {} "),
    ("ALTER TYPE {}.mood ADD VALUE 'so so'", "I4 {} "),
    ("DROP TRIGGER keep ON {}.item", "I4 {} "),
    (
        "CREATE OR REPLACE VIEW {}.cheap AS SELECT 1::bigint AS id",
        "I4 {} ",
    ),
    ("CREATE TABLE {}.left_over ()", "I4 {} "),
    ("CREATE VIEW public.of_{} AS SELECT 1", "I5 in public: "),
    (
        "CREATE SCHEMA like_{}",
        "I5 schemas that nobody made: [\"like_{}\"]",
    ),
];

#[test]
fn each_broken_invariant_of_a_database_is_named() {
    let whole = whole_of(DAMAGES.len());
    let for_tenant = |text: &str, schema: &str| text.replace("{}", schema);
    for ((damage, _), schema) in DAMAGES.iter().zip(&whole.schemas) {
        whole.db.execute(&for_tenant(damage, schema));
    }

    let told = complaint_of(|| assert_invariants(&whole.db, &whole.schemas, &whole.golden));

    for ((damage, complaint), schema) in DAMAGES.iter().zip(&whole.schemas) {
        let complaint = for_tenant(complaint, schema);
        assert!(
            told.contains(&complaint),
            "{damage}: no {complaint:?} in\n{told}"
        );
    }
}

#[test]
fn what_outlives_its_fleet_is_named() {
    let whole = whole_of(1);
    let session = whole.db.connect();
    session.execute("SET application_name = 'fleet worker'; SELECT pg_advisory_lock(7)");
    let told = complaint_of(|| assert_invariants(&whole.db, &whole.schemas, &whole.golden));
    let complaint = "I7 1 backends of fleet and 1 advisory locks are left";
    assert!(told.contains(complaint), "{told}");
}

#[test]
fn a_ledger_that_lies_is_named() {
    let whole = whole_of(3);
    whole.db.execute(
        "UPDATE fleet_control.tenants SET version = 1 WHERE schema = 'tenant_0001';
         DELETE FROM fleet_control.tenants WHERE schema = 'tenant_0002';
         INSERT INTO fleet_control.tenants VALUES ('main', 'tenant_0009', 2)",
    );
    let told = complaint_of(|| assert_ledger_is_true(&whole.db, &whole.places()));
    assert_eq!(
        told,
        "I6 main/tenant_0001: ledger Some(Some(1)), history Some(Some(2))\n\
         I6 main/tenant_0002: ledger None, history Some(Some(2))\n\
         I6 main/tenant_0009: ledger Some(Some(2)), history None"
    );
}

#[test]
fn a_second_run_that_has_something_to_do_is_named() {
    let whole = whole_of(1);
    whole.fleet.write_migration("V3__late", "SELECT 1;\n");
    let told = complaint_of(|| assert_nothing_to_do(&whole.fleet));
    assert!(told.starts_with("I8 "), "{told}");
}

#[test]
fn each_lie_of_a_document_is_named() {
    let whole = whole_of(2);
    let lie = |change: fn(&mut Value), code: i32, complaint: &str| {
        let mut document = whole.run.json();
        change(&mut document);
        let mut run = whole.run.clone();
        run.stdout = document.to_string();
        run.status = ExitStatus::from_raw(code << 8);
        let told = complaint_of(|| assert_reports_truly(&run, &whole.places()));
        assert!(told.contains(complaint), "no {complaint:?} in {told}");
    };
    lie(|_| (), 4, "I9 it says exit code 0 and ends with 4");
    lie(
        |doc| doc["exit_code"] = 4.into(),
        4,
        "I9 exit code 4 with 0 tenants",
    );
    lie(
        |doc| doc["target"] = 3.into(),
        0,
        "I9 exit code 0 with 2 tenants",
    );
    lie(
        |doc| doc["target"] = 3.into(),
        0,
        "I9 main/tenant_0001 is said to have succeeded",
    );
    lie(
        |doc| doc["tenants"][1]["to"] = 1.into(),
        0,
        "I10 main/tenant_0002 is said to be at 1",
    );
    lie(
        |doc| doc["tenants"][1]["schema"] = "tenant_0001".into(),
        0,
        "I10 main/tenant_0001 is there twice",
    );
    lie(
        |doc| doc["tenants"][1]["schema"] = "tenant_0001".into(),
        0,
        "I10 main/tenant_0002 is missing",
    );
}
