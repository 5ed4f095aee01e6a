//! Histories that fleet's role may not read, or that another build of refinery has written.

use crate::support::{
    Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, each_tenants,
    tenant, tenants,
};

/// F55: no USAGE on a schema, found when planning.
#[test]
fn a_schema_that_fleets_role_may_not_use_fails_alone() {
    let case = Restricted::create();
    case.db.execute(&format!(
        "REVOKE USAGE ON SCHEMA tenant_0002 FROM {}",
        case.role
    ));
    case.assert_second_fails(&["lacks USAGE on the schema"]);
}

/// F55: no SELECT on a history, found when planning.
#[test]
fn a_history_that_fleets_role_may_not_read_fails_alone() {
    let case = Restricted::create();
    case.db.execute(&format!(
        "ALTER TABLE tenant_0002.refinery_schema_history OWNER TO postgres;
         REVOKE ALL ON tenant_0002.refinery_schema_history FROM {}",
        case.role
    ));
    case.assert_second_fails(&["lacks SELECT on refinery_schema_history"]);
}

#[test]
fn a_history_with_row_security_is_not_taken_for_an_empty_one() {
    let case = Restricted::create();
    case.db.execute(&format!(
        "ALTER TABLE tenant_0002.refinery_schema_history OWNER TO postgres;
         GRANT ALL ON tenant_0002.refinery_schema_history TO {};
         ALTER TABLE tenant_0002.refinery_schema_history ENABLE ROW LEVEL SECURITY",
        case.role
    ));
    case.assert_second_fails(&["row-level security"]);
}

#[test]
fn tenants_that_a_stock_refinery_has_migrated_are_taken_over() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db)
        .set("migrations.history_version", "int8")
        .probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    // the same table as refinery without int8-versions makes it
    db.execute("ALTER TABLE tenant_0002.refinery_schema_history ALTER version TYPE int4");
    let fleet = fleet.probe_migrations(2..=2);
    fleet.json(&["migrate"], 0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    let checksums: i64 = db.query_one(
        "SELECT count(DISTINCT checksum) FROM (SELECT * FROM tenant_0001.refinery_schema_history
         UNION ALL SELECT * FROM tenant_0002.refinery_schema_history) h WHERE version = 2",
    );
    assert_eq!(checksums, 2, "each as its build of refinery computes it");
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["up_to_date"], 2);
}

#[test]
fn a_version_that_does_not_fit_a_narrow_history_refuses_its_tenant() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    let fleet = fleet.migration("V20261123101500__timestamp", "SELECT 1;\n");
    let plan = fleet.json(&["plan"], 7);
    let row = tenant(&plan, "tenant_0001");
    assert_says(&row["reason"], &["20261123101500", "integer column"]);
    assert_says(&row["hint"], &["bigint"]);
    db.execute("ALTER TABLE tenant_0001.refinery_schema_history ALTER version TYPE bigint");
    fleet.json(&["migrate"], 0);
}

#[test]
fn another_history_table_is_used_where_the_config_names_it() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db)
        .set("migrations.history_table", "My \"history\"")
        .probe_migrations(1..=2);
    fleet.json(&["migrate"], 0);
    let rows: i64 = db.query_one("SELECT count(*) FROM tenant_0001.\"My \"\"history\"\"\"");
    assert_eq!(rows, 2);
    assert_eq!(fleet.json(&["plan"], 0)["totals"]["up_to_date"], 1);
}

/// Three tenants at V1, owned by a role that is no superuser and that fleet connects as.
struct Restricted {
    db: TestDatabase,
    role: String,
    fleet: TestFleet,
}

impl Restricted {
    fn create() -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, 3);
        let role = format!("{}_app", db.name());
        db.execute(&format!("CREATE ROLE {role} LOGIN"));
        db.execute(&format!("GRANT CREATE ON DATABASE {} TO {role}", db.name()));
        for schema in &schemas {
            db.execute(&format!("GRANT ALL ON SCHEMA {schema} TO {role}"));
        }
        let url = db.url().replace("//postgres@", &format!("//{role}@"));
        let fleet = TestFleet::without_database()
            .database_url("main", &url)
            .probe_migrations(1..=1);
        fleet.json(&["migrate"], 0);
        let fleet = fleet.probe_migrations(2..=2);
        Self { db, role, fleet }
    }

    #[track_caller]
    fn assert_second_fails(&self, reason: &[&str]) {
        let plan = self.fleet.json(&["plan"], 7);
        assert_says(&tenant(&plan, "tenant_0002")["reason"], reason);
        let run = self.fleet.json(&["migrate"], 4);
        assert_eq!(
            each_tenants(&run, "outcome"),
            [
                "tenant_0001 succeeded",
                "tenant_0002 failed",
                "tenant_0003 succeeded"
            ]
        );
        let others = ["tenant_0001".to_owned(), "tenant_0003".to_owned()];
        assert_applied_exactly_once(&self.db, &others, &[1, 2]);
    }
}
