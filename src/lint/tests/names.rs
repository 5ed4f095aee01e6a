//! Names of other schemas: statement, rule, offending text.

use super::*;

/// Statement, rule, offending text.
const FINDINGS: &[(&str, &str, &str)] = &[
    // names
    (
        "CREATE OR REPLACE VIEW public.active AS SELECT 1",
        "qualified-name",
        "public.active",
    ),
    ("CREATE TABLE other.t (a int)", "qualified-name", "other.t"),
    (
        "CREATE TABLE \"Other\".t (a int)",
        "qualified-name",
        "\"Other\".t",
    ),
    (
        "ALTER TABLE public.t ADD COLUMN a int",
        "qualified-name",
        "public.t",
    ),
    ("DROP TABLE a, public.b", "qualified-name", "public.b"),
    (
        "CREATE INDEX i ON public.t (a)",
        "qualified-name",
        "public.t",
    ),
    (
        "INSERT INTO public.t VALUES (1)",
        "qualified-name",
        "public.t",
    ),
    ("UPDATE public.t SET a = 1", "qualified-name", "public.t"),
    ("DELETE FROM public.t", "qualified-name", "public.t"),
    ("TRUNCATE public.t", "qualified-name", "public.t"),
    (
        "SELECT 1 FROM a JOIN public.t ON true",
        "qualified-name",
        "public.t",
    ),
    (
        "CREATE TABLE a (b int REFERENCES public.t (id))",
        "qualified-name",
        "public.t",
    ),
    (
        "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES public.t",
        "qualified-name",
        "public.t",
    ),
    (
        "CREATE TABLE a (b public.status)",
        "qualified-name",
        "public.status",
    ),
    (
        "SELECT a::public.status FROM t",
        "qualified-name",
        "public.status",
    ),
    (
        "ALTER TABLE a ALTER b SET DEFAULT public.uuid_generate_v4()",
        "qualified-name",
        "public.uuid_generate_v4",
    ),
    (
        "SELECT * FROM other.list(1)",
        "qualified-name",
        "other.list",
    ),
    (
        "CREATE TRIGGER x AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION public.f()",
        "qualified-name",
        "public.f",
    ),
    (
        "SELECT 'public.t'::regclass",
        "qualified-name",
        "'public.t'",
    ),
    (
        "SELECT CAST('public.t' AS regclass)",
        "qualified-name",
        "'public.t'",
    ),
    (
        "CREATE TABLE a (id int DEFAULT nextval('public.a_seq'))",
        "qualified-name",
        "'public.a_seq'",
    ),
    (
        "CREATE TABLE a (id int DEFAULT nextval('public.a_seq'::regclass))",
        "qualified-name",
        "'public.a_seq'",
    ),
    (
        "SELECT setval('\"Other\".s', 1)",
        "qualified-name",
        "'\"Other\".s'",
    ),
    (
        "SELECT to_regclass('public.t')",
        "qualified-name",
        "'public.t'",
    ),
    (
        "COMMENT ON TABLE public.t IS 'x'",
        "qualified-name",
        "public.t",
    ),
    (
        "COMMENT ON COLUMN public.t.a IS 'x'",
        "qualified-name",
        "public.t.a",
    ),
    (
        "GRANT SELECT ON public.t TO app",
        "qualified-name",
        "public.t",
    ),
    (
        "GRANT USAGE ON SCHEMA public TO app",
        "qualified-name",
        "public",
    ),
    (
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO app",
        "qualified-name",
        "public",
    ),
    (
        "ALTER SEQUENCE s OWNED BY public.t.a",
        "qualified-name",
        "public.t.a",
    ),
    ("CREATE SEQUENCE public.s", "qualified-name", "public.s"),
    (
        "CREATE TYPE public.e AS ENUM ('a')",
        "qualified-name",
        "public.e",
    ),
    (
        "CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "qualified-name",
        "public.f",
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT id FROM public.t $$",
        "qualified-name",
        "public.t",
    ),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM public.t; RETURN 1; END $$",
        "qualified-name",
        "public.t",
    ),
    (
        "DO $$ DECLARE a public.t.b%TYPE; BEGIN END $$",
        "qualified-name",
        "public.t.b",
    ),
    (
        "DO 'BEGIN UPDATE public.t SET a = ''x''; END'",
        "qualified-name",
        "public.t",
    ),
    (
        "CREATE POLICY p ON public.t USING (true)",
        "qualified-name",
        "public.t",
    ),
    (
        "REFRESH MATERIALIZED VIEW public.m",
        "qualified-name",
        "public.m",
    ),
    ("LOCK TABLE public.t", "qualified-name", "public.t"),
    (
        "CREATE TABLE a (LIKE public.t)",
        "qualified-name",
        "public.t",
    ),
    (
        "CREATE TABLE a AS SELECT * FROM public.t",
        "qualified-name",
        "public.t",
    ),
    (
        "MERGE INTO public.t USING s ON true WHEN MATCHED THEN DELETE",
        "qualified-name",
        "public.t",
    ),
    ("COPY public.t FROM '/tmp/x'", "qualified-name", "public.t"),
    ("CALL other.p()", "qualified-name", "other.p"),
    (
        "ALTER TABLE t ADD EXCLUDE USING gist (a WITH public.=)",
        "qualified-name",
        "public.",
    ),
    // shared schemas are read and called, not changed
    (
        "CREATE TABLE extensions.t (a int)",
        "shared-schema",
        "extensions.t",
    ),
    (
        "INSERT INTO extensions.t VALUES (1)",
        "shared-schema",
        "extensions.t",
    ),
    (
        "GRANT SELECT ON extensions.t TO app",
        "shared-schema",
        "extensions.t",
    ),
    (
        "UPDATE pg_catalog.pg_class SET relname = 'a'",
        "shared-schema",
        "pg_catalog.pg_class",
    ),
    (
        "CREATE TABLE a (b int REFERENCES extensions.countries)",
        "shared-foreign-key",
        "extensions.countries",
    ),
];

#[test]
fn a_name_outside_of_the_tenant_is_found_once_and_pointed_at() {
    assert_found(FINDINGS);
}

#[test]
fn public_is_shared_where_the_config_says_so() {
    let mut terms = isolation();
    terms.shared.push("public".to_owned());
    let of = |text: &str| found_with(text, &terms);
    assert_eq!(of("SELECT 1 FROM public.countries;"), []);
    assert_eq!(
        of("DROP TABLE public.countries;"),
        [("shared-schema", "public.countries".to_owned())]
    );
}
