//! Tenants that are not guarded: told by `doctor` and `plan`, and refused before anything is touched.

use serde_json::Value;

use super::Guarded;
use crate::support::{
    Server, TestDatabase, TestFleet, assert_says, assert_untouched, tenant, tenants,
};

/// The finding of a check.
#[track_caller]
fn finding<'a>(document: &'a Value, check: &str) -> &'a Value {
    let all = document["findings"].as_array().expect("findings");
    let found = all.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {document:#}"))
}

#[test]
fn tenants_that_the_database_does_not_guard_are_refused_before_anything_is_touched() {
    let of = Guarded::unguarded(3);
    let fleet = of.fleet().probe_migrations(1..=1);
    for command in [
        &["migrate"][..],
        &["rehearse"],
        &["baseline", "*", "--at", "1", "--reason", "x"],
    ] {
        let refused = fleet.json(command, 3);
        assert_says(
            &refused["error"],
            &[
                "3 of 3 tenants",
                "main/tenant_0001",
                "the role does not exist",
            ],
        );
        assert_says(&refused["hint"], &["fleet roles apply"]);
    }
    let plan = fleet.json(&["plan"], 3);
    assert_eq!(tenant(&plan, "tenant_0002")["action"], "refuse");
    assert_untouched(&of.db);
}

/// Holes in the guard of `tenant_0002`, `{2}` its role and `{3}` that of the next one, and what is said of them.
const HOLES: [(&str, &str); 10] = [
    (
        "ALTER SCHEMA tenant_0002 OWNER TO postgres",
        "the schema belongs to postgres",
    ),
    (
        "CREATE TABLE tenant_0002.t (id int)",
        "table tenant_0002.t belongs to postgres",
    ),
    ("ALTER ROLE {2} SUPERUSER", "it is SUPERUSER"),
    (
        "ALTER ROLE {2} CREATEROLE BYPASSRLS",
        "it is BYPASSRLS, CREATEROLE",
    ),
    (
        "GRANT {3} TO {2}",
        "it also owns the schema tenant_0003 (through the role ",
    ),
    (
        "GRANT CREATE ON SCHEMA tenant_0003 TO {2}",
        "it may create objects in tenant_0003",
    ),
    (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        "it may create objects in public, as everybody may",
    ),
    (
        "GRANT CREATE ON SCHEMA tenant_0002 TO PUBLIC",
        "everybody may create objects in the schema",
    ),
    (
        "GRANT pg_read_all_settings TO {2}",
        "it is a member of pg_read_all_settings",
    ),
    (
        "CREATE TABLE public.t (id int); ALTER TABLE public.t OWNER TO {2}",
        "it also owns table public.t",
    ),
];

/// F55: each hole in the guard by its name.
#[test]
fn every_hole_in_the_guard_is_named() {
    for (number, (hole, words)) in HOLES.iter().enumerate() {
        let (of, fleet) = Guarded::new();
        let hole = hole
            .replace("{2}", &of.role("tenant_0002"))
            .replace("{3}", &of.role("tenant_0003"));
        of.db.execute(&hole);
        let fleet = fleet.probe_migrations(1..=1);

        let seen = fleet.json(&["doctor"], 7);

        let isolation = finding(&seen, "isolation");
        assert_eq!(isolation["status"], "fault");
        let row = isolation["tenants"].as_array().expect("tenants").iter();
        let row = row.clone().find(|row| row["schema"] == "tenant_0002");
        assert_says(
            &row.unwrap_or_else(|| panic!("{hole}: {seen:#}"))["reason"],
            &[words],
        );
        let refused = fleet.json(&["migrate"], 3);
        if number < 6 {
            assert_says(&refused["error"], &["main/tenant_0002", words]);
        }
    }
}

#[test]
fn doctor_is_content_with_a_fleet_that_is_as_its_config_says() {
    let (of, fleet) = Guarded::new();
    let fleet = fleet.probe_migrations(1..=1);
    let seen = fleet.json(&["doctor"], 0);
    assert_says(
        &finding(&seen, "isolation")["message"],
        &["3 of 3 tenants are guarded"],
    );
    assert_says(&finding(&seen, "control")["message"], &["not there yet"]);
    assert_untouched(&of.db);
    fleet.json(&["migrate"], 0);
    let seen = fleet.json(&["doctor"], 0);
    assert_says(&finding(&seen, "control")["message"], &["up to date"]);
    let text = fleet.fleet(&["doctor"]);
    text.assert_code(0);
    assert!(
        text.stdout.contains("✓ main: PostgreSQL"),
        "{}",
        text.stdout
    );
}

#[test]
fn that_nothing_guards_tenants_is_a_fact_where_nothing_was_asked_for() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let seen = fleet.json(&["doctor"], 0);
    assert_says(
        &finding(&seen, "isolation")["message"],
        &["execution.isolation is none"],
    );
}

#[test]
fn a_server_that_does_not_answer_is_one_finding_of_several() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .database_url("away", "postgres://postgres@127.0.0.1:1/none");
    let seen = fleet.json(&["doctor"], 7);
    let all = seen["findings"].as_array().expect("findings");
    let status = |database: &str| {
        let found = all
            .iter()
            .find(|f| f["database"] == database && f["check"] == "server");
        found.expect("a finding")["status"].clone()
    };
    assert_eq!(
        (status("main"), status("away")),
        ("ok".into(), "fault".into())
    );
}
