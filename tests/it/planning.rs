//! What `fleet plan` finds before anything is touched, and that `fleet migrate` acts on it.

mod histories;
mod targets;
mod writes;

use serde_json::Value;

use crate::support::{
    Server, TestDatabase, TestFleet, applied, assert_applied_exactly_once, assert_says,
    each_tenants, tenant, tenants,
};

/// F43: an edited file is told with version and checksum, for each tenant that has it.
#[test]
fn an_edited_file_is_divergent_for_the_tenants_that_have_it() {
    let case = Case::with_two_migrations();
    case.fleet
        .write_migration("V1__probe_1", "CREATE TABLE something_else ();\n");
    let plan = case.fleet.json(&["plan"], 7);
    assert_eq!(plan["totals"]["refuse"], 3);
    let row = tenant(&plan, "tenant_0002");
    assert_says(
        &row["reason"],
        &["edited after being applied", "V1__probe_1", "checksum"],
    );
    assert_says(&row["hint"], &["new migration"]);
    let run = case.fleet.json(&["migrate"], 7);
    assert_eq!(run["totals"]["skipped"], 3);
    assert_eq!(run["outcome"], "failed");
}

#[test]
fn one_divergent_tenant_is_skipped_and_the_others_go_on() {
    let case = Case::with_two_migrations();
    case.in_second("UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2");
    case.assert_second_is_refused("edited after being applied", "skipped", 7);
}

/// F44: a file that has another name than what was applied.
#[test]
fn a_renamed_migration_is_divergent() {
    let case = Case::with_two_migrations();
    case.in_second("UPDATE refinery_schema_history SET name = 'other' WHERE version = 2");
    case.assert_second_is_refused("applied as other", "skipped", 7);
}

/// F44: a file that is gone.
#[test]
fn a_migration_whose_file_is_gone_is_missing() {
    let case = Case::with_two_migrations();
    case.in_second(
        "INSERT INTO refinery_schema_history SELECT 0, 'gone', applied_on, checksum FROM refinery_schema_history WHERE version = 1",
    );
    case.assert_second_is_refused("the file is missing: V0", "skipped", 7);
}

/// F14: a set that lacks what is applied is the older one.
#[test]
fn a_tenant_ahead_of_the_set_is_never_downgraded() {
    let case = Case::with_two_migrations();
    case.in_second(
        "INSERT INTO refinery_schema_history SELECT 9, 'newer', applied_on, checksum FROM refinery_schema_history WHERE version = 1",
    );
    case.assert_second_is_refused("ahead of this migration set: V9", "skipped", 7);
}

/// F44: a hole below what is applied.
#[test]
fn a_row_that_the_other_tenants_have_is_a_hole_in_this_one() {
    let case = Case::with_two_migrations();
    case.in_second("DELETE FROM refinery_schema_history WHERE version = 1");
    case.assert_second_is_refused("other tenants have applied V1", "skipped", 7);
}

/// F23: a history that was emptied.
#[test]
fn an_emptied_history_beside_tables_is_not_a_new_tenant() {
    let case = Case::with_two_migrations();
    case.in_second("TRUNCATE refinery_schema_history");
    case.assert_second_is_refused("relations but no history", "skipped", 7);
}

#[test]
fn a_file_that_was_edited_reaches_no_tenant_that_is_still_to_get_it() {
    let case = Case::with_two_migrations();
    case.db.execute("CREATE SCHEMA tenant_0004");
    case.fleet
        .write_migration("V2__probe_2", "INSERT INTO probe VALUES (22);\n");
    for selection in [&["migrate"][..], &["migrate", "--tenant", "tenant_0004"]] {
        let run = case.fleet.json(selection, 7);
        assert_eq!(tenant(&run, "tenant_0004")["outcome"], "skipped");
        assert_says(&tenant(&run, "tenant_0004")["reason"], &["V2 edited"]);
    }
    let tables: i64 = case
        .db
        .query_one("SELECT count(*) FROM pg_tables WHERE schemaname = 'tenant_0004'");
    assert_eq!(tables, 0);
}

#[test]
fn a_set_that_lacks_a_file_is_applied_to_nobody_past_the_gap() {
    let case = Case::with_two_migrations();
    case.db.execute("CREATE SCHEMA tenant_0004");
    case.fleet.remove_migration("V2__probe_2");
    let run = case.fleet.json(&["migrate"], 7);
    assert_eq!(run["totals"]["skipped"], 4);
    assert_says(&tenant(&run, "tenant_0004")["reason"], &["V2 missing"]);
}

/// F23: a tenant whose history is gone does not start at V1.
#[test]
fn tables_without_a_history_are_never_migrated_from_the_start() {
    let case = Case::with_two_migrations();
    case.in_second("DROP TABLE refinery_schema_history");
    case.assert_second_is_refused("3 relations but no history", "skipped", 7);
}

/// F22: a checksum that is no number.
#[test]
fn a_corrupt_checksum_fails_its_tenant_alone() {
    let case = Case::with_two_migrations();
    case.in_second("UPDATE refinery_schema_history SET checksum = 'x' WHERE version = 1");
    case.assert_second_is_refused("(version 1): the checksum \"x\"", "failed", 4);
}

/// F22: a checksum that is NULL.
#[test]
fn a_checksum_that_is_null_fails_its_tenant_alone() {
    let case = Case::with_two_migrations();
    case.in_second("UPDATE refinery_schema_history SET checksum = NULL WHERE version = 1");
    case.assert_second_is_refused("(version 1): the checksum is NULL", "failed", 4);
}

#[test]
fn a_name_that_is_null_fails_its_tenant_alone() {
    let case = Case::with_two_migrations();
    case.in_second("UPDATE refinery_schema_history SET name = NULL WHERE version = 2");
    case.assert_second_is_refused("(version 2): the name is NULL", "failed", 4);
}

/// F22: a date that is none, on which refinery panics.
#[test]
fn an_empty_date_fails_its_tenant_alone() {
    let case = Case::with_two_migrations();
    case.in_second("UPDATE refinery_schema_history SET applied_on = '' WHERE version = 2");
    case.assert_second_is_refused("(version 2): applied_on \"\" is not a date", "failed", 4);
}

/// F22: versions that are no numbers.
#[test]
fn a_version_column_of_another_type_fails_its_tenant_alone() {
    let case = Case::with_two_migrations();
    case.in_second("ALTER TABLE refinery_schema_history ALTER version TYPE text");
    case.assert_second_is_refused("version", "failed", 4);
}

#[test]
fn a_history_without_the_columns_fails_its_tenant_alone() {
    let case = Case::with_two_migrations();
    case.in_second("ALTER TABLE refinery_schema_history DROP COLUMN checksum");
    case.assert_second_is_refused("checksum", "failed", 4);
}

#[test]
fn many_bad_tenants_among_many_are_found_one_by_one() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 120);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    fleet.json(&["migrate"], 0);
    for bad in ["tenant_0003", "tenant_0060", "tenant_0061", "tenant_0120"] {
        db.execute(&format!(
            "ALTER TABLE {bad}.refinery_schema_history DROP COLUMN applied_on"
        ));
    }
    let fleet = fleet.migration("V2__more", "INSERT INTO probe VALUES (2);\n");
    let run = fleet.json(&["migrate"], 4);
    assert_eq!(run["totals"]["failed"], 4);
    assert_eq!(run["totals"]["succeeded"], 116);
    assert_eq!(applied(&db, &schemas)["tenant_0060"].probe, [1]);
    assert_eq!(applied(&db, &schemas)["tenant_0059"].probe, [1, 2]);
}

/// Three tenants at V2 of two migrations; a third is pending.
struct Case {
    db: TestDatabase,
    schemas: Vec<String>,
    fleet: TestFleet,
}

impl Case {
    fn with_two_migrations() -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, 3);
        let fleet = TestFleet::new(&db).probe_migrations(1..=2);
        fleet.json(&["migrate"], 0);
        let fleet = fleet.probe_migrations(3..=3);
        Self { db, schemas, fleet }
    }

    /// Does something to the second tenant.
    fn in_second(&self, sql: &str) {
        let session = self.db.connect();
        session.execute(&format!("SET search_path = tenant_0002; {sql}"));
    }

    /// The plan refuses the second tenant for this reason, and so does status; a run leaves it alone,
    /// does the others, and ends with this code.
    #[track_caller]
    fn assert_second_is_refused(&self, reason: &str, outcome: &str, code: i32) {
        let plan = self.fleet.json(&["plan"], 7);
        assert_eq!(
            each_tenants(&plan, "action"),
            [
                "tenant_0001 migrate",
                "tenant_0002 refuse",
                "tenant_0003 migrate"
            ]
        );
        let row = tenant(&plan, "tenant_0002");
        assert_says(&row["reason"], &[reason]);
        assert!(row["hint"].is_string(), "what to do about it: {row}");
        assert_eq!(row["pending"], Value::Array(Vec::new()));
        let before = applied(&self.db, &self.schemas[1..2])["tenant_0002"]
            .probe
            .clone();

        let run = self.fleet.json(&["migrate"], code);

        assert_eq!(tenant(&run, "tenant_0002")["outcome"], outcome);
        assert_says(&tenant(&run, "tenant_0002")["reason"], &[reason]);
        assert_eq!(run["totals"]["succeeded"], 2);
        let after = applied(&self.db, &self.schemas[1..2])["tenant_0002"]
            .probe
            .clone();
        assert_eq!(before, after);
        let others = [self.schemas[0].clone(), self.schemas[2].clone()];
        assert_applied_exactly_once(&self.db, &others, &[1, 2, 3]);
        let status = self.fleet.json(&["status"], 7);
        assert_eq!(tenant(&status, "tenant_0002")["state"], "refused");
        assert_says(&tenant(&status, "tenant_0002")["reason"], &[reason]);
    }
}
