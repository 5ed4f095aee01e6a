//! What hides: behind the file, behind a foreign key, behind an event trigger, behind a file that may; and what leaves
//! no row of its own.

use serde_json::json;

use super::{
    OUTSIDE, assert_honest, assert_leaks, fleet_of_a_superuser, fleet_of_an_owner, versions,
};
use crate::support::{assert_says, tenant};

const NOTES: &str = "CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    INSERT INTO public.settings SELECT max(id) + 1, TG_TABLE_NAME FROM public.settings; RETURN NULL; END $$;\n";

/// Deferred triggers fire at COMMIT, those of the history with its row, and held cursors run at COMMIT.
#[test]
fn what_runs_behind_the_file_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    let wrote = &["wrote to table public.settings"];
    let deferred = format!(
        "{NOTES}CREATE CONSTRAINT TRIGGER notes AFTER INSERT ON own DEFERRABLE INITIALLY DEFERRED\n\
         FOR EACH ROW EXECUTE FUNCTION notes();\nINSERT INTO own VALUES (2, 'two');\n"
    );
    assert_leaks(&db, &fleet, &deferred, wrote);
    let of_history = |timing: &str| {
        format!(
            "{NOTES}CREATE {timing} ON refinery_schema_history FOR EACH ROW EXECUTE FUNCTION notes();\n"
        )
    };
    for timing in [
        "TRIGGER notes AFTER INSERT",
        "CONSTRAINT TRIGGER notes AFTER INSERT",
    ] {
        assert_leaks(&db, &fleet, &of_history(timing), wrote);
    }
    let held = "CREATE FUNCTION note() RETURNS int LANGUAGE sql AS $$ INSERT INTO public.settings VALUES (9, 'nine') RETURNING 1 $$;\n\
        DECLARE held CURSOR WITH HOLD FOR SELECT note();\n";
    fleet.write_migration("V2__reaches", held);
    let run = fleet.json(&["migrate"], 5);
    let failure = &tenant(&run, "tenant_0001")["failure"];
    assert_says(&failure["message"], &["WITH HOLD"]);
    assert_eq!(failure["migration"], "V2__reaches");
    assert_honest_is_next(
        &fleet,
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1;\nCLOSE c;\n",
    );
    assert_eq!(versions(&db, "tenant_0003").last(), Some(&2));
}

#[track_caller]
fn assert_honest_is_next(fleet: &crate::support::TestFleet, file: &str) {
    fleet.write_migration("V2__reaches", file);
    fleet.json(&["migrate"], 0);
}

#[test]
fn a_rehearsal_finds_what_runs_behind_a_file_that_others_follow() {
    let (_db, mut fleet) = fleet_of_an_owner();
    let file = format!(
        "{NOTES}CREATE CONSTRAINT TRIGGER notes AFTER INSERT ON own DEFERRABLE INITIALLY DEFERRED\n\
         FOR EACH ROW EXECUTE FUNCTION notes();\nINSERT INTO own VALUES (2, 'two');\n"
    );
    fleet.write_migration("V2__reaches", &file);
    fleet.write_migration("V3__own", "CREATE TABLE more (id int);\n");
    for scope in ["migration", "tenant"] {
        fleet = fleet.set("execution.transaction", scope);
        let told = fleet.json(&["rehearse"], 4);
        let told = tenant(&told, "tenant_0001");
        assert_says(
            &told["failure"]["message"],
            &["wrote to table public.settings"],
        );
    }
}

/// What was checked for the proof fails as it does at COMMIT.
#[test]
fn a_deferred_constraint_fails_as_at_commit() {
    let (_db, fleet) = fleet_of_an_owner();
    fleet.write_migration(
        "V2__orphan",
        "CREATE TABLE child (own int REFERENCES own DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO child VALUES (7);\n",
    );
    let run = fleet.json(&["migrate"], 5);
    let failure = &tenant(&run, "tenant_0001")["failure"];
    assert_eq!(failure["migration"], "V2__orphan");
    assert_eq!(failure["sqlstate"], "23503");
    assert_eq!(failure["line"], json!(null));
    assert_says(&failure["message"], &["at COMMIT", "child_own_fkey"]);
}

#[test]
fn what_the_tenant_takes_from_others_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    for (file, says) in [
        (
            "ALTER TABLE public.settings SET SCHEMA tenant_0001;\n",
            "moved table public.settings",
        ),
        (
            "ALTER VIEW public.report SET SCHEMA tenant_0001;\n",
            "moved view public.report",
        ),
        (
            "ALTER FUNCTION tenant_0002.answer() SET SCHEMA tenant_0001;\n",
            "moved function tenant_0002.answer()",
        ),
        (
            "ALTER TYPE tenant_0002.mood SET SCHEMA tenant_0001;\n",
            "moved type tenant_0002.mood",
        ),
        (
            "ALTER DOMAIN public.email SET SCHEMA tenant_0001;\n",
            "moved domain public.email",
        ),
        (
            "ALTER SEQUENCE tenant_0002.numbers SET SCHEMA tenant_0001;\n",
            "moved sequence tenant_0002.numbers",
        ),
    ] {
        assert_leaks(&db, &fleet, file, &[says]);
    }
}

/// A foreign key of the tenant locks the table that it points to: nothing else may hide behind that.
#[test]
fn what_hides_behind_a_foreign_key_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    let keys = ["tenant_0001", "tenant_0002", "tenant_0003"].map(|schema| {
        format!("CREATE TABLE {schema}.places (id int CONSTRAINT key REFERENCES shared.countries, s int CONSTRAINT set REFERENCES public.settings)")
    });
    db.execute(&format!(
        "{}; CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER touch BEFORE INSERT ON shared.countries FOR EACH ROW EXECUTE FUNCTION public.touch();
         CREATE POLICY one ON shared.countries; CREATE POLICY two ON shared.countries;
         CREATE RULE one AS ON UPDATE TO shared.countries DO ALSO SELECT 1; CREATE RULE two AS ON UPDATE TO shared.countries DO ALSO SELECT 2",
        keys.join(";")
    ));
    let drop = "ALTER TABLE places DROP CONSTRAINT key;\n";
    let add = "CREATE TABLE fresh (id int REFERENCES countries);\n";
    for statement in [
        "DROP TRIGGER touch ON shared.countries",
        "DROP POLICY one ON shared.countries",
        "DROP RULE one ON shared.countries",
        "COMMENT ON TABLE shared.countries IS 'of all'",
        "COMMENT ON COLUMN shared.countries.id IS 'of all'",
        "COMMENT ON TRIGGER touch ON shared.countries IS 'of all'",
        "ANALYZE shared.countries",
        "GRANT SELECT ON shared.countries TO PUBLIC",
    ] {
        for before in ["", drop, add] {
            let file = format!("{before}{statement};\n");
            assert_leaks(&db, &fleet, &file, &["changed table shared.countries"]);
        }
    }
    for file in [
        "LOCK TABLE shared.countries;\n",
        "LOCK TABLE shared.countries IN EXCLUSIVE MODE;\n",
        "CREATE TABLE fresh (id int REFERENCES countries);\nLOCK TABLE shared.countries IN EXCLUSIVE MODE;\n",
    ] {
        assert_leaks(&db, &fleet, file, &["changed table shared.countries"]);
    }
    fleet.remove_migration("V2__reaches");
    for file in [
        "ALTER TABLE places DROP CONSTRAINT set, ADD CONSTRAINT set FOREIGN KEY (s) REFERENCES public.settings;\n",
        "ALTER TABLE places ALTER s TYPE bigint;\n",
        "CREATE TABLE stage (id int REFERENCES countries);\nINSERT INTO stage VALUES (1);\nDROP TABLE stage;\n",
        "CREATE TABLE parts (id int REFERENCES countries, n int) PARTITION BY LIST (n);\n\
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);\n",
        "ALTER TABLE parts DETACH PARTITION parts_1;\n",
        "ALTER TABLE parts ATTACH PARTITION parts_1 FOR VALUES IN (1);\n",
        "DROP TABLE parts_1;\n",
        "ALTER TABLE places ALTER CONSTRAINT key DEFERRABLE;\n",
        "DROP TABLE places;\n",
    ] {
        assert_honest(&db, &fleet, file);
    }
}

/// What changes nothing, as it was so before, and what foreign keys have made.
#[test]
fn what_only_a_superuser_can_hide_is_found() {
    let (db, fleet) = fleet_of_a_superuser();
    let keys = ["tenant_0001", "tenant_0002", "tenant_0003"].map(|schema| {
        format!("CREATE TABLE {schema}.places (id int CONSTRAINT key REFERENCES shared.countries)")
    });
    db.execute(&keys.join(";"));
    db.execute("GRANT SELECT ON tenant_0002.own TO PUBLIC");
    for (file, says) in [
        (
            "ALTER TABLE places DROP CONSTRAINT key;\nALTER TABLE shared.countries DISABLE TRIGGER ALL;\n",
            "changed table shared.countries",
        ),
        (
            "GRANT SELECT ON tenant_0002.own TO PUBLIC;\n",
            "changed table tenant_0002.own",
        ),
    ] {
        assert_leaks(&db, &fleet, file, &[says]);
    }
    fleet.remove_migration("V2__reaches");
    db.execute("CREATE PUBLICATION places FOR TABLE tenant_0001.places, tenant_0002.places, tenant_0003.places");
    assert_honest(&db, &fleet, "DROP TABLE places;\n");
}

/// What an event trigger notes is the database's doing; what a file writes to the tables of others is not.
#[test]
fn only_what_an_event_trigger_notes_is_its_own() {
    let (db, fleet) = fleet_of_a_superuser();
    db.execute(
        "CREATE TABLE public.event (id serial, what text); CREATE TABLE public.object (id serial, what text);
         CREATE TABLE tenant_0002.event (id serial, what text); INSERT INTO tenant_0002.event (what) VALUES ('a');
         INSERT INTO public.event (what) VALUES ('a');
         CREATE FUNCTION public.noted() RETURNS event_trigger LANGUAGE plpgsql AS $$ DECLARE r record; BEGIN
           FOR r IN SELECT * FROM pg_event_trigger_ddl_commands() LOOP
             INSERT INTO public.event (what) VALUES (r.object_type || r.command_tag); END LOOP; END $$;
         CREATE EVENT TRIGGER noted ON ddl_command_end EXECUTE FUNCTION public.noted()",
    );
    let ddl = "CREATE TABLE noted (id int);\n";
    for (statement, says) in [
        (
            "INSERT INTO tenant_0002.event (what) VALUES ('b')",
            "wrote to table tenant_0002.event",
        ),
        (
            "DELETE FROM tenant_0002.event",
            "wrote to table tenant_0002.event",
        ),
        ("DELETE FROM public.event", "wrote to table public.event"),
        (
            "INSERT INTO public.object (what) VALUES ('b')",
            "wrote to table public.object",
        ),
    ] {
        for before in ["", ddl] {
            assert_leaks(&db, &fleet, &format!("{before}{statement};\n"), &[says]);
        }
    }
    for by_the_file in [
        "INSERT INTO public.event (what) VALUES ('b');\n",
        "UPDATE public.event SET what = 'b';\n",
    ] {
        assert_leaks(&db, &fleet, by_the_file, &["wrote to table public.event"]);
    }
    fleet.remove_migration("V2__reaches");
    assert_honest(&db, &fleet, ddl);
    db.execute("DROP EVENT TRIGGER noted");
}

/// What the file in front of it may, it may not: locks that are held already tell nothing.
#[test]
fn what_a_file_does_to_what_another_has_locked_is_found() {
    let (db, fleet) = fleet_of_an_owner();
    let fleet = fleet
        .set("execution.transaction", "tenant")
        .set("execution.concurrency", 1);
    db.execute("ALTER TABLE public.settings ALTER name SET DEFAULT 'a'");
    let outside: Vec<String> = db.column(OUTSIDE);
    for (may, does, says) in [
        (
            "INSERT INTO public.settings VALUES (2, 'two');\n",
            "INSERT INTO public.settings VALUES (3, 'three');\n",
            "wrote to table public.settings",
        ),
        (
            "ALTER TABLE public.settings ADD COLUMN more int;\n",
            "ALTER TABLE public.settings ALTER name DROP DEFAULT;\n",
            "changed table public.settings",
        ),
        (
            "LOCK TABLE tenant_0002.orders;\n",
            "DROP TABLE tenant_0002.orders;\n",
            "dropped table tenant_0002.orders",
        ),
    ] {
        let may = format!("-- fleet: allow leak it is meant\n{may}");
        fleet.write_migration("V2__may", &may);
        fleet.write_migration("V3__does", does);
        let run = fleet.json(&["migrate"], 5);
        let failure = &tenant(&run, "tenant_0001")["failure"];
        assert_eq!(failure["migration"], "V3__does");
        assert_says(&failure["message"], &[says]);
        assert_eq!(db.column::<String>(OUTSIDE), outside);
    }
}

/// Rows that are gone, and kinds of which only parts change.
#[test]
fn what_leaves_no_row_of_its_own_is_found() {
    let (db, fleet) = fleet_of_a_superuser();
    let (role, group) = (format!("{}_one", db.name()), format!("{}_group", db.name()));
    db.execute(&format!(
        "CREATE ROLE {role}; CREATE ROLE {group}; GRANT {group} TO {role}; ALTER ROLE {role} SET work_mem = '5MB';
         ALTER ROLE {role} IN DATABASE {name} SET work_mem = '6MB'; ALTER DATABASE {name} SET work_mem = '7MB';
         GRANT SELECT (name), UPDATE (name) ON public.settings TO {role}; COMMENT ON VIEW public.report IS 'a';
         CREATE TRIGGER one BEFORE INSERT ON public.settings FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
         CREATE TYPE public.pair AS (a int); CREATE OPERATOR FAMILY public.family USING btree;
         CREATE TEXT SEARCH CONFIGURATION public.words (COPY = pg_catalog.simple); SELECT lo_from_bytea(4711, 'abc')",
        name = db.name()
    ));
    let name = db.name();
    for (file, says) in [
        (format!("REVOKE {group} FROM {role};\n"), format!("changed role {role}")),
        (format!("ALTER ROLE {role} RESET ALL;\n"), format!("changed role {role}")),
        (format!("ALTER ROLE {role} IN DATABASE {name} RESET ALL;\n"), format!("changed role {role}")),
        (format!("ALTER DATABASE {name} RESET ALL;\n"), format!("changed database {name}")),
        (format!("REVOKE SELECT (name) ON public.settings FROM {role};\n"), "changed table public.settings".to_owned()),
        (format!("GRANT INSERT (name) ON public.settings TO {role};\n"), "changed table public.settings".to_owned()),
        ("COMMENT ON VIEW public.report IS NULL;\n".to_owned(), "changed view public.report".to_owned()),
        ("COMMENT ON TRIGGER one ON public.settings IS 'b';\n".to_owned(), "changed table public.settings".to_owned()),
        ("COMMENT ON CONSTRAINT settings_pkey ON public.settings IS 'b';\n".to_owned(), "changed table public.settings".to_owned()),
        ("COMMENT ON TYPE public.pair IS 'b';\n".to_owned(), "changed type public.pair".to_owned()),
        ("COMMENT ON LARGE OBJECT 4711 IS 'b';\n".to_owned(), "changed large object 4711".to_owned()),
        ("SELECT lo_put(4711, 0, 'xyz');\n".to_owned(), "wrote to large objects".to_owned()),
        ("SELECT lo_unlink(4711);\n".to_owned(), "dropped large object 4711".to_owned()),
        ("ALTER OPERATOR FAMILY public.family USING btree ADD OPERATOR 1 = (int2, int8);\n".to_owned(), "changed operator family public.family".to_owned()),
        ("ALTER TEXT SEARCH CONFIGURATION public.words DROP MAPPING FOR word;\n".to_owned(), "changed text search configuration public.words".to_owned()),
        ("ALTER EXTENSION plpgsql ADD TABLE own;\n".to_owned(), "changed extension plpgsql".to_owned()),
        ("CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION prsd_lextype(internal));\n".to_owned(), "created transform for type integer".to_owned()),
    ] {
        assert_leaks(&db, &fleet, &file, &[&says]);
    }
    fleet.remove_migration("V2__reaches");
    // the same on what is the tenant's
    assert_honest(
        &db,
        &fleet,
        &format!(
            "GRANT SELECT (name) ON own TO {role};\nGRANT INSERT (name) ON own TO {role};\nREVOKE SELECT (name) ON own FROM {role};\n\
             COMMENT ON CONSTRAINT own_pkey ON own IS 'a';\nCOMMENT ON TABLE own IS 'a';\nCOMMENT ON TABLE own IS NULL;\n\
             CREATE TYPE pair AS (a int);\nCOMMENT ON TYPE pair IS 'b';\nDROP TYPE pair;\n"
        ),
    );
    db.execute(&format!(
        "DROP OWNED BY {role}, {group}; DROP ROLE {role}, {group}"
    ));
}
