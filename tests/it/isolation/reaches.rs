//! One fixture for each way of reaching another tenant. Each is made, found, and mended by the statement that is
//! proposed, or where none is by another one.

use super::Guarded;

/// What is done, what is found, and what undoes it where no statement is proposed.
type Case = (&'static str, &'static str, &'static str);

#[track_caller]
fn each_is_found(guarded: &Guarded, cases: &[Case]) {
    for (make, found, unmake) in cases {
        guarded.execute(make);
        assert_eq!(guarded.findings(), [*found], "{make}");
        let document = guarded.look();
        let remedy = document["reaches"][0]["remedy"].as_str();
        assert_eq!(remedy.is_none(), !unmake.is_empty(), "{make}: {remedy:?}");
        guarded.execute(remedy.unwrap_or(unmake));
        assert_eq!(guarded.findings(), Vec::<String>::new(), "{remedy:?}");
    }
}

#[test]
fn grants() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "GRANT USAGE ON SCHEMA globex TO P_acme_app",
                "grant acme > globex: schema globex",
                "",
            ),
            (
                "GRANT USAGE ON SCHEMA globex TO PUBLIC",
                "grant (public) > globex: schema globex",
                "",
            ),
            (
                "GRANT SELECT, DELETE ON globex.customers TO P_acme_owner",
                "grant acme > globex: table globex.customers",
                "",
            ),
            (
                "GRANT SELECT ON globex.spent TO PUBLIC",
                "grant (public) > globex: table globex.spent",
                "",
            ),
            (
                "GRANT TRUNCATE ON ALL TABLES IN SCHEMA globex TO P_acme_app",
                "grant acme > globex: table globex.customers, table globex.orders, table globex.parts",
                "",
            ),
            (
                "GRANT UPDATE (email) ON globex.customers TO P_acme_app",
                "grant acme > globex: column globex.customers.email",
                "REVOKE UPDATE (email) ON globex.customers FROM P_acme_app",
            ),
            (
                "GRANT USAGE ON SEQUENCE globex.customers_id_seq TO P_acme_app",
                "grant acme > globex: sequence globex.customers_id_seq",
                "",
            ),
            (
                "GRANT EXECUTE ON FUNCTION globex.doubled(int) TO P_acme_app",
                "grant acme > globex: function globex.doubled(integer)",
                "",
            ),
            (
                "GRANT USAGE ON TYPE globex.mood TO P_acme_app",
                "grant acme > globex: type globex.mood",
                "",
            ),
        ],
    );
}

#[test]
fn grants_through_a_role_that_a_tenant_is_in() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "GRANT P_staff TO P_acme_app; GRANT SELECT ON globex.orders TO P_staff",
                "grant acme > globex: table globex.orders",
                "",
            ),
            (
                "GRANT P_staff TO P_acme_app, P_globex_app; GRANT INSERT ON globex.orders TO P_staff",
                "grant acme > globex: table globex.orders",
                "",
            ),
        ],
    );
}

#[test]
fn a_role_that_many_tenants_are_in_is_said_once_for_each_that_it_reaches() {
    let guarded = Guarded::new(&["acme", "globex", "initech"]);
    guarded.execute(
        "GRANT P_staff TO P_acme_app, P_globex_app, P_initech_app; GRANT USAGE ON SCHEMA globex TO P_staff",
    );
    let document = guarded.look();
    assert_eq!(
        guarded.findings(),
        ["grant (tenants) > globex: schema globex"]
    );
    assert_eq!(document["reaches"][0]["from"]["tenants"], 3);
}

#[test]
fn roles_and_owners() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "GRANT P_globex_owner TO P_acme_app",
                "membership acme > globex: role P_globex_owner",
                "",
            ),
            (
                "ALTER ROLE P_acme_app SUPERUSER",
                "role acme > all: role P_acme_app",
                "",
            ),
            (
                "ALTER ROLE P_acme_owner BYPASSRLS",
                "role acme > all: role P_acme_owner",
                "",
            ),
            (
                "ALTER TABLE globex.parts OWNER TO P_acme_owner",
                "ownership acme > globex: table globex.parts",
                "ALTER TABLE globex.parts OWNER TO P_globex_owner",
            ),
            (
                "ALTER FUNCTION globex.doubled(int) OWNER TO P_acme_app",
                "ownership acme > globex: function globex.doubled(integer)",
                "ALTER FUNCTION globex.doubled(int) OWNER TO P_globex_owner",
            ),
        ],
    );
}

#[test]
fn a_role_of_the_application_reads_and_writes_and_nothing_else() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "ALTER ROLE P_web BYPASSRLS",
                "role (application) > all: role P_web",
                "",
            ),
            (
                "GRANT CREATE ON SCHEMA acme TO P_web",
                "grant (application) > acme: schema acme",
                "",
            ),
            (
                "ALTER VIEW acme.spent OWNER TO P_web",
                "ownership (application) > acme: table acme.spent",
                "ALTER VIEW acme.spent OWNER TO P_acme_owner",
            ),
        ],
    );
}

#[test]
fn default_privileges() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE P_globex_owner IN SCHEMA globex GRANT SELECT ON TABLES TO P_acme_app",
                "default_privilege acme > globex: default privileges of role P_globex_owner",
                "",
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE P_globex_owner GRANT EXECUTE ON FUNCTIONS TO P_acme_app",
                "default_privilege acme > globex: default privileges of role P_globex_owner",
                "",
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT USAGE ON SEQUENCES TO P_acme_app",
                "default_privilege acme > all: default privileges of role postgres",
                "",
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE P_acme_owner IN SCHEMA acme GRANT SELECT ON TABLES TO PUBLIC",
                "default_privilege (public) > acme: default privileges of role P_acme_owner",
                "",
            ),
        ],
    );
}

#[test]
fn views_rules_and_constraints_on_another_tenant_s() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "CREATE VIEW acme.v AS SELECT c.id FROM globex.customers c JOIN globex.orders o USING (id)",
                "view acme > globex: view acme.v",
                "",
            ),
            (
                "CREATE MATERIALIZED VIEW acme.m AS SELECT id FROM globex.spent",
                "view acme > globex: materialized view acme.m",
                "",
            ),
            (
                "CREATE RULE r AS ON DELETE TO acme.orders DO ALSO DELETE FROM globex.orders",
                "rule acme > globex: rule r on acme.orders",
                "",
            ),
            (
                "ALTER TABLE acme.orders ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES globex.customers",
                "foreign_key acme > globex: table constraint fk on acme.orders",
                "",
            ),
            (
                "ALTER TABLE acme.orders ADD CONSTRAINT positive CHECK (globex.doubled(id) > 0)",
                "constraint acme > globex: table constraint positive on acme.orders",
                "",
            ),
        ],
    );
}

#[test]
fn expressions_that_use_another_tenant_s() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "ALTER TABLE acme.orders ALTER id SET DEFAULT nextval('globex.customers_id_seq')",
                "default acme > globex: default value for acme.orders.id",
                "",
            ),
            (
                "CREATE INDEX i ON acme.orders (globex.doubled(id))",
                "index acme > globex: index acme.i",
                "",
            ),
            (
                "CREATE TRIGGER t BEFORE INSERT ON acme.orders FOR EACH ROW EXECUTE FUNCTION globex.touch()",
                "trigger acme > globex: trigger t on acme.orders",
                "",
            ),
            (
                "CREATE POLICY p ON acme.orders USING (id IN (SELECT id FROM globex.orders))",
                "policy acme > globex: policy p on acme.orders",
                "",
            ),
        ],
    );
}

#[test]
fn tables_and_types_that_are_made_of_another_tenant_s() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "CREATE TABLE acme.child () INHERITS (globex.orders)",
                "inheritance acme > globex: table acme.child",
                "DROP TABLE acme.child",
            ),
            (
                "CREATE TABLE acme.part PARTITION OF globex.parts FOR VALUES IN (2)",
                "inheritance acme > globex: table acme.part",
                "DROP TABLE acme.part",
            ),
            (
                "ALTER TABLE acme.orders ADD mood globex.mood",
                "type acme > globex: table column acme.orders.mood",
                "ALTER TABLE acme.orders DROP mood",
            ),
            (
                "CREATE DOMAIN acme.feeling AS globex.mood",
                "type acme > globex: type acme.feeling",
                "DROP DOMAIN acme.feeling",
            ),
            (
                "CREATE FUNCTION acme.f(globex.mood) RETURNS int LANGUAGE sql AS 'SELECT 1'",
                "function acme > globex: function acme.f(globex.mood)",
                "DROP FUNCTION acme.f",
            ),
        ],
    );
}

#[test]
fn objects_of_nobody_that_use_a_tenant_s() {
    let guarded = Guarded::new(&["acme", "globex"]);
    each_is_found(
        &guarded,
        &[
            (
                "CREATE VIEW public.everybody AS SELECT id FROM globex.customers",
                "view (public) > globex: view public.everybody",
                "",
            ),
            (
                "CREATE FUNCTION globex.e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
                 CREATE EVENT TRIGGER P_e ON ddl_command_start EXECUTE FUNCTION globex.e()",
                "event_trigger (database) > globex: event trigger P_e",
                "",
            ),
        ],
    );
}

#[test]
fn a_generated_column_that_calls_another_tenant() {
    let guarded = Guarded::new(&["acme", "globex"]);
    guarded.execute(
        "ALTER TABLE acme.orders ADD twice int GENERATED ALWAYS AS (globex.doubled(id)) STORED",
    );
    let findings = guarded.findings();
    let [found] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert!(
        found.starts_with("default acme > globex: ") && found.ends_with(" acme.orders.twice"),
        "{found}"
    );
}

#[test]
fn a_body_that_postgresql_has_parsed() {
    let guarded = Guarded::new(&["acme", "globex"]);
    let version: i32 = guarded
        .db()
        .query_one("SELECT current_setting('server_version_num')::int");
    if version < 140_000 {
        return;
    }
    guarded.execute(
        "CREATE FUNCTION acme.f() RETURNS bigint BEGIN ATOMIC SELECT count(*) FROM globex.orders; END",
    );
    assert_eq!(
        guarded.findings(),
        ["function acme > globex: function acme.f()"]
    );
}

#[test]
fn functions_that_name_another_tenant_in_their_text() {
    let guarded = Guarded::new(&["acme", "globex"]);
    for (body, how) in [
        (
            "BEGIN RETURN (SELECT count(*) FROM globex.orders); END",
            "names globex.orders",
        ),
        (
            "BEGIN RETURN (SELECT count(*) FROM \"globex\" . Orders); END",
            "names globex.orders",
        ),
        (
            "BEGIN RETURN globex.doubled(1); END",
            "names globex.doubled",
        ),
        (
            "DECLARE m globex.mood; BEGIN RETURN 1; END",
            "names globex.mood",
        ),
        (
            "BEGIN EXECUTE 'DELETE FROM globex.orders'; RETURN 1; END",
            "names globex.orders in a text",
        ),
        (
            "BEGIN EXECUTE format('DELETE FROM globex.%I', 'x'); RETURN 1; END",
            "names globex in a text",
        ),
    ] {
        guarded.execute(&format!(
            "CREATE FUNCTION acme.f() RETURNS int LANGUAGE plpgsql AS $f${body}$f$"
        ));
        let document = guarded.look();
        assert_eq!(
            guarded.findings(),
            ["function_text acme > globex: function acme.f()"],
            "{body}"
        );
        assert_eq!(document["reaches"][0]["how"], how, "{body}");
        guarded.execute("DROP FUNCTION acme.f");
    }
    each_is_found(
        &guarded,
        &[
            (
                "CREATE FUNCTION public.f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM globex.orders'",
                "function_text (public) > globex: function public.f()",
                "DROP FUNCTION public.f",
            ),
            (
                "CREATE FUNCTION acme.f() RETURNS int LANGUAGE sql SET search_path = acme, globex AS 'SELECT 1'",
                "search_path acme > globex: function acme.f()",
                "",
            ),
        ],
    );
}
