//! What reaches outside, each kind of it.

use super::{assert_leaks, fleet_of_a_superuser, fleet_of_an_owner};
use crate::support::TestDatabase;

/// F35: a file that writes a view into `public`, and whatever else lies outside of its tenant.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of fixtures")]
fn what_is_created_outside_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    for (file, says) in [
        (
            "CREATE VIEW public.overview AS SELECT 1 AS one;\n",
            "created view public.overview",
        ),
        (
            "CREATE OR REPLACE VIEW public.report AS SELECT 1 AS one, 2 AS two;\n",
            "changed view public.report",
        ),
        (
            "CREATE TABLE public.\"Odd \"\"name\"\"\" (id serial PRIMARY KEY);\n",
            "created table public.\"Odd \"\"name\"\"\"",
        ),
        (
            "CREATE MATERIALIZED VIEW tenant_0002.sums AS SELECT 1 AS one;\n",
            "created materialized view tenant_0002.sums",
        ),
        (
            "CREATE FUNCTION public.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1';\n",
            "created function public.f(integer, text)",
        ),
        (
            "CREATE TYPE public.colour AS ENUM ('red');\n",
            "created type public.colour",
        ),
        (
            "CREATE TYPE public.pair AS (a int, b int);\n",
            "created type public.pair",
        ),
        (
            "CREATE DOMAIN public.name AS text;\n",
            "created domain public.name",
        ),
        (
            "CREATE SEQUENCE public.numbers;\n",
            "created sequence public.numbers",
        ),
        (
            "CREATE COLLATION public.plain FROM \"C\";\n",
            "created collation public.plain",
        ),
        ("CREATE SCHEMA reports;\n", "created schema reports"),
        (
            "CREATE INDEX ON tenant_0002.orders (note);\n",
            "changed table tenant_0002.orders",
        ),
        (
            "CREATE PUBLICATION news FOR TABLE own;\n",
            "created publication news",
        ),
        (
            "DO $$ BEGIN EXECUTE 'CREATE ROLE ' || current_database() || '_app'; END $$;\n",
            "created role fleet_test_",
        ),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC;\n",
            "created default privileges of role fleet_test_",
        ),
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO PUBLIC;\n",
            "in schema public",
        ),
        ("SELECT lo_create(0);\n", "created large object"),
    ] {
        assert_leaks(&db, &fleet, file, &[says]);
    }
}

/// F35: what others have is changed or dropped.
#[test]
#[expect(clippy::too_many_lines, reason = "a table of fixtures")]
fn what_is_changed_or_dropped_outside_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    for (file, says) in [
        (
            "ALTER TABLE tenant_0002.orders ADD COLUMN extra int;\n",
            "changed table tenant_0002.orders",
        ),
        (
            "ALTER TABLE tenant_0002.orders DROP COLUMN note;\n",
            "changed table tenant_0002.orders",
        ),
        (
            "ALTER TABLE tenant_0002.orders RENAME TO sales;\n",
            "changed table tenant_0002.orders",
        ),
        (
            "ALTER INDEX tenant_0002.orders_note RENAME TO other;\n",
            "changed index tenant_0002.orders_note",
        ),
        (
            "DROP INDEX tenant_0002.orders_note;\n",
            "changed table tenant_0002.orders",
        ),
        (
            "DROP TABLE tenant_0002.orders;\n",
            "dropped table tenant_0002.orders",
        ),
        (
            "DROP SCHEMA tenant_0002 CASCADE;\n",
            "dropped schema tenant_0002",
        ),
        ("DROP VIEW public.report;\n", "dropped view public.report"),
        (
            "DROP FUNCTION tenant_0002.answer();\n",
            "dropped function tenant_0002.answer()",
        ),
        (
            "CREATE OR REPLACE FUNCTION tenant_0002.answer() RETURNS int LANGUAGE sql AS 'SELECT 43';\n",
            "changed function tenant_0002.answer()",
        ),
        (
            "ALTER FUNCTION tenant_0002.answer() COST 7;\n",
            "changed function tenant_0002.answer()",
        ),
        (
            "ALTER TYPE tenant_0002.mood RENAME VALUE 'bad' TO 'sad';\n",
            "changed type tenant_0002.mood",
        ),
        (
            "ALTER DOMAIN public.email DROP CONSTRAINT has_at;\n",
            "domain constraint public.has_at",
        ),
        (
            "ALTER DOMAIN public.email ADD CONSTRAINT short CHECK (length(VALUE) < 9) NOT VALID;\n",
            "changed domain public.email",
        ),
        (
            "GRANT SELECT ON tenant_0002.orders TO PUBLIC;\n",
            "changed table tenant_0002.orders",
        ),
        (
            "GRANT USAGE ON SCHEMA tenant_0002 TO PUBLIC;\n",
            "changed schema tenant_0002",
        ),
        (
            "COMMENT ON TABLE tenant_0002.orders IS 'of another';\n",
            "changed table tenant_0002.orders",
        ),
        (
            "COMMENT ON COLUMN public.settings.name IS 'of all';\n",
            "changed table public.settings",
        ),
        (
            "COMMENT ON FUNCTION tenant_0002.answer() IS 'of another';\n",
            "changed function tenant_0002.answer()",
        ),
        (
            "CREATE RULE quiet AS ON INSERT TO public.settings DO INSTEAD NOTHING;\n",
            "changed table public.settings",
        ),
        (
            "ALTER TABLE public.settings ENABLE ROW LEVEL SECURITY;\n",
            "changed table public.settings",
        ),
        (
            "TRUNCATE public.settings;\n",
            "changed table public.settings",
        ),
        ("LOCK TABLE tenant_0002.orders;\n", "tenant_0002.orders"),
        (
            "CREATE TABLE lines (id int REFERENCES tenant_0002.orders);\n",
            "changed table tenant_0002.orders",
        ),
        (
            "CREATE TABLE lines (id int REFERENCES shared.countries);\nALTER TABLE shared.countries ADD COLUMN name text;\n",
            "changed table shared.countries",
        ),
    ] {
        assert_leaks(&db, &fleet, file, &[says]);
    }
}

/// F35: rows of others.
#[test]
fn what_is_written_outside_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    for (file, says) in [
        (
            "INSERT INTO tenant_0002.orders VALUES (4);\n",
            "wrote to table tenant_0002.orders",
        ),
        (
            "UPDATE tenant_0002.orders SET note = 'b' WHERE id = 1;\n",
            "wrote to table tenant_0002.orders",
        ),
        (
            "DELETE FROM tenant_0002.orders;\n",
            "wrote to table tenant_0002.orders",
        ),
        (
            "INSERT INTO public.settings VALUES (2, 'two');\n",
            "wrote to table public.settings",
        ),
        (
            "INSERT INTO countries VALUES (2);\n",
            "wrote to table shared.countries",
        ),
        (
            "SELECT setval('tenant_0002.numbers', 1, false) FROM own;\n",
            "wrote to sequence tenant_0002.numbers",
        ),
        (
            "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
               INSERT INTO public.settings VALUES (NEW.id, NEW.name); RETURN NEW; END $$;\n\
             CREATE TRIGGER tell AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION tell();\n\
             INSERT INTO own VALUES (2, 'two');\n",
            "wrote to table public.settings",
        ),
    ] {
        assert_leaks(&db, &fleet, file, &[says]);
    }
}

#[test]
fn what_a_block_does_behind_an_exception_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    let block = |statement: &str| {
        format!(
            "DO $$ BEGIN\n  {statement};\n  BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END;\n\
             EXCEPTION WHEN undefined_table THEN NULL;\nEND $$;\n"
        )
    };
    for (statement, says) in [
        (
            "CREATE VIEW public.overview AS SELECT 1 AS one",
            "created view public.overview",
        ),
        (
            "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            "created function public.f()",
        ),
        (
            "GRANT SELECT ON tenant_0002.orders TO PUBLIC",
            "changed table tenant_0002.orders",
        ),
        (
            "INSERT INTO public.settings VALUES (2, 'two')",
            "wrote to table public.settings",
        ),
        (
            "DROP TABLE tenant_0002.orders",
            "dropped table tenant_0002.orders",
        ),
    ] {
        assert_leaks(&db, &fleet, &block(statement), &[says]);
    }
}

/// F35: what only a superuser can do.
#[test]
fn event_triggers_and_roles_of_others_are_found() {
    let (db, fleet) = fleet_of_a_superuser();
    let role = format!("{}_other", db.name());
    db.execute(&format!("CREATE ROLE {role}"));
    let of_role = [
        (format!("ALTER ROLE {role} CREATEDB;\n"), format!("changed role {role}")),
        (format!("ALTER ROLE {role} SET work_mem = '9MB';\n"), format!("changed role {role}")),
        (format!("ALTER ROLE {role} PASSWORD 'x';\n"), "changed roles".to_owned()),
        (format!("GRANT pg_monitor TO {role};\n"), format!("changed role {role}")),
        (format!("DROP ROLE {role};\n"), format!("dropped role {role}")),
        (
            "CREATE FUNCTION look() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';\n\
             CREATE EVENT TRIGGER look ON ddl_command_start EXECUTE FUNCTION look();\n"
                .to_owned(),
            "created event trigger look".to_owned(),
        ),
        (
            "DO $$ BEGIN EXECUTE 'ALTER DATABASE ' || current_database() || ' SET work_mem = 9999'; END $$;\n".to_owned(),
            "changed database fleet_test_".to_owned(),
        ),
    ];
    for (file, says) in &of_role {
        assert_leaks(&db, &fleet, file, &[says]);
    }
    db.execute(&format!("DROP ROLE {role}"));
}

/// F34: an extension that the first tenant creates is in its schema and nobody else's.
#[test]
fn an_extension_is_no_tenants() {
    let (db, fleet) = fleet_of_a_superuser();
    let Some(extension) = an_extension(&db) else {
        return;
    };
    let created = format!("created extension {extension}");
    let create = format!("CREATE EXTENSION IF NOT EXISTS {extension};\n");
    assert_leaks(&db, &fleet, &create, &[&created]);
}

/// F34: dropping what others use takes their columns along.
#[test]
fn a_drop_that_takes_another_tenants_column_along_is_found() {
    let (db, fleet) = fleet_of_a_superuser();
    db.execute("CREATE TYPE tenant_0001.state AS ENUM ('new'); ALTER TABLE tenant_0002.orders ADD state tenant_0001.state");
    assert_leaks(
        &db,
        &fleet,
        "DROP TYPE state CASCADE;\n",
        &["changed table tenant_0002.orders"],
    );
    let Some(_) = an_extension(&db).filter(|name| name == "citext") else {
        return;
    };
    db.execute("CREATE EXTENSION citext SCHEMA tenant_0001; ALTER TABLE tenant_0002.orders ADD email tenant_0001.citext");
    let dropped = &[
        "dropped extension citext",
        "changed table tenant_0002.orders",
    ];
    assert_leaks(&db, &fleet, "DROP EXTENSION citext CASCADE;\n", dropped);
}

/// One that the server has, citext if possible.
fn an_extension(db: &TestDatabase) -> Option<String> {
    let known = "SELECT name FROM pg_available_extensions WHERE name IN ('citext', 'hstore', 'pgcrypto') ORDER BY name LIMIT 1";
    db.column(known).pop()
}
