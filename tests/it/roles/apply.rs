//! `fleet roles`: what it does, and what it leaves as it was.

use serde_json::json;

use super::Guarded;
use crate::support::{
    Server, Session, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left,
    assert_says, each_tenants, tenant,
};

/// A session of a role, in the database of a test.
fn session_of(db: &TestDatabase, role: &str) -> Session {
    Session::connect(&url_of(db, role))
}

fn url_of(db: &TestDatabase, role: &str) -> String {
    db.url().replace("//postgres@", &format!("//{role}@"))
}

#[test]
fn applying_twice_does_nothing_and_plans_nothing() {
    let (of, fleet) = Guarded::new();
    assert_eq!(fleet.json(&["roles", "apply"], 0)["totals"]["unchanged"], 3);
    assert_eq!(fleet.json(&["roles", "plan"], 0)["tenants"], json!([]));
    let run = fleet.fleet(&["roles", "plan"]);
    run.assert_code(0);
    assert_eq!(run.stdout, "");
    assert_eq!(of.owners("tenant_0002"), [of.role("tenant_0002")]);
}

#[test]
fn what_plan_prints_is_what_apply_would_do() {
    let of = Guarded::unguarded(2);
    of.db.execute(
        "CREATE TABLE tenant_0001.t (id serial PRIMARY KEY); CREATE TYPE tenant_0001.mood AS ENUM ('good');
         CREATE FUNCTION tenant_0001.f(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE AGGREGATE tenant_0001.n(*) (SFUNC = int8inc, STYPE = int8, INITCOND = '0');
         CREATE MATERIALIZED VIEW tenant_0001.m AS SELECT 1 AS one",
    );
    let fleet = of.fleet().probe_migrations(1..=1);
    let script = fleet.fleet(&["roles", "plan"]);
    script.assert_code(0);
    assert_eq!(
        of.owners("tenant_0001"),
        ["postgres"],
        "a plan does nothing"
    );

    of.db.execute(&script.stdout);

    assert_eq!(of.owners("tenant_0001"), [of.role("tenant_0001")]);
    assert_eq!(fleet.json(&["roles", "apply"], 0)["totals"]["unchanged"], 2);
}

#[test]
fn an_application_that_owned_everything_works_on_as_before() {
    let of = Guarded::unguarded(2);
    let (app, reader) = (of.roles.named("app"), of.roles.named("reader"));
    of.db.execute(&format!(
        "CREATE ROLE {app} LOGIN; CREATE ROLE {reader} LOGIN"
    ));
    for schema in &of.schemas {
        of.db.execute(&format!(
            "ALTER SCHEMA {schema} OWNER TO {app}; GRANT USAGE ON SCHEMA {schema} TO {reader};
             SET ROLE {app};
             CREATE TABLE {schema}.orders (id serial PRIMARY KEY, note text);
             CREATE VIEW {schema}.notes AS SELECT note FROM {schema}.orders;
             CREATE TABLE {schema}.secret (id int); ALTER TABLE {schema}.secret ENABLE ROW LEVEL SECURITY;
             INSERT INTO {schema}.secret VALUES (1);
             RESET ROLE;
             ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {reader};
             CREATE TABLE {schema}.refinery_schema_history (version int4 PRIMARY KEY, name text, applied_on text, checksum text)"
        ));
    }
    let fleet = of.fleet().migration(
        "V1__items",
        "CREATE TABLE items (id serial PRIMARY KEY, name text);\n",
    );
    fleet.json(&["roles", "apply"], 0);
    of.db.execute(
        "DROP TABLE tenant_0001.refinery_schema_history; DROP TABLE tenant_0002.refinery_schema_history;
         ALTER TABLE tenant_0001.orders RENAME TO orders_before; ALTER TABLE tenant_0001.orders_before RENAME TO orders",
    );
    fleet.write_migration(
        "V2__more",
        "CREATE TABLE more (id serial PRIMARY KEY, name text);\n",
    );
    fleet.json(
        &[
            "baseline",
            "*",
            "--at",
            "1",
            "--reason",
            "made by the application",
        ],
        0,
    );
    fleet.json(&["migrate"], 0);

    let application = session_of(&of.db, &app);
    application.execute(
        "INSERT INTO tenant_0001.orders (note) VALUES ('one'); UPDATE tenant_0001.orders SET note = 'two';
         INSERT INTO tenant_0001.more (name) VALUES ('new'); DELETE FROM tenant_0001.more; TRUNCATE tenant_0001.orders",
    );
    let secrets: i64 = application.query_one("SELECT count(*) FROM tenant_0001.secret");
    assert_eq!(secrets, 1, "an owner passes row security");
    let notes: i64 = application.query_one("SELECT count(*) FROM tenant_0001.notes");
    assert_eq!(notes, 0);
    session_of(&of.db, &reader).rows("SELECT * FROM tenant_0002.more");
    assert_eq!(of.owners("tenant_0001"), [of.role("tenant_0001")]);
}

#[test]
fn a_role_that_may_make_roles_needs_no_superuser() {
    let of = Guarded::unguarded(3);
    let fleet_role = of.roles.named("fleet");
    of.db.execute(&format!(
        "CREATE ROLE {fleet_role} LOGIN CREATEROLE; GRANT CREATE ON DATABASE {} TO {fleet_role}",
        of.db.name()
    ));
    for schema in &of.schemas {
        of.db
            .execute(&format!("ALTER SCHEMA {schema} OWNER TO {fleet_role}"));
    }
    let fleet = TestFleet::without_database().database_url("main", &url_of(&of.db, &fleet_role));
    let fleet = of.named(fleet).probe_migrations(1..=2);

    fleet.json(&["roles", "apply"], 0);
    fleet.json(&["migrate"], 0);

    assert_applied_exactly_once(&of.db, &of.schemas, &[1, 2]);
    for schema in &of.schemas {
        assert_eq!(of.owners(schema), [of.role(schema)]);
    }
    let fleet = fleet.migration("V3__stray", "INSERT INTO tenant_0002.probe VALUES (9);\n");
    let run = fleet.json(&["migrate", "--tenant", "tenant_0001"], 4);
    assert_eq!(tenant(&run, "tenant_0001")["failure"]["sqlstate"], "42501");
}

#[test]
fn a_role_that_may_not_is_told_what_it_lacks() {
    let of = Guarded::unguarded(1);
    let plain = of.roles.named("plain");
    of.db.execute(&format!(
        "CREATE ROLE {plain} LOGIN; ALTER SCHEMA tenant_0001 OWNER TO {plain}"
    ));
    let fleet = TestFleet::without_database().database_url("main", &url_of(&of.db, &plain));
    let fleet = of.named(fleet).probe_migrations(1..=1);
    let applied = fleet.json(&["roles", "apply"], 4);
    let row = tenant(&applied, "tenant_0001");
    assert_eq!(row["outcome"], "failed");
    assert_eq!(row["failure"]["sqlstate"], "42501");
    assert_says(&row["hint"], &["CREATEROLE", "fleet roles plan"]);
}

#[test]
fn a_tenant_that_somebody_locks_fails_alone_and_whole() {
    let of = Guarded::unguarded(3);
    of.db.execute("CREATE TABLE tenant_0002.t (id int)");
    let fleet = of.fleet().set("execution.lock_timeout", "50ms").set(
        "execution.retry",
        json!({ "attempts": 2, "backoff": "10ms", "max_backoff": "10ms" }),
    );
    let lock = of
        .db
        .hold_lock("LOCK TABLE tenant_0002.t IN ACCESS SHARE MODE");

    let applied = fleet.json(&["roles", "apply"], 4);

    assert_eq!(
        each_tenants(&applied, "outcome"),
        ["tenant_0001 done", "tenant_0002 failed", "tenant_0003 done"]
    );
    assert_eq!(
        tenant(&applied, "tenant_0002")["failure"]["sqlstate"],
        "55P03"
    );
    assert_eq!(of.owners("tenant_0002"), ["postgres"]);
    lock.release();
    assert_eq!(fleet.json(&["roles", "apply"], 0)["totals"]["done"], 1);
    assert_nothing_left(&of.db);
}

#[test]
fn a_new_tenant_is_made_by_its_own_role() {
    let of = Guarded::unguarded(0);
    let fleet = of.fleet().probe_migrations(1..=1).set(
        "databases.0.tenants",
        json!({ "list": ["acme"], "create_missing": true }),
    );
    fleet.json(&["migrate"], 3);
    fleet.json(&["roles", "apply"], 0);
    fleet.json(&["migrate"], 0);
    assert_eq!(of.owners("acme"), [of.role("acme")]);
    assert_nothing_left(&of.db);
}

#[test]
fn a_role_of_two_tenants_is_refused() {
    let of = Guarded::unguarded(1);
    let second = TestDatabase::create(Server::A);
    second.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE SCHEMA tenant_0001");
    let fleet = of.named(TestFleet::new(&of.db).database("second", &second));
    let refused = fleet.json(&["roles", "apply"], 4);
    assert_says(
        &refused["tenants"][0]["reason"],
        &["would have the same role", "{database}"],
    );
    let template = of.roles.named("{database}_{schema}");
    let fleet = fleet.set("roles.tenant", template).probe_migrations(1..=1);
    fleet.json(&["roles", "apply"], 0);
    fleet.json(&["migrate"], 0);
    // one by one they are found out as well: roles are of the whole server
    of.db
        .execute(&format!("CREATE ROLE {}", of.role("tenant_0001")));
    of.db.execute(&format!(
        "ALTER SCHEMA tenant_0001 OWNER TO {}",
        of.role("tenant_0001")
    ));
    second.execute(&format!(
        "ALTER SCHEMA tenant_0001 OWNER TO {}",
        of.role("tenant_0001")
    ));
    let alone = of.fleet().probe_migrations(1..=1);
    let refused = alone.json(&["migrate"], 3);
    assert_says(&refused["error"], &["another database", second.name()]);
}
