//! fleet and refinery as it comes, taking turns at the same tenants.

use std::process::Command;

use crate::support::{
    Child, Run, Server, TestDatabase, TestFleet, assert_applied_exactly_once, quote, tenants,
    wait_until,
};

/// A build of stock refinery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stock {
    /// As it comes.
    Int4,
    /// With its feature `int8-versions`.
    Int8,
}

impl Stock {
    /// Migrates one schema with the files of the fleet.
    pub(crate) fn migrate(self, db: &TestDatabase, schema: &str, fleet: &TestFleet) -> Run {
        let variable = match self {
            Self::Int4 => "FLEET_TEST_STOCK_INT4",
            Self::Int8 => "FLEET_TEST_STOCK_INT8",
        };
        let program = std::env::var_os(variable)
            .unwrap_or_else(|| panic!("{variable} is not set: run scripts/test"));
        let mut command = Command::new(program);
        command
            .args([&db.url(), schema])
            .arg(fleet.folder().join("migrations"));
        Child::spawn(command).wait()
    }

    /// The type of its history's versions.
    fn column(self) -> &'static str {
        match self {
            Self::Int4 => "integer",
            Self::Int8 => "bigint",
        }
    }
}

/// One tenant and a set that ends at V2.
fn one_tenant() -> (TestDatabase, String, TestFleet) {
    let db = TestDatabase::create(Server::A);
    let schema = tenants(&db, 1).remove(0);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    (db, schema, fleet)
}

/// The type of a tenant's version column.
fn column(db: &TestDatabase, schema: &str) -> String {
    db.query_one(&format!(
        "SELECT data_type FROM information_schema.columns
         WHERE table_schema = '{schema}' AND table_name = 'refinery_schema_history' AND column_name = 'version'"
    ))
}

/// A history, to the letter.
fn history(db: &TestDatabase, schema: &str) -> Vec<Vec<Option<String>>> {
    db.rows(&format!(
        "SELECT version, name, applied_on, checksum FROM {}.refinery_schema_history ORDER BY version",
        quote(schema)
    ))
}

/// A tenant of stock refinery is up to date for fleet, to the letter, and fleet goes on with it; what
/// fleet did is as good as stock refinery's own work.
#[track_caller]
fn is_taken_over_as_it_is(stock: Stock) {
    let (db, schema, fleet) = one_tenant();
    stock
        .migrate(&db, &schema, &fleet)
        .assert_code(0)
        .assert_stdout_has("V2__probe_2");
    let left_by_stock = history(&db, &schema);

    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["totals"]["up_to_date"], 1);
    assert_eq!(history(&db, &schema), left_by_stock);

    let fleet = fleet.probe_migrations(3..=3);
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["tenants"][0]["from"], 2);
    assert_eq!(run["tenants"][0]["applied"][0], "V3__probe_3");
    assert_eq!(history(&db, &schema)[..2], left_by_stock);
    assert_eq!(column(&db, &schema), stock.column());
    assert_applied_exactly_once(&db, std::slice::from_ref(&schema), &[1, 2, 3]);

    let again = stock.migrate(&db, &schema, &fleet);
    assert_eq!(again.assert_code(0).stdout, "");
}

#[test]
fn a_tenant_of_stock_refinery_is_taken_over_as_it_is() {
    is_taken_over_as_it_is(Stock::Int4);
}

#[test]
fn a_tenant_of_stock_refinery_with_wide_versions_is_taken_over_as_it_is() {
    is_taken_over_as_it_is(Stock::Int8);
}

/// Stock refinery finds nothing to do at a tenant of fleet's, applies the next migration itself, and
/// fleet sees that.
#[track_caller]
fn accepts_a_tenant_of_fleets(stock: Stock, fleet: TestFleet, db: &TestDatabase, schema: String) {
    fleet.fleet(&["migrate"]).assert_code(0);
    assert_eq!(column(db, &schema), stock.column());
    let nothing = stock.migrate(db, &schema, &fleet);
    assert_eq!(nothing.assert_code(0).stdout, "");

    let fleet = fleet.probe_migrations(3..=3);
    let next = stock.migrate(db, &schema, &fleet);
    assert_eq!(next.assert_code(0).stdout, "V3__probe_3\n");

    let status = fleet.json(&["status"], 0);
    assert_eq!(status["tenants"][0]["state"], "up_to_date");
    assert_eq!(status["tenants"][0]["version"], 3);
    assert_applied_exactly_once(db, &[schema], &[1, 2, 3]);
}

#[test]
fn stock_refinery_accepts_a_tenant_of_fleets_and_goes_on_with_it() {
    let (db, schema, fleet) = one_tenant();
    accepts_a_tenant_of_fleets(Stock::Int4, fleet, &db, schema);
}

#[test]
fn stock_refinery_with_wide_versions_accepts_a_tenant_of_fleets_where_the_config_says_int8() {
    let (db, schema, fleet) = one_tenant();
    let fleet = fleet.set("migrations.history_version", "int8");
    accepts_a_tenant_of_fleets(Stock::Int8, fleet, &db, schema);
}

#[test]
fn a_fleet_of_both_kinds_is_migrated_and_each_stays_what_it_is() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 4);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    Stock::Int8.migrate(&db, &schemas[0], &fleet).assert_code(0);
    let fleet = fleet.probe_migrations(2..=2);
    Stock::Int4.migrate(&db, &schemas[1], &fleet).assert_code(0);
    Stock::Int4.migrate(&db, &schemas[2], &fleet).assert_code(0);

    let fleet = fleet.probe_migrations(3..=3);
    let run = fleet.json(&["migrate"], 0);

    assert_eq!(run["totals"]["succeeded"], 4);
    assert_applied_exactly_once(&db, &schemas, &[1, 2, 3]);
    // the new one is as most of the others
    let stocks = [Stock::Int8, Stock::Int4, Stock::Int4, Stock::Int4];
    for (schema, stock) in schemas.iter().zip(stocks) {
        assert_eq!(column(&db, schema), stock.column(), "{schema}");
        let again = stock.migrate(&db, schema, &fleet);
        assert_eq!(again.assert_code(0).stdout, "", "{schema}");
    }
}

#[test]
fn a_new_tenant_gets_wide_versions_where_all_others_have_them() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=2);
    Stock::Int8.migrate(&db, &schemas[0], &fleet).assert_code(0);

    fleet.fleet(&["migrate"]).assert_code(0);

    assert_eq!(column(&db, &schemas[1]), "bigint");
    let again = Stock::Int8.migrate(&db, &schemas[1], &fleet);
    assert_eq!(again.assert_code(0).stdout, "");
}

#[test]
fn versions_that_are_timestamps_go_back_and_forth() {
    let (db, schema, fleet) = one_tenant();
    let fleet = fleet.migration("V20240504090241__stamp", "CREATE TABLE stamp (id int);\n");
    fleet.fleet(&["migrate"]).assert_code(0);
    let fleet = fleet.migration("V20240504090242__next", "CREATE TABLE next (id int);\n");

    let next = Stock::Int8.migrate(&db, &schema, &fleet);

    assert_eq!(next.assert_code(0).stdout, "V20240504090242__next\n");
    let run = fleet.json(&["migrate"], 0);
    assert_eq!(run["tenants"][0]["to"], 20_240_504_090_242_i64);
    assert_eq!(run["totals"]["up_to_date"], 1);
}

#[test]
fn files_with_unusual_texts_have_the_same_checksums_for_both() {
    let texts = [
        (
            "V1__windows",
            "CREATE TABLE a (id int);\r\nCREATE TABLE b (id int);\r\n",
        ),
        (
            "V2__no_last_line",
            "-- no semicolon, no end of line\nCREATE TABLE c (id int)",
        ),
        (
            "V3__umlauts",
            "COMMENT ON TABLE a IS 'größer als ½ 日本';\n",
        ),
        ("V4__wrapped", "BEGIN;\nCREATE TABLE d (id int);\nCOMMIT;\n"),
        ("V05__leading_zero", "CREATE TABLE e (id int);\n"),
    ];
    for stock in [Stock::Int4, Stock::Int8] {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, 2);
        let mut fleet = TestFleet::new(&db).set(
            "migrations.history_version",
            format!("{stock:?}").to_lowercase(),
        );
        for (name, text) in texts {
            fleet = fleet.migration(name, text);
        }
        stock.migrate(&db, &schemas[0], &fleet).assert_code(0);

        let run = fleet.json(&["migrate"], 0);

        assert_eq!(run["totals"]["up_to_date"], 1, "{stock:?}");
        assert_eq!(run["totals"]["succeeded"], 1, "{stock:?}");
        let again = stock.migrate(&db, &schemas[1], &fleet);
        assert_eq!(again.assert_code(0).stdout, "", "{stock:?}");
    }
}

#[test]
fn a_file_that_was_edited_is_refused_by_both() {
    let (db, schema, fleet) = one_tenant();
    Stock::Int4.migrate(&db, &schema, &fleet).assert_code(0);
    fleet.write_migration("V1__probe_1", "CREATE TABLE something_else (id int);\n");

    Stock::Int4.migrate(&db, &schema, &fleet).assert_code(1);
    let plan = fleet.json(&["plan"], 7);

    assert_eq!(plan["tenants"][0]["action"], "refuse");
}

#[test]
fn what_somebody_else_applied_after_the_plan_was_made_is_not_run_into() {
    let (db, schema, fleet) = one_tenant();
    fleet.fleet(&["init"]).assert_code(0);
    // a run that has made its plan cannot be recorded before this is gone
    let lock = db.hold_lock("LOCK TABLE fleet_control.run_tenants IN EXCLUSIVE MODE");
    let child = fleet.spawn(&["migrate"]);
    wait_until("the plan is made", || lock.waiters() == 1);
    Stock::Int4.migrate(&db, &schema, &fleet).assert_code(0);
    lock.release();

    child.wait().assert_code(0);

    assert_applied_exactly_once(&db, &[schema], &[1, 2]);
}
