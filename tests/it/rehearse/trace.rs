//! A rehearsal leaves no trace, however it ends: catalogue and data are what they were, row by row.

use std::collections::BTreeMap;

use crate::support::{
    LockGuard, Server, TestDatabase, TestFleet, assert_nothing_left, quote, tenant, tenants,
    wait_until,
};

/// Columns of `pg_class` that the server writes without a transaction: statistics, horizons for vacuum, and
/// the hint that a table may have an index, which vacuum takes back.
const HINTS: [&str; 7] = [
    "relpages",
    "reltuples",
    "relallvisible",
    "relallfrozen",
    "relfrozenxid",
    "relminmxid",
    "relhasindex",
];

/// A digest of every table of the catalogue but statistics, and of every table with data. Sequences are apart.
fn fingerprint(db: &TestDatabase) -> BTreeMap<String, String> {
    let catalogue: Vec<String> = db.column(
        "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
         AND relname NOT IN ('pg_statistic', 'pg_statistic_ext_data', 'pg_database')",
    );
    assert!(catalogue.len() > 50, "{catalogue:?}");
    let hints: String = HINTS.map(|hint| format!(" - '{hint}'")).concat();
    let mut rows: Vec<(String, String)> = catalogue
        .into_iter()
        .map(|table| {
            (
                format!("pg_catalog.{table}"),
                format!("(to_jsonb(t){hints})::text"),
            )
        })
        .collect();
    let data: Vec<String> = db.column(
        "SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
         WHERE relkind = 'r' AND nspname !~ '^pg_' AND nspname <> 'information_schema'",
    );
    rows.extend(data.into_iter().map(|table| (table, "t::text".to_owned())));
    rows.into_iter()
        .map(|(table, text)| {
            let digest = db.query_one(&format!(
                "SELECT coalesce(md5(string_agg({text}, E'\\n' ORDER BY {text})), 'empty') FROM {table} t"
            ));
            (table, digest)
        })
        .collect()
}

#[track_caller]
fn assert_no_trace(before: &BTreeMap<String, String>, db: &TestDatabase) {
    assert_nothing_left(db);
    let after = fingerprint(db);
    let names = before.keys().chain(after.keys());
    let mut changed: Vec<&String> = names
        .filter(|name| before.get(*name) != after.get(*name))
        .collect();
    changed.dedup();
    assert!(changed.is_empty(), "a trace in {changed:?}");
}

/// Five tenants with all kinds of things, and migrations that change all of them.
struct Changing {
    db: TestDatabase,
    schemas: Vec<String>,
    fleet: TestFleet,
}

impl Changing {
    fn new() -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, 5);
        let fleet = TestFleet::new(&db).migration(
            "V1__base",
            "CREATE TYPE mood AS ENUM ('sad', 'happy');
             CREATE TABLE people (id serial PRIMARY KEY, name text NOT NULL, mood mood);
             CREATE TABLE orders (id bigint PRIMARY KEY, person int REFERENCES people, total numeric);
             CREATE TABLE old (id int);
             CREATE VIEW happy AS SELECT * FROM people WHERE mood = 'happy';
             CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
             CREATE TRIGGER touch BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
             INSERT INTO people (name, mood) SELECT 'p' || i, 'happy' FROM generate_series(1, 20) i;
             INSERT INTO orders SELECT i, i, i * 10 FROM generate_series(1, 20) i;",
        );
        fleet.json(&["migrate"], 0);
        let fleet = fleet
            .migration(
                "V2__structure",
                "ALTER TYPE mood ADD VALUE 'calm';
                 ALTER TABLE people ADD COLUMN email text DEFAULT 'x';
                 ALTER TABLE orders ALTER COLUMN total TYPE bigint;
                 CREATE INDEX people_name ON people (name);
                 DROP TABLE old;
                 ALTER TABLE orders RENAME TO purchases;
                 ALTER TABLE purchases ENABLE ROW LEVEL SECURITY;
                 CREATE POLICY mine ON purchases USING (true);
                 DROP TRIGGER touch ON purchases;
                 CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
                 COMMENT ON TABLE people IS 'persons';
                 CREATE MATERIALIZED VIEW totals AS SELECT sum(total) FROM purchases;
                 GRANT SELECT ON people TO public;
                 DO $$ BEGIN
                   EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO public', current_schema());
                 END $$;
                 CREATE TABLE fresh (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY);
                 CREATE TEMP TABLE scratch AS SELECT 1 AS one;",
            )
            .migration(
                "V3__data",
                "INSERT INTO people (name) VALUES ('new');
                 UPDATE people SET name = upper(name);
                 DELETE FROM purchases WHERE id > 10;
                 TRUNCATE purchases;
                 NOTIFY something;
                 SELECT set_config('myapp.leak', 'yes', false);",
            );
        Self { db, schemas, fleet }
    }

    fn last_values(&self) -> Vec<i64> {
        let of = |schema: &String| {
            self.db.query_one(&format!(
                "SELECT last_value FROM {}.people_id_seq",
                quote(schema)
            ))
        };
        self.schemas.iter().map(of).collect()
    }
}

#[test]
fn changes_of_every_kind_leave_no_trace_but_in_sequences() {
    let changing = Changing::new();
    let before = fingerprint(&changing.db);
    assert_eq!(changing.last_values(), [20; 5]);

    let told = changing.fleet.json(&["rehearse"], 0);

    assert_eq!(told["totals"]["would_succeed"], 5);
    assert_no_trace(&before, &changing.db);
    // the exception: a number that was drawn is gone
    assert_eq!(changing.last_values(), [21; 5]);
    // and what was rehearsed is what runs
    let run = changing.fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["succeeded"], 5);
}

#[test]
fn a_tenant_that_fails_and_one_that_is_busy_leave_no_trace() {
    let changing = Changing::new();
    let fleet = changing.fleet.migration(
        "V4__strict",
        "ALTER TABLE people ADD CHECK (name <> 'EXTRA');\nCREATE TABLE more (id int);\n",
    );
    let db = &changing.db;
    db.execute("INSERT INTO tenant_0002.people (name) VALUES ('extra')");
    let before = fingerprint(db);
    let lock = db.hold_lock("LOCK TABLE tenant_0004.people IN ACCESS SHARE MODE");

    let told = fleet.json(&["rehearse"], 4);

    lock.release();
    assert_eq!(told["totals"]["would_succeed"], 3);
    assert_eq!(tenant(&told, "tenant_0002")["failure"]["sqlstate"], "23514");
    assert_eq!(tenant(&told, "tenant_0004")["outcome"], "busy");
    assert_no_trace(&before, db);
}

/// The first signal cancels what runs: there is nothing to drain.
#[test]
fn a_rehearsal_that_is_interrupted_leaves_no_trace() {
    let changing = Changing::new();
    let fleet = changing.fleet.migration(
        "V4__gate",
        "CREATE TABLE before_the_gate (id int);\nSELECT pg_advisory_xact_lock_shared(4711);\n",
    );
    let fleet = fleet
        .set("rehearsal.lock_timeout", "0")
        .set("execution.lock_timeout", "0");
    let db = &changing.db;
    let before = fingerprint(db);
    let gate: LockGuard = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    for (format, code) in [("json", 130), ("json", 143), ("human", 130)] {
        let child = fleet.spawn(&["-o", format, "rehearse"]);
        wait_until("two tenants stand at the gate", || gate.waiters() == 2);
        if code == 143 {
            child.terminate();
        } else {
            child.interrupt();
        }
        let run = child.wait();
        run.assert_code(code);
        if format == "json" {
            let told = run.json();
            assert_eq!(told["exit_code"], code);
            assert_eq!(told["totals"]["not_rehearsed"], 5);
            assert_eq!(
                told["not_rehearsed"][0]["reason"],
                "the rehearsal was stopped"
            );
        } else {
            run.assert_stdout_has("! Interrupted after")
                .assert_stdout_has("0 of 5 tenants rehearsed");
        }
    }
    gate.release();
    assert_no_trace(&before, db);
}

/// The process dies in the middle: the server takes everything back.
#[test]
fn a_rehearsal_that_is_killed_leaves_no_trace() {
    let changing = Changing::new();
    let fleet = changing
        .fleet
        .migration("V4__gate", "SELECT pg_advisory_xact_lock_shared(4711);\n");
    let fleet = fleet
        .set("rehearsal.lock_timeout", "0")
        .set("execution.lock_timeout", "0");
    let db = &changing.db;
    let before = fingerprint(db);
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    let child = fleet.spawn(&["rehearse"]);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    child.kill();
    child.wait();
    db.end_what_the_server_cannot_notice();
    wait_until("the server has noticed", || gate.waiters() == 0);
    gate.release();
    assert_no_trace(&before, db);
}
