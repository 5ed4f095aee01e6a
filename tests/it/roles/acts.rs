//! What runs as a tenant's role: migrations of either kind, rehearsals, repairs, and rows of the history.

use super::Guarded;
use crate::stock_refinery::Stock;
use crate::support::{
    assert_applied_exactly_once, assert_nothing_left, assert_nothing_to_do, assert_public_is_empty,
    assert_says, each_tenants, tenant,
};

/// F34, F35: what reaches out of its tenant fails in the first one, whatever it is, and leaves nothing.
#[test]
fn a_statement_that_reaches_out_of_its_tenant_is_refused_by_the_database() {
    let (of, fleet) = Guarded::new();
    let fleet = fleet.probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let stray = [
        "CREATE VIEW public.all_probes AS SELECT 1",
        "INSERT INTO tenant_0002.probe VALUES (99)",
        "ALTER TABLE tenant_0002.probe ADD stray int",
        "DROP SCHEMA tenant_0002 CASCADE",
        "CREATE EXTENSION plpgsql",
        "CREATE SCHEMA stray",
        "CREATE ROLE stray_role_of_fleet",
        "DO $$ BEGIN EXECUTE 'CREATE TABLE public.stray (id int)'; END $$",
    ];
    for statement in stray {
        fleet.write_migration(
            "V2__stray",
            &format!("CREATE TABLE mine (id int);\n{statement};\n"),
        );

        let run = fleet.json(&["migrate", "--tenant", "tenant_0001"], 4);

        let failure = &tenant(&run, "tenant_0001")["failure"];
        let code = failure["sqlstate"].as_str();
        // an extension that is there is found before anybody is asked
        let allowed = if statement.contains("EXTENSION") {
            ["42501", "42710"]
        } else {
            ["42501", "42501"]
        };
        assert!(
            code.is_some_and(|code| allowed.contains(&code)),
            "{statement}: {failure}"
        );
        assert_eq!(failure["statement"], 2, "{statement}");
        if code == Some("42501") {
            assert_says(
                &failure["hint"],
                &[
                    &of.role("tenant_0001"),
                    "owns the schema tenant_0001 and nothing else",
                ],
            );
        }
        assert_eq!(of.history("tenant_0001"), [1], "{statement}");
    }
    assert_public_is_empty(&of.db);
    assert_applied_exactly_once(&of.db, &of.schemas, &[1]);
    assert_nothing_left(&of.db);
}

/// F58: one connection for all of them, and no role is left on it for the next tenant.
#[test]
fn all_that_an_honest_set_makes_is_the_tenant_s_role_s() {
    let (of, fleet) = Guarded::new();
    let fleet = fleet
        .set("execution.concurrency", 1)
        .set("databases.0.max_connections", 1)
        .probe_migrations(1..=2)
        .migration(
            "V3__more",
            "CREATE TYPE mood AS ENUM ('good');
             CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
             CREATE VIEW probes AS SELECT * FROM probe;
             CREATE TABLE who AS SELECT current_user::text AS name;
             CREATE TEMP TABLE passing (id int);
             GRANT SELECT ON probes TO PUBLIC;\n",
        )
        .migration("V4__index", "CREATE INDEX CONCURRENTLY ON probe (version);\n")
        .migration(
            "V5__marked",
            "-- fleet: no-transaction\nSET work_mem = '8MB';\nINSERT INTO who SELECT current_user;\nVACUUM probe;\n",
        )
        .migration("V6__after", "INSERT INTO who SELECT current_user;\n");

    let run = fleet.json(&["migrate"], 0);

    assert_eq!(run["totals"]["succeeded"], 3);
    for schema in &of.schemas {
        let role = of.role(schema);
        assert_eq!(of.owners(schema), std::slice::from_ref(&role));
        let who: Vec<String> = of.db.column(&format!("SELECT name FROM {schema}.who"));
        assert_eq!(who, [role.clone(), role.clone(), role]);
    }
    assert_nothing_to_do(&fleet);
    assert_public_is_empty(&of.db);
    assert_nothing_left(&of.db);
}

#[test]
fn a_file_that_lays_the_role_down_is_refused() {
    let (of, fleet) = Guarded::new();
    let fleet = fleet.probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    for (number, reset) in [
        "RESET ROLE",
        "SET SESSION AUTHORIZATION DEFAULT",
        "SET ROLE NONE",
    ]
    .iter()
    .enumerate()
    {
        let mark = if number == 2 {
            "-- fleet: no-transaction\n"
        } else {
            ""
        };
        fleet.write_migration(
            "V2__resets",
            &format!("{mark}CREATE TABLE mine{number} (id int);\n{reset};\n"),
        );
        let run = fleet.json(&["migrate", "--tenant", "tenant_0001"], 4);
        let failure = &tenant(&run, "tenant_0001")["failure"];
        assert_says(&failure["message"], &["changed the role"]);
        assert_eq!(failure["class"], "permanent");
        assert_eq!(of.history("tenant_0001"), [1], "{reset}");
    }
}

#[test]
fn a_rehearsal_runs_as_the_tenant_too() {
    let (of, fleet) = Guarded::new();
    let fleet = fleet
        .probe_migrations(1..=2)
        .migration("V3__who", "CREATE TABLE who AS SELECT 1;\n");
    assert_eq!(fleet.json(&["rehearse"], 0)["totals"]["would_succeed"], 3);
    let fleet = fleet.migration("V4__stray", "CREATE VIEW public.stray AS SELECT 1;\n");
    let rehearsed = fleet.json(&["rehearse"], 4);
    assert_eq!(
        tenant(&rehearsed, "tenant_0002")["failure"]["sqlstate"],
        "42501"
    );
    assert_public_is_empty(&of.db);
}

#[test]
fn repairs_and_entries_in_histories_are_the_tenant_s_own() {
    let (of, fleet) = Guarded::new();
    of.db.execute(&format!(
        "CREATE TABLE tenant_0003.probe (version bigint NOT NULL); CREATE TABLE tenant_0003.t1 (id bigint PRIMARY KEY, note text);
         INSERT INTO tenant_0003.probe VALUES (1);
         ALTER TABLE tenant_0003.probe OWNER TO {role}; ALTER TABLE tenant_0003.t1 OWNER TO {role}",
        role = of.role("tenant_0003")
    ));
    let fleet = fleet.probe_migrations(1..=1);
    fleet.json(
        &[
            "baseline",
            "tenant_0003",
            "--at",
            "1",
            "--reason",
            "restored",
        ],
        0,
    );
    fleet.json(&["migrate"], 0);
    let fleet = fleet.probe_migrations(2..=2);
    fleet.write_file(
        "fix.sql",
        "CREATE TABLE fixed AS SELECT current_user::text AS name;\n",
    );

    fleet.json(&["repair", "tenant_0001", "--sql", "fix.sql"], 0);
    fleet.json(&["skip", "2", "tenant_0002", "--reason", "by hand"], 0);
    fleet.json(&["migrate"], 0);

    let fixed: String = of.db.query_one("SELECT name FROM tenant_0001.fixed");
    assert_eq!(fixed, of.role("tenant_0001"));
    for schema in &of.schemas {
        assert_eq!(of.history(schema), [1, 2]);
        assert_eq!(of.owners(schema), [of.role(schema)]);
    }
    fleet.write_migration("V2__probe_2", "CREATE TABLE t2 (id bigint PRIMARY KEY, note text);\nINSERT INTO probe (version) VALUES (2);\n-- edited\n");
    fleet.json(&["accept-divergent", "*", "--reason", "a comment"], 0);
    assert_nothing_to_do(&fleet);
}

#[test]
fn a_tenant_in_role_mode_is_stock_refinery_s_too_and_goes_back() {
    let (of, fleet) = Guarded::new();
    let fleet = fleet.probe_migrations(1..=2);
    fleet.json(&["migrate"], 0);
    Stock::Int4
        .migrate(&of.db, "tenant_0001", &fleet)
        .assert_code(0);
    let fleet = fleet
        .set("execution.isolation", "none")
        .probe_migrations(3..=3);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(each_tenants(&run, "outcome").len(), 3);
    assert_applied_exactly_once(&of.db, &of.schemas, &[1, 2, 3]);
    // what was made meanwhile is not the role's, and is told before anything is touched
    let fleet = fleet
        .set("execution.isolation", "role")
        .probe_migrations(4..=4);
    let refused = fleet.json(&["migrate"], 3);
    assert_says(
        &refused["error"],
        &["table tenant_0001.t3 belongs to postgres"],
    );
    fleet.json(&["roles", "apply"], 0);
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&of.db, &of.schemas, &[1, 2, 3, 4]);
}
