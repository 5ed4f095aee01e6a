//! What `verify --fix-plan` does about each kind of change: it puts it right, or leaves it as a comment, and in no case
//! is there less than before.

use std::collections::BTreeSet;

use super::fixes::{psql, try_psql};
use super::{differences, fleet_of};
use crate::support::{Server, TestDatabase, TestFleet, tenants};

const EVERYTHING: &str = "
    CREATE TYPE state AS ENUM ('new', 'paid, or so');
    CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
    CREATE SEQUENCE tickets;
    CREATE FUNCTION f(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x';
    CREATE TABLE t (id int PRIMARY KEY, a text, b int DEFAULT 1, c text NOT NULL, d int CONSTRAINT t_d CHECK (d > 0),
      s state, n int DEFAULT nextval('tickets'));
    CREATE TABLE u (id int PRIMARY KEY REFERENCES t (id), e email, k int);
    CREATE FUNCTION q() RETURNS int LANGUAGE sql AS 'SELECT 7';
    ALTER TABLE u ADD COLUMN q int NOT NULL DEFAULT q();
    CREATE MATERIALIZED VIEW m WITH (fillfactor = 50) AS SELECT count(*) AS n FROM u;
    CREATE TABLE parted (id int, z int CONSTRAINT z_check CHECK (z > 0)) PARTITION BY RANGE (id);
    CREATE TABLE part PARTITION OF parted FOR VALUES FROM (1) TO (10);
    INSERT INTO t (id, a, c, d, s) VALUES (1, 'x', 'x', 5, 'new'), (2, 'y', 'y', 6, 'new');
    INSERT INTO u VALUES (1, 'a@b', 1), (2, 'c@d', 2);
    CREATE INDEX t_a ON t (a);
    CREATE INDEX t_f ON t (f(b));
    CREATE UNIQUE INDEX u_e ON u (e);
    CREATE VIEW v AS SELECT id, a FROM t;
    CREATE VIEW w AS SELECT id FROM v;
    CREATE FUNCTION g(x int) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM w';
    CREATE FUNCTION tf() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
    CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tf();
    CREATE RULE r AS ON DELETE TO u DO INSTEAD NOTHING;
    ALTER TABLE t ENABLE ROW LEVEL SECURITY;
    CREATE POLICY mine ON t USING (id > 0);
    CREATE STATISTICS st ON e, k FROM u;
    ";

/// Whether nothing of a change is left when the plan was run.
#[derive(Clone, Copy, PartialEq)]
enum Plan {
    Aligns,
    LeavesAll,
    LeavesSome,
}
use Plan::{Aligns, LeavesAll, LeavesSome};

/// What is done by hand in one of the tenants, and what the plan does about it.
const CHANGES: &[(Plan, &str)] = &[
    (Aligns, "DROP INDEX t_a"),
    (Aligns, "DROP INDEX t_a; CREATE INDEX t_a ON t (lower(a))"),
    (
        Aligns,
        "DROP INDEX u_e; CREATE UNIQUE INDEX u_e ON u (id, e)",
    ),
    (Aligns, "CREATE INDEX more ON t (b)"),
    (LeavesAll, "ALTER INDEX t_a RENAME TO t_aa"),
    (Aligns, "ALTER TABLE t DROP CONSTRAINT t_d"),
    (
        Aligns,
        "ALTER TABLE t DROP CONSTRAINT t_d, ADD CONSTRAINT t_d CHECK (d > 1)",
    ),
    (
        Aligns,
        "ALTER TABLE u DROP CONSTRAINT u_id_fkey, ADD CONSTRAINT u_id_fkey FOREIGN KEY (id) REFERENCES t (id) ON DELETE CASCADE",
    ),
    (Aligns, "ALTER TABLE u ADD CONSTRAINT more UNIQUE (e)"),
    (
        LeavesSome,
        "ALTER TABLE u DROP CONSTRAINT u_pkey, ADD CONSTRAINT u_pkey PRIMARY KEY (id, k)",
    ),
    (LeavesAll, "ALTER TABLE t ADD CONSTRAINT more UNIQUE (c)"),
    (LeavesAll, "ALTER TABLE t RENAME CONSTRAINT t_d TO d_t"),
    (LeavesAll, "ALTER TABLE t RENAME CONSTRAINT t_pkey TO pk"),
    (
        LeavesAll,
        "ALTER TABLE u DROP CONSTRAINT u_pkey, ADD CONSTRAINT pk PRIMARY KEY (id, k)",
    ),
    (Aligns, "ALTER TABLE u DROP CONSTRAINT u_pkey"),
    (
        Aligns,
        "ALTER DOMAIN email DROP CONSTRAINT email_check; ALTER DOMAIN email ADD CONSTRAINT email_check CHECK (VALUE <> '')",
    ),
    (LeavesAll, "ALTER TABLE t RENAME COLUMN a TO aa"),
    (LeavesAll, "ALTER TABLE u DROP COLUMN k, ADD COLUMN kk text"),
    (Aligns, "ALTER TABLE u DROP COLUMN k"),
    (
        Aligns,
        "ALTER TABLE t ALTER COLUMN b DROP DEFAULT, ALTER COLUMN c DROP NOT NULL",
    ),
    (LeavesAll, "ALTER TABLE u DROP COLUMN id"),
    (
        LeavesAll,
        "ALTER TABLE u ADD COLUMN \"x\nDROP VIEW w; --\" int",
    ),
    (LeavesAll, "DROP SEQUENCE tickets CASCADE"),
    (LeavesAll, "ALTER SEQUENCE tickets RENAME TO numbers"),
    (Aligns, "ALTER SEQUENCE tickets OWNED BY t.n"),
    (Aligns, "ALTER SEQUENCE tickets INCREMENT 2 OWNED BY t.n"),
    (
        Aligns,
        "CREATE OR REPLACE VIEW w AS SELECT id FROM v WHERE id > 1",
    ),
    (Aligns, "DROP VIEW w; DROP VIEW v"),
    (
        Aligns,
        "CREATE VIEW z_more AS SELECT 1 AS one; CREATE VIEW a_more AS SELECT * FROM z_more",
    ),
    (
        LeavesAll,
        "DROP VIEW w; CREATE VIEW w AS SELECT id, a FROM v",
    ),
    (
        LeavesAll,
        "DROP VIEW w; CREATE VIEW w AS SELECT id::bigint FROM v",
    ),
    (LeavesAll, "DROP VIEW w; CREATE TABLE w (id int)"),
    (Aligns, "ALTER VIEW v ALTER COLUMN a SET DEFAULT 'x'"),
    (
        Aligns,
        "CREATE OR REPLACE FUNCTION g(x int) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    ),
    (Aligns, "DROP FUNCTION g(int); DROP VIEW w"),
    (
        LeavesAll,
        "DROP FUNCTION g(int); CREATE FUNCTION g(x int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ),
    (
        LeavesAll,
        "DROP FUNCTION g(int); CREATE FUNCTION g(y int) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
    ),
    (
        LeavesAll,
        "CREATE OR REPLACE FUNCTION f(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT x + 1'",
    ),
    (
        Aligns,
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER TABLE t ALTER COLUMN b SET DEFAULT more(); \
      CREATE POLICY more ON t USING (more() > 0); CREATE VIEW one_more AS SELECT more()",
    ),
    (
        LeavesAll,
        "CREATE FUNCTION more() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER TABLE u ADD COLUMN m int DEFAULT more()",
    ),
    (
        Aligns,
        "DROP TRIGGER tr ON t; CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION tf(); ALTER TABLE t DISABLE TRIGGER tr",
    ),
    (Aligns, "DROP TRIGGER tr ON t; DROP FUNCTION tf()"),
    (
        Aligns,
        "DROP RULE r ON u; CREATE RULE r AS ON UPDATE TO u DO INSTEAD NOTHING",
    ),
    (Aligns, "ALTER POLICY mine ON t USING (false)"),
    (
        Aligns,
        "DROP POLICY mine ON t; ALTER TABLE t DISABLE ROW LEVEL SECURITY",
    ),
    (Aligns, "DROP STATISTICS st"),
    (
        LeavesAll,
        "CREATE TYPE more AS ENUM ('a'); ALTER TABLE u ADD COLUMN m more",
    ),
    (Aligns, "CREATE TYPE more AS ENUM ('a')"),
    (LeavesAll, "ALTER TABLE u DROP COLUMN e; DROP DOMAIN email"),
    (
        LeavesAll,
        "ALTER TABLE u ALTER COLUMN e TYPE text; DROP INDEX u_e",
    ),
    (LeavesSome, "ALTER TABLE parted DROP CONSTRAINT z_check"),
    (LeavesSome, "ALTER TABLE parted DROP COLUMN z"),
    (Aligns, "ALTER TABLE u DROP COLUMN q; DROP FUNCTION q()"),
    (Aligns, "ALTER TABLE t DROP COLUMN a CASCADE"),
    (Aligns, "ALTER TABLE t DROP COLUMN s; DROP TYPE state"),
    (Aligns, "DROP MATERIALIZED VIEW m"),
    (LeavesAll, "DROP TABLE u CASCADE"),
    (LeavesAll, "CREATE TABLE more (id int)"),
    (
        LeavesAll,
        "DROP FUNCTION g(int); CREATE PROCEDURE g(x int) LANGUAGE plpgsql AS 'BEGIN END'",
    ),
    (
        LeavesAll,
        "DROP INDEX u_e; ALTER TABLE u ADD CONSTRAINT u_e UNIQUE (e)",
    ),
    (
        LeavesAll,
        "ALTER TYPE state RENAME VALUE 'paid, or so' TO 'paid'",
    ),
    (LeavesAll, "ALTER TABLE u ALTER COLUMN k TYPE bigint"),
    (
        Aligns,
        "ALTER TABLE part ADD CONSTRAINT more CHECK (id > 0)",
    ),
    (
        LeavesSome,
        "CREATE TRIGGER more AFTER INSERT ON parted FOR EACH ROW EXECUTE FUNCTION tf()",
    ),
    (LeavesSome, "CREATE INDEX more ON parted (z)"),
    (LeavesAll, "CREATE UNIQUE INDEX more ON t (c)"),
    (
        LeavesAll,
        "ALTER TABLE u ADD COLUMN e2 email, DROP COLUMN e",
    ),
    (
        LeavesAll,
        "ALTER TABLE t DROP CONSTRAINT t_d, ADD CONSTRAINT t_d CHECK (d > 0) NOT VALID, DROP COLUMN n, ADD COLUMN n bigint; \
      ALTER TABLE t VALIDATE CONSTRAINT t_d",
    ),
];

/// A fleet in which one tenant is different by each of these changes, and more are as they ought to be.
fn changed(changes: &[(Plan, &str)]) -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    tenants(&db, changes.len() * 2 + 1);
    let fleet = TestFleet::new(&db)
        .unlinted()
        .migration("V1__everything", EVERYTHING);
    fleet.fleet(&["migrate"]).assert_code(0);
    for (index, (_, change)) in changes.iter().enumerate() {
        let session = db.connect();
        session.execute(&format!("SET search_path = tenant_{:04}", index + 1));
        session.execute(change);
    }
    (db, fleet)
}

fn found(fleet: &TestFleet) -> Vec<String> {
    differences(&fleet.fleet(&["verify", "-o", "json"]).json())
}

/// The differences of one tenant.
fn of_tenant(all: &[String], index: usize) -> BTreeSet<&str> {
    let tenant = format!("main/tenant_{:04}: ", index + 1);
    all.iter().filter_map(|d| d.strip_prefix(&tenant)).collect()
}

/// How many differences a tenant's part leaves as comments.
fn comments(plan: &str, index: usize) -> usize {
    let begin = format!("-- main/tenant_{:04}\n", index + 1);
    let part = plan.split(&begin).nth(1).unwrap_or_default();
    let part = part.split("-- main/").next().unwrap_or_default();
    part.lines()
        .filter(|line| line.starts_with("-- not done: ") || line.starts_with("-- not plain: "))
        .count()
}

#[test]
fn every_statement_does_its_work_and_what_is_left_is_a_comment() {
    let (db, fleet) = changed(CHANGES);
    let before = found(&fleet);
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_code(7);
    psql(&db, &plan.stdout);
    let after = found(&fleet);
    let mut wrong = Vec::new();
    for (index, (expected, change)) in CHANGES.iter().enumerate() {
        let (before, after) = (of_tenant(&before, index), of_tenant(&after, index));
        let is_as_told = match expected {
            Aligns => after.is_empty(),
            LeavesAll => after == before,
            LeavesSome => after.is_subset(&before),
        };
        let says = comments(&plan.stdout, index);
        let is_said = *expected == LeavesSome || says == after.len();
        if before.is_empty() || !is_as_told || !is_said {
            wrong.push(format!(
                "{change}: {before:?} before, {after:?} after, {says} comments"
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n{}", wrong.join("\n"), plan.stdout);
    // once more, each part for itself: it may fail, and nothing is lost
    let mark = "SELECT pg_catalog.current_database()";
    for part in plan.stdout.split(mark).skip(1) {
        let _ = try_psql(&db, &format!("\\set ON_ERROR_STOP on\n{mark}{part}"));
    }
    let again = found(&fleet);
    assert_eq!(again, after, "{}", plan.stdout);
}

#[test]
fn what_replaces_something_and_fails_leaves_it_there() {
    let changes = [
        (
            Aligns,
            "DROP INDEX u_e; CREATE UNIQUE INDEX u_e ON u (id, e); UPDATE u SET e = 'a@b'",
        ),
        (
            Aligns,
            "ALTER TABLE t DROP CONSTRAINT t_d, ADD CONSTRAINT t_d CHECK (d > -9); UPDATE t SET d = -1",
        ),
    ];
    for change in changes {
        let (db, fleet) = changed(&[change]);
        let before = found(&fleet);
        let plan = fleet.fleet(&["verify", "--fix-plan"]);
        // also where somebody has psql go on after a failure
        for plan in [
            &plan.stdout,
            &plan.stdout.replace("\\set ON_ERROR_STOP on", ""),
        ] {
            let output = try_psql(&db, plan);
            assert!(output.stderr.windows(6).any(|w| w == b"ERROR:"), "{plan}");
            let after = found(&fleet);
            assert!(
                before.iter().all(|d| after.contains(d)),
                "{after:?}\n{plan}"
            );
            if plan.contains("ON_ERROR_STOP on") {
                assert_eq!(output.status.code(), Some(3));
            }
        }
    }
}

#[test]
fn without_a_majority_nobody_is_aligned() {
    let (db, _, fleet) = fleet_of(2);
    db.execute("ALTER TABLE tenant_0002.orders ADD CONSTRAINT good CHECK (total < 1000)");
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_code(7);
    plan.assert_stdout_has("no shape has a majority");
    plan.assert_stdout_has("--reference");
    assert!(
        plan.stdout
            .lines()
            .all(|line| line.is_empty() || line.starts_with("--"))
    );
    let plan = fleet.fleet(&["verify", "--fix-plan", "--reference"]);
    plan.assert_stdout_has("\nALTER TABLE \"tenant_0002\".orders DROP CONSTRAINT good;\n");
    psql(&db, &plan.stdout);
    fleet.json(&["verify"], 0);
}

#[test]
fn a_part_is_run_in_its_own_database_only() {
    let (first, second, third) = (
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::A),
        TestDatabase::create(Server::A),
    );
    for db in [&first, &second, &third] {
        tenants(db, 3);
    }
    let fleet = TestFleet::new(&first)
        .database("second", &second)
        .migration(
            "V1__t",
            "CREATE TABLE t (id int); CREATE INDEX t_id ON t (id);",
        );
    fleet.fleet(&["migrate"]).assert_code(0);
    first.execute("DROP INDEX tenant_0001.t_id");
    second.execute("DROP INDEX tenant_0002.t_id");
    third.execute("CREATE TABLE tenant_0001.t (id int); CREATE TABLE tenant_0002.t (id int)");
    let plan = fleet.fleet(&["verify", "--fix-plan"]).stdout;
    let refused = try_psql(&third, &plan);
    assert_eq!(refused.status.code(), Some(3), "{plan}");
    let indexes = "SELECT count(*) FROM pg_indexes WHERE indexname = 't_id'";
    assert_eq!(third.query_one::<i64>(indexes), 0);
    psql(&second, &plan);
    assert_eq!(first.query_one::<i64>(indexes), 2);
    assert_eq!(second.query_one::<i64>(indexes), 3);
    psql(&first, &plan);
    fleet.json(&["verify"], 0);
}

#[test]
fn an_index_that_is_invalid_everywhere_is_built_anew() {
    let (db, schemas, fleet) = fleet_of(2);
    let fleet = fleet.config(|config| {
        config["databases"][0]["search_path"] = serde_json::from_str(r#"["public"]"#).unwrap();
    });
    for schema in &schemas {
        db.execute(&format!(
            "INSERT INTO {schema}.customers (name) VALUES ('a'), ('a')"
        ));
        let built = db.try_execute(&format!(
            "CREATE UNIQUE INDEX CONCURRENTLY customers_name ON {schema}.customers (name)"
        ));
        assert!(built.is_err());
        db.execute(&format!("DELETE FROM {schema}.customers"));
    }
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_stdout_has("SET search_path = \"tenant_0001\", \"public\";\n");
    psql(&db, &plan.stdout);
    fleet.json(&["verify"], 0);
}
