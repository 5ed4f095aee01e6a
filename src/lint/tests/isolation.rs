//! What else leaves the tenant: statement, rule, offending text; and what looks like it and is none.

use super::*;

/// Statement, rule, offending text.
const FINDINGS: &[(&str, &str, &str)] = &[
    // the session
    (
        "SET search_path TO a",
        "set-search-path",
        "SET search_path TO a",
    ),
    (
        "SET LOCAL search_path = a, b",
        "set-search-path",
        "SET LOCAL search_path = a, b",
    ),
    ("SET SCHEMA 'a'", "set-search-path", "SCHEMA 'a'"),
    ("RESET search_path", "set-search-path", "RESET search_path"),
    ("RESET ALL", "set-search-path", "RESET ALL"),
    ("DISCARD ALL", "set-search-path", "DISCARD ALL"),
    (
        "SELECT set_config('search_path', 'a', true)",
        "set-search-path",
        "set_config('search_path', 'a', true)",
    ),
    (
        "SELECT pg_catalog.set_config('Search_Path', '', false)",
        "set-search-path",
        "pg_catalog.set_config('Search_Path', '', false)",
    ),
    (
        "DO $$ BEGIN PERFORM set_config('role', 'a', true); END $$",
        "set-role",
        "set_config('role', 'a', true)",
    ),
    ("SET ROLE a", "set-role", "SET ROLE a"),
    ("SET LOCAL ROLE a", "set-role", "SET LOCAL ROLE a"),
    ("RESET ROLE", "set-role", "RESET ROLE"),
    (
        "SET SESSION AUTHORIZATION a",
        "set-role",
        "SET SESSION AUTHORIZATION a",
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = public AS 'SELECT 1'",
        "function-search-path",
        "SET search_path = public",
    ),
    (
        "ALTER FUNCTION f() SET search_path = other, pg_temp",
        "function-search-path",
        "SET search_path = other, pg_temp",
    ),
    // what belongs to more than a tenant
    (
        "CREATE EXTENSION IF NOT EXISTS citext",
        "extension",
        "CREATE EXTENSION IF NOT EXISTS citext",
    ),
    (
        "DROP EXTENSION citext",
        "extension",
        "DROP EXTENSION citext",
    ),
    (
        "ALTER EXTENSION citext UPDATE",
        "extension",
        "ALTER EXTENSION citext UPDATE",
    ),
    ("DROP SCHEMA a CASCADE", "schema", "DROP SCHEMA a CASCADE"),
    (
        "CREATE SCHEMA IF NOT EXISTS audit",
        "schema",
        "CREATE SCHEMA IF NOT EXISTS audit",
    ),
    (
        "ALTER SCHEMA a RENAME TO b",
        "schema",
        "ALTER SCHEMA a RENAME TO b",
    ),
    ("CREATE ROLE app", "role", "CREATE ROLE app"),
    (
        "ALTER USER app SET search_path = a",
        "role",
        "ALTER USER app SET search_path = a",
    ),
    ("DROP ROLE app", "role", "DROP ROLE app"),
    ("GRANT a TO b", "role", "GRANT a TO b"),
    ("DROP OWNED BY a", "role", "DROP OWNED BY a"),
    (
        "REASSIGN OWNED BY a TO b",
        "role",
        "REASSIGN OWNED BY a TO b",
    ),
    ("CREATE DATABASE d", "database", "CREATE DATABASE d"),
    (
        "ALTER DATABASE d SET work_mem = '1MB'",
        "database",
        "ALTER DATABASE d SET work_mem = '1MB'",
    ),
    (
        "GRANT CONNECT ON DATABASE d TO app",
        "database",
        "DATABASE d",
    ),
    (
        "ALTER SYSTEM SET work_mem = '1MB'",
        "database",
        "ALTER SYSTEM SET work_mem = '1MB'",
    ),
    (
        "CREATE PUBLICATION p FOR ALL TABLES",
        "replication",
        "CREATE PUBLICATION p FOR ALL TABLES",
    ),
    ("DROP SUBSCRIPTION s", "replication", "DROP SUBSCRIPTION s"),
    (
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
        "event-trigger",
        "CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION f()",
    ),
    (
        "CREATE SERVER s FOREIGN DATA WRAPPER w",
        "foreign-server",
        "CREATE SERVER s FOREIGN DATA WRAPPER w",
    ),
    (
        "CREATE LANGUAGE plpython3u",
        "database-object",
        "CREATE LANGUAGE plpython3u",
    ),
    (
        "CREATE CAST (text AS e) WITH INOUT",
        "cast",
        "CREATE CAST (text AS e) WITH INOUT",
    ),
    (
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app",
        "default-privileges",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO app",
    ),
    (
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO app",
        "qualified-name",
        "public",
    ),
    (
        "ALTER TABLE t SET SCHEMA archive",
        "move-schema",
        "SET SCHEMA archive",
    ),
    // look-ups
    (
        "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'a') THEN ALTER TABLE t ADD CONSTRAINT a CHECK (b > 0); END IF; END $$",
        "catalog-lookup",
        "pg_constraint",
    ),
    (
        "DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_type WHERE typname = 'e') THEN CREATE TYPE e AS ENUM ('a'); END IF; END $$",
        "catalog-lookup",
        "pg_catalog.pg_type",
    ),
    (
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM information_schema.columns WHERE table_name = 't' AND column_name = 'a') THEN ALTER TABLE t DROP a; END IF; END $$",
        "catalog-lookup",
        "information_schema.columns",
    ),
    (
        "DO $$ BEGIN IF EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = 'public' AND tablename = 't') THEN NULL; END IF; END $$",
        "catalog-lookup",
        "schemaname = 'public'",
    ),
    (
        "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM pg_class $$",
        "function-catalog-lookup",
        "pg_class",
    ),
    // blocks
    (
        "DO $$ BEGIN UPDATE t SET a = 1; COMMIT; END $$",
        "transaction-control",
        "COMMIT;",
    ),
    (
        "DO $$ BEGIN EXECUTE 'DROP TABLE ' || x; END $$",
        "dynamic-sql",
        "'DROP TABLE ' || x",
    ),
    (
        "DO $$ BEGIN EXECUTE format('ALTER TABLE %I ADD a int', x); END $$",
        "dynamic-sql",
        "format('ALTER TABLE %I ADD a int', x)",
    ),
];

#[test]
fn what_leaves_the_tenant_is_found_once_and_pointed_at() {
    assert_found(FINDINGS);
}

/// What looks like it and is none.
const NONE: &[&str] = &[
    "SELECT a.b, c.d.e FROM a JOIN c ON a.id = c.a_id",
    "UPDATE t AS a SET b = s.b FROM s WHERE s.id = a.id RETURNING a.id, s.b",
    "INSERT INTO t AS a (b) VALUES (1) ON CONFLICT (b) DO UPDATE SET b = excluded.b WHERE a.b <> excluded.b",
    "CREATE INDEX i ON t ((data ->> 'a.b'))",
    "SELECT data -> 'a' ->> 'b', data #>> '{a,b}', data @> '{}' FROM t",
    "COMMENT ON COLUMN t.a IS 'public.t'",
    "CREATE SEQUENCE s OWNED BY t.a",
    "ALTER SEQUENCE s OWNED BY t.a",
    "SELECT extensions.gen_random_uuid(), pg_catalog.now()",
    "CREATE TABLE a (id uuid DEFAULT extensions.uuid_generate_v4(), b extensions.citext, c pg_catalog.text COLLATE pg_catalog.\"C\")",
    "SELECT 1 FROM extensions.countries c WHERE c.code = 'x'",
    "SELECT 1 WHERE a OPERATOR(pg_catalog.=) b",
    "SELECT 'orders'::regclass, nextval('orders_id_seq'), 'a.b'::text, 'public.t'",
    "SET app.tenant = 'x'",
    "SET LOCAL lock_timeout = '1s'",
    "SELECT set_config('app.tenant', 'x', true), current_setting('search_path')",
    "CREATE TEMP TABLE x (a int)",
    "CREATE TABLE pg_temp.x (a int)",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SET search_path = '' AS $$ BEGIN NEW.updated_at := now(); RETURN NEW; END $$",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path = pg_catalog, pg_temp AS 'SELECT 1'",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET search_path FROM CURRENT AS 'SELECT 1'",
    "CREATE FUNCTION f(o orders) RETURNS int LANGUAGE sql AS $$ SELECT o.total + f.x FROM t f $$",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE r t%ROWTYPE; a t.b%TYPE; BEGIN SELECT x.b INTO a FROM x; r.b := NEW.b; IF OLD.b IS DISTINCT FROM NEW.b THEN INSERT INTO log (a) VALUES (r.b); END IF; RETURN NEW; END $$",
    "DO $$ DECLARE r record; BEGIN FOR r IN SELECT t.id FROM t LOOP UPDATE s SET a = r.id WHERE s.t_id = r.id; END LOOP; END $$",
    "DO $$ BEGIN EXECUTE 'DROP TABLE IF EXISTS t'; END $$",
    "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = 'a' AND conrelid = 'orders'::regclass) THEN NULL; END IF; END $$",
    "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typname = 'e' AND n.nspname = current_schema()) THEN NULL; END IF; END $$",
    "DO $$ BEGIN IF EXISTS (SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 't') THEN NULL; END IF; END $$",
    "DO $$ BEGIN IF to_regclass('t') IS NULL THEN CREATE TABLE t (a int); END IF; END $$",
    "DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'app') THEN NULL; END IF; END $$",
    "DO $$ BEGIN CREATE TYPE e AS ENUM ('a'); EXCEPTION WHEN duplicate_object THEN NULL; END $$",
    "GRANT SELECT ON t TO app",
    "GRANT EXECUTE ON FUNCTION f(int) TO app",
    "REVOKE ALL ON t FROM PUBLIC",
    "CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION f()",
    "CREATE POLICY p ON t USING (t.tenant = current_setting('app.tenant'))",
    "CREATE VIEW v AS SELECT \"a\".\"b\" FROM \"Table\" \"a\" LEFT JOIN LATERAL (SELECT x.y FROM x WHERE x.z = \"a\".\"z\") q ON true",
    "CREATE AGGREGATE agg (int) (SFUNC = int4pl, STYPE = int)",
    "SELECT (r).a.b, (SELECT x.y FROM x) FROM r",
    "SELECT count(*) FILTER (WHERE t.a), row_number() OVER w.x FROM t WINDOW w AS (PARTITION BY t.a)",
    "TABLE t",
    "CREATE INDEX i ON t USING gin (a extensions.gin_trgm_ops, (b || c.d) extensions.gin_trgm_ops)",
    "CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(tsv, 'pg_catalog.english', title)",
    "ALTER TABLE t OWNER TO app",
    "ALTER TABLE t ADD EXCLUDE USING gist (a extensions.gist_ops WITH extensions.=)",
    "GRANT EXECUTE ON FUNCTION f(extensions.citext, pg_catalog.int4) TO app",
    "DROP FUNCTION f(extensions.citext)",
    "CREATE OPERATOR @@@ (FUNCTION = f, LEFTARG = extensions.citext, RIGHTARG = text)",
    "WITH x AS (SELECT t.a FROM t) DELETE FROM s USING x WHERE s.a = x.a",
    "SELECT * FROM jsonb_to_recordset('[]') AS x(a int, b text), unnest(array[1]) u",
];

#[test]
fn what_stays_in_the_tenant_is_let_alone() {
    let mut wrong = Vec::new();
    for statement in NONE {
        let found = found(&format!("{statement};"));
        let found: Vec<_> = found
            .iter()
            .filter(|(rule, _)| *rule != "unparsed")
            .collect();
        if !found.is_empty() {
            wrong.push(format!("{statement}\n    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
