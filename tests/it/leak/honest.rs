//! What keeps to its tenant is let pass.

use super::{assert_honest, fleet_of_an_owner};
use crate::support::wait_until;

#[test]
fn what_a_tenant_does_to_itself_is_no_leak() {
    let (db, fleet) = fleet_of_an_owner();
    for file in [
        // keys, serials, identities, arrays, generated columns, toast
        "CREATE TABLE a (id bigserial PRIMARY KEY, n int GENERATED ALWAYS AS IDENTITY, texts text[] DEFAULT '{}',\n\
           twice int GENERATED ALWAYS AS (2) STORED, UNIQUE (n));\nINSERT INTO a (texts) VALUES ('{x}');\n\
         ALTER TABLE a ALTER COLUMN texts TYPE varchar[], ADD COLUMN big text;\nUPDATE a SET big = repeat('x', 9999);\n",
        "CREATE TYPE temper AS ENUM ('good');\nCREATE TYPE pair AS (a int, b text);\nALTER TYPE pair ADD ATTRIBUTE c int;\nCREATE DOMAIN short AS text CHECK (length(VALUE) < 9);\n\
         CREATE TYPE span AS RANGE (subtype = float8);\nCREATE TABLE b (m temper, p pair, s short, r span);\n\
         ALTER DOMAIN short ADD CONSTRAINT some_text CHECK (VALUE <> '');\n",
        "ALTER TYPE temper ADD VALUE 'bad';\n",
        "CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);\n\
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');\n\
         CREATE INDEX ON parts (id);\nINSERT INTO parts VALUES (1, '2026-06-01');\nDROP TABLE parts_1;\n",
        "CREATE VIEW v AS SELECT * FROM a;\nCREATE MATERIALIZED VIEW m AS SELECT * FROM a;\nREFRESH MATERIALIZED VIEW m;\n\
         COMMENT ON VIEW v IS 'own';\nCREATE INDEX ON a (big);\nCLUSTER a USING a_pkey;\nANALYZE a;\n",
        "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;\n\
         CREATE TRIGGER touch BEFORE UPDATE ON a FOR EACH ROW EXECUTE FUNCTION touch();\nUPDATE a SET big = 'y';\n\
         ALTER TABLE a ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;\nCREATE POLICY all_rows ON a USING (true);\n\
         GRANT SELECT ON a TO PUBLIC;\nGRANT SELECT (n) ON a TO pg_monitor;\n",
        "LOCK TABLE a;\nCREATE STATISTICS some_of_it ON n, id FROM a;\nCREATE COLLATION plain FROM \"C\";\n\
         CREATE TEXT SEARCH CONFIGURATION words (COPY = pg_catalog.simple);\nCREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);\n\
         CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4eq);\n\
         DO $$ BEGIN EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO PUBLIC', current_schema()); END $$;\n",
        // what is temporary is nobody's
        "CREATE TEMP TABLE copied AS SELECT * FROM a;\nCREATE INDEX ON copied (id);\nUPDATE copied SET big = 'z';\n\
         CREATE FUNCTION pg_temp.one() RETURNS int LANGUAGE sql AS 'SELECT 1';\nSELECT pg_temp.one();\nDROP TABLE copied;\n",
        // of what others share it may read, and point to it
        "CREATE TABLE places (id int PRIMARY KEY, country int REFERENCES countries);\nINSERT INTO places VALUES (1, 1);\n\
         SELECT * FROM shared.countries FOR SHARE;\nCREATE VIEW named AS SELECT * FROM shared.countries;\n",
        "ALTER TABLE places DROP CONSTRAINT places_country_fkey;\nALTER TABLE places ADD FOREIGN KEY (country) REFERENCES countries;\n",
        "DROP TABLE places;\n",
        "TRUNCATE a RESTART IDENTITY;\nDROP MATERIALIZED VIEW m;\nDROP VIEW v, named;\nDROP TRIGGER touch ON a;\nDROP FUNCTION touch();\n\
         DROP POLICY all_rows ON a;\nDROP TABLE a, b, parts;\nDROP TYPE temper, pair, span;\nDROP DOMAIN short;\nDROP COLLATION plain;\n\
         DROP AGGREGATE total (int);\nDROP OPERATOR === (int, int);\nDROP TEXT SEARCH CONFIGURATION words;\n",
        "DO $$ BEGIN BEGIN CREATE TABLE public.tried (id int); RAISE division_by_zero; EXCEPTION WHEN division_by_zero THEN NULL; END; END $$;\n",
        "CREATE TABLE public.passing (id int);\nDROP TABLE public.passing;\n",
    ] {
        assert_honest(&db, &fleet, file);
    }
}

#[test]
fn what_somebody_else_does_meanwhile_is_not_the_tenants() {
    let (db, fleet) = fleet_of_an_owner();
    fleet.write_migration(
        "V2__slow",
        "CREATE TABLE slow (id int);\nSELECT pg_advisory_xact_lock(77);\nCREATE TABLE after (id int);\n",
    );
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(77)");
    let run = fleet.spawn(&["-o", "json", "migrate"]);
    wait_until("the first tenant waits", || gate.waiters() == 1);

    db.execute(
        "CREATE TABLE public.new (id serial PRIMARY KEY); INSERT INTO public.new DEFAULT VALUES;
         ALTER TABLE tenant_0002.orders ADD COLUMN extra int; CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
         GRANT SELECT ON public.settings TO PUBLIC; DROP VIEW public.report; CREATE SCHEMA new",
    );
    let open = db.hold_lock(
        "CREATE TABLE public.open (id int); LOCK TABLE tenant_0003.own IN ROW EXCLUSIVE MODE",
    );
    gate.release();
    let run = run.wait();
    open.release();

    run.assert_code(0);
}
