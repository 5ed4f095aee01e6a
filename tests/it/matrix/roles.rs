//! Roles that may not do what a migration needs.

use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, assert_says,
    each_tenants, tenant, tenants,
};

/// Three tenants at V1 of a role that is no superuser, and fleet as that role.
fn as_application() -> (TestDatabase, String, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 3);
    let role = format!("{}_app", db.name());
    db.execute(&format!(
        "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}",
        db.name()
    ));
    for schema in schemas {
        db.execute(&format!("ALTER SCHEMA {schema} OWNER TO {role}"));
    }
    let url = db.url().replace("//postgres@", &format!("//{role}@"));
    let fleet = TestFleet::without_database()
        .database_url("main", &url)
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    (db, role, fleet)
}

/// F55: each right that lacks fails its tenant alone, once, and is named.
#[test]
fn a_right_that_lacks_is_named_and_fails_its_tenant_alone() {
    for (taken, needs) in [
        (
            "ALTER SCHEMA tenant_0002 OWNER TO postgres;
             GRANT USAGE ON SCHEMA tenant_0002 TO application",
            "permission denied for schema tenant_0002",
        ),
        (
            "ALTER TABLE tenant_0002.t1 OWNER TO postgres",
            "must be owner of table t1",
        ),
        (
            "ALTER TABLE tenant_0002.probe OWNER TO postgres",
            "permission denied for table probe",
        ),
        (
            "ALTER TABLE tenant_0002.refinery_schema_history OWNER TO postgres;
             GRANT SELECT ON tenant_0002.refinery_schema_history TO application",
            "permission denied for table refinery_schema_history",
        ),
    ] {
        let (db, role, fleet) = as_application();
        db.execute(&taken.replace("application", &role));
        let fleet = fleet.migration(
            "V2__all",
            "CREATE TABLE t2 (id int);\nALTER TABLE t1 ADD more text;\nINSERT INTO probe VALUES (2);\n",
        );

        let run = fleet.json(&["migrate"], 4);

        assert_eq!(
            each_tenants(&run, "outcome"),
            [
                "tenant_0001 succeeded",
                "tenant_0002 failed",
                "tenant_0003 succeeded"
            ]
        );
        let failed = tenant(&run, "tenant_0002");
        assert_eq!(failed["failure"]["sqlstate"], "42501", "{taken}");
        assert_eq!(failed["failure"]["class"], "permanent", "{taken}");
        assert_eq!(failed["attempts"], 1, "{taken}");
        assert_says(&failed["failure"]["message"], &[needs]);
        let second = ["tenant_0002".to_owned()];
        assert_eq!(applied(&db, &second)["tenant_0002"].history, [1]);
        let others = ["tenant_0001".to_owned(), "tenant_0003".to_owned()];
        assert_applied_exactly_once(&db, &others, &[1, 2]);
    }
}

/// F55: what has to be granted is told.
#[test]
fn the_grant_that_helps_is_told() {
    let (db, _, fleet) = as_application();
    db.execute("ALTER TABLE tenant_0002.t1 OWNER TO postgres");
    let fleet = fleet.migration("V2__alter", "ALTER TABLE t1 ADD more text;\n");
    let run = fleet.json(&["migrate"], 4);
    assert_says(&tenant(&run, "tenant_0002")["failure"]["hint"], &["GRANT"]);
}
