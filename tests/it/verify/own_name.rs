//! The name of a tenant's own schema makes no difference wherever PostgreSQL prints it, and that of another one does.

use super::differences;
use super::fixes::psql;
use crate::support::{Server, Session, TestDatabase, TestFleet, tenants};

/// Names that several functions have: `regproc` prints those with their schema.
const SEVERAL: &str = "
    CREATE FUNCTION add(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + $2';
    CREATE FUNCTION add(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1 || $2';
    CREATE FUNCTION last(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION last(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1';
    CREATE FUNCTION gap(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT $1 - $2';
    CREATE FUNCTION gap(int, int) RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT ($1 - $2)::float8';
    CREATE AGGREGATE total_of(int) (sfunc = add, stype = int, finalfunc = last, combinefunc = add,
      msfunc = add, minvfunc = add, mstype = int, mfinalfunc = last);
    CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = gap);
    CREATE OPERATOR #+ (leftarg = int, rightarg = int, procedure = add, commutator = #+);
    CREATE TYPE c;
    CREATE FUNCTION c_in(cstring) RETURNS c LANGUAGE internal IMMUTABLE STRICT AS 'int4in';
    CREATE FUNCTION c_in(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
    CREATE FUNCTION c_out(c) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
    CREATE FUNCTION c_out(text) RETURNS text LANGUAGE sql AS 'SELECT $1';
    CREATE TYPE c (input = c_in, output = c_out, internallength = 4, passedbyvalue, alignment = int4);
    ";

#[test]
fn a_function_of_which_there_are_several_is_named_without_the_schema() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 3);
    let fleet = TestFleet::new(&db).migration("V1__several", SEVERAL);
    fleet.fleet(&["migrate"]).assert_code(0);
    fleet.json(&["verify"], 0);
    db.execute(
        "SET search_path = tenant_0002; DROP AGGREGATE total_of(int);
         CREATE AGGREGATE total_of(int) (sfunc = add, stype = int, finalfunc = last, combinefunc = int4pl,
           msfunc = add, minvfunc = add, mstype = int, mfinalfunc = last)",
    );
    let document = fleet.json(&["verify"], 7);
    assert_eq!(
        differences(&document),
        ["main/tenant_0002: different aggregate total_of(integer)"]
    );
}

/// The name of the schema in literals: `@name`, `@place` with a name behind it, `@schema`, and `@bare` in comments.
const LITERALS: &str = "
    CREATE TEXT SEARCH CONFIGURATION tsc (COPY = pg_catalog.simple);
    CREATE TABLE t (id int PRIMARY KEY, tenant text DEFAULT @name CHECK (tenant = @name), place text DEFAULT @place,
      made text GENERATED ALWAYS AS (email || @name) STORED, email text, tsv tsvector, in_schema regnamespace DEFAULT @schema);
    CREATE INDEX t_tenant ON t ((tenant || @name)) WHERE tenant = @name;
    CREATE VIEW v AS SELECT id, @name::text AS tenant, @place::text AS place FROM t;
    CREATE MATERIALIZED VIEW m AS SELECT id FROM t WHERE tenant = @name;
    CREATE RULE r AS ON INSERT TO v DO INSTEAD INSERT INTO t (id, tenant) VALUES (1, @name);
    CREATE POLICY p ON t USING (tenant = @name) WITH CHECK (tenant = @name);
    CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION tsvector_update_trigger(tsv, @place, email);
    CREATE DOMAIN d AS text DEFAULT @name CHECK (VALUE <> @name);
    CREATE TABLE parts (tenant text) PARTITION BY LIST (tenant);
    CREATE TABLE part PARTITION OF parts FOR VALUES IN (@name);
    CREATE FUNCTION f(tenant text DEFAULT @name) RETURNS text LANGUAGE plpgsql AS $f$ BEGIN
      -- for @bare, made by hand
      /* @bare */ RETURN to_tsvector(@place::regconfig, @name); END $f$;
    COMMENT ON TABLE t IS @comment;
    ";

fn with_literals(db: &TestDatabase) -> TestFleet {
    let migration = format!(
        "DO $do$ DECLARE own text := current_schema(); BEGIN
           EXECUTE replace(replace(replace(replace(replace($sql$ {LITERALS} $sql$, '@name', quote_literal(own)),
             '@place', quote_literal(quote_ident(own) || '.tsc')), '@schema', quote_literal(quote_ident(own))),
             '@bare', own), '@comment', quote_literal('all of ' || own));
         END $do$;"
    );
    TestFleet::new(db)
        .unlinted()
        .set("verify.comments", "true")
        .migration("V1__literals", &migration)
}

#[test]
fn the_own_name_in_a_literal_makes_no_difference() {
    let db = TestDatabase::create(Server::A);
    let names = [
        "tenant_a",
        "Upper",
        "we.ird",
        "q\"uote",
        "ap'os",
        "back\\slash",
        "sp ace",
        "a$b",
        "\u{fc}n\u{ef}",
        "select",
        "t",
        "tsv",
    ];
    for name in names {
        db.execute(&format!("CREATE SCHEMA \"{}\"", name.replace('"', "\"\"")));
    }
    let fleet = with_literals(&db).config(|config| {
        config["databases"][0]["tenants"] = serde_json::from_str(r#"{"schemas": ["*"]}"#).unwrap();
    });
    fleet.fleet(&["migrate"]).assert_code(0);
    let document = fleet.json(&["verify"], 0);
    assert_eq!(document["totals"]["compared"], names.len());
    let shapes = document["versions"][0]["shapes"].as_array().unwrap();
    assert_eq!(shapes.len(), 1, "{shapes:?}");
}

#[test]
fn the_name_of_another_tenant_in_a_literal_is_a_difference() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 4);
    let fleet = with_literals(&db);
    fleet.fleet(&["migrate"]).assert_code(0);
    fleet.json(&["verify"], 0);
    db.execute(
        "ALTER POLICY p ON tenant_0002.t USING (tenant = 'tenant_0001');
         ALTER TABLE tenant_0002.t ALTER COLUMN place SET DEFAULT 'tenant_0001.tsc'",
    );
    let expected = [
        "main/tenant_0002: different column t.place",
        "main/tenant_0002: different policy p",
    ];
    assert_eq!(differences(&fleet.json(&["verify"], 7)), expected);
    assert_eq!(
        differences(&fleet.json(&["verify", "--reference"], 7)),
        expected
    );
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_stdout_has("SET DEFAULT 'tenant_0002.tsc'::text;");
    psql(&db, &plan.stdout);
    fleet.json(&["verify"], 0);
}

#[test]
fn a_plan_names_the_tenant_s_own_role() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let role = |of: &str| format!("web_{}_{of}", db.name());
    for schema in &schemas {
        db.execute(&format!("CREATE ROLE {}", role(schema)));
    }
    let fleet = TestFleet::new(&db)
        .migration("V1__notes", "CREATE TABLE notes (id int, tenant text);")
        .set(
            "roles",
            serde_json::json!({ "applications": [role("{schema}")] }),
        );
    fleet.fleet(&["migrate"]).assert_code(0);
    for schema in &schemas {
        db.execute(&format!(
            "CREATE POLICY p ON {schema}.notes TO {} USING (tenant = '{schema}')",
            role(schema)
        ));
    }
    fleet.json(&["verify"], 0);
    db.execute(&format!(
        "DROP POLICY p ON tenant_0003.notes; CREATE POLICY p ON tenant_0003.notes TO {} USING (tenant = 'tenant_0003')",
        role("tenant_0002")
    ));
    assert_eq!(
        differences(&fleet.json(&["verify"], 7)),
        ["main/tenant_0003: different policy p"]
    );
    let plan = fleet.fleet(&["verify", "--fix-plan"]);
    plan.assert_stdout_has(&format!("to \"{}\" using", role("tenant_0003")));
    psql(&db, &plan.stdout);
    fleet.json(&["verify"], 0);
    let roles: Vec<String> = schemas.iter().map(|schema| role(schema)).collect();
    db.execute(&format!("DROP OWNED BY {}", roles.join(", ")));
    Session::connect(&Server::A.url()).execute(&format!("DROP ROLE {}", roles.join(", ")));
}
