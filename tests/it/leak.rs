//! A migration that reaches outside of its tenant is rolled back in the first tenant and named, and nobody else is
//! touched.

mod hidden;
mod honest;
mod reach;
mod runs;

use serde_json::json;

use crate::support::{
    Server, TestDatabase, TestFleet, assert_nothing_left, assert_says, tenant, tenants,
};

/// What there is beside the first tenant: another one with data, and things that all of them share.
const OTHERS: &str = "
    CREATE TABLE tenant_0002.orders (id int PRIMARY KEY, note text DEFAULT 'a');
    INSERT INTO tenant_0002.orders SELECT generate_series(1, 3);
    CREATE INDEX orders_note ON tenant_0002.orders (note);
    CREATE SEQUENCE tenant_0002.numbers;
    CREATE TYPE tenant_0002.mood AS ENUM ('good', 'bad');
    CREATE FUNCTION tenant_0002.answer() RETURNS int LANGUAGE sql AS 'SELECT 42';
    CREATE TABLE public.settings (id int PRIMARY KEY, name text);
    INSERT INTO public.settings VALUES (1, 'one');
    CREATE VIEW public.report AS SELECT 1 AS one;
    CREATE DOMAIN public.email AS text CONSTRAINT has_at CHECK (VALUE LIKE '%@%');
    CREATE TABLE shared.countries (id int PRIMARY KEY);
    INSERT INTO shared.countries VALUES (1)";

/// Everything outside of the first tenant, as text.
const OUTSIDE: &str = "
    WITH other AS (SELECT oid, nspname FROM pg_namespace
      WHERE nspname NOT IN ('tenant_0001', 'fleet_control', 'pg_catalog', 'information_schema')
        AND nspname !~ '^pg_(toast|temp)')
    SELECT format('%s.%s %s %s %s', nspname, relname, relnatts, relacl, obj_description(c.oid))
      FROM pg_class c JOIN other ON other.oid = relnamespace
    UNION ALL SELECT format('%s.%s %s', nspname, proname, proacl) FROM pg_proc JOIN other ON other.oid = pronamespace
    UNION ALL SELECT format('%s.%s', nspname, typname) FROM pg_type JOIN other ON other.oid = typnamespace
    UNION ALL SELECT format('%s.%s', nspname, collname) FROM pg_collation JOIN other ON other.oid = collnamespace
    UNION ALL SELECT format('%s %s', enumtypid::regtype, enumlabel) FROM pg_enum
    UNION ALL SELECT format('constraint %s', conname) FROM pg_constraint JOIN other ON other.oid = connamespace
    UNION ALL SELECT format('column %s %s %s', attrelid::regclass, attname, attacl) FROM pg_attribute WHERE attrelid >= 16384
      AND attrelid IN (SELECT c.oid FROM pg_class c JOIN other ON other.oid = relnamespace)
    UNION ALL SELECT format('schema %s', nspname) FROM other
    UNION ALL SELECT format('extension %s', extname) FROM pg_extension
    UNION ALL SELECT format('event trigger %s', evtname) FROM pg_event_trigger
    UNION ALL SELECT format('publication %s', pubname) FROM pg_publication
    UNION ALL SELECT format('defaults %s', defaclacl) FROM pg_default_acl
    UNION ALL SELECT format('role %s %s', rolname, rolcreatedb) FROM pg_roles WHERE rolname LIKE current_database() || '%'
    UNION ALL SELECT format('order %s %s', id, note) FROM tenant_0002.orders
    UNION ALL SELECT format('number %s %s', last_value, is_called) FROM tenant_0002.numbers
    UNION ALL SELECT format('setting %s %s', id, name) FROM public.settings
    ORDER BY 1";

/// Three tenants at version 1, a canary of two, and what is beside them. All of it is of a role that is no superuser.
fn fleet_of_an_owner() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let role = format!("{}_owner", db.name());
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN CREATEROLE; ALTER DATABASE {} OWNER TO {role};
         ALTER SCHEMA public OWNER TO {role}; SET ROLE {role}",
        db.name()
    ));
    let url = db.url().replace("//postgres@", &format!("//{role}@"));
    let fleet = TestFleet::new(&db).set("databases.0.url", url);
    begun(db, fleet)
}

/// The same with a superuser.
fn fleet_of_a_superuser() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let fleet = TestFleet::new(&db);
    begun(db, fleet)
}

fn begun(db: TestDatabase, fleet: TestFleet) -> (TestDatabase, TestFleet) {
    tenants(&db, 3);
    db.execute("CREATE SCHEMA shared");
    let fleet = fleet
        .set("databases.0.search_path", json!(["shared"]))
        .unlinted()
        .set("rollout.waves", json!([{ "name": "canary", "count": 2 }]))
        .migration(
            "V1__own",
            "CREATE TABLE own (id int PRIMARY KEY, name text);\nINSERT INTO own VALUES (1, 'one');\n",
        );
    fleet.json(&["migrate"], 0);
    // who took longest would be the first next time
    db.execute("DROP SCHEMA fleet_control CASCADE");
    db.execute(OTHERS);
    (db, fleet)
}

/// The file halts the run in the first tenant, which is as before, with all that is around it. The failure says
/// so; the second tenant was not touched.
#[track_caller]
fn assert_leaks(db: &TestDatabase, fleet: &TestFleet, file: &str, says: &[&str]) {
    let outside: Vec<String> = db.column(OUTSIDE);
    fleet.write_migration("V2__reaches", file);
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    assert_eq!(run.code(), 5, "{file}\n{}", run.stdout);
    let run = run.json();

    let first = tenant(&run, "tenant_0001");
    assert_eq!(first["outcome"], "failed", "{file}");
    let failure = &first["failure"];
    assert_eq!(failure["migration"], "V2__reaches");
    assert_eq!(failure["class"], "permanent");
    assert_says(
        &failure["message"],
        &["outside of its tenant", "rolled back"],
    );
    assert_says(&failure["message"], says);
    assert_eq!(run["halted"]["by"], "leak");
    assert_says(&run["halted"]["reason"], &["V2__reaches"]);
    assert_eq!(tenant(&run, "tenant_0002")["attempts"], 0, "{file}");
    assert_eq!(tenant(&run, "tenant_0003")["attempts"], 0, "{file}");
    assert_eq!(db.column::<String>(OUTSIDE), outside, "{file}");
    assert_eq!(versions(db, "tenant_0001"), [1], "{file}");
    assert_nothing_left(db);
}

/// The file goes through in all tenants.
#[track_caller]
fn assert_honest(db: &TestDatabase, fleet: &TestFleet, file: &str) {
    let head = fleet.versions().len() + 1;
    fleet.write_migration(&format!("V{head}__honest"), file);
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    assert_eq!(run.code(), 0, "{file}\n{}", run.stdout);
    let head = i64::try_from(head).expect("a few");
    assert_eq!(versions(db, "tenant_0003").last(), Some(&head));
}

fn versions(db: &TestDatabase, schema: &str) -> Vec<i64> {
    db.column(&format!(
        "SELECT version FROM {schema}.refinery_schema_history ORDER BY version"
    ))
}
