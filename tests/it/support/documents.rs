//! Reading fleet's JSON documents.

use serde_json::Value;

use super::database::TestDatabase;

/// The row of a tenant in a document with `tenants`.
#[track_caller]
pub(crate) fn tenant<'a>(document: &'a Value, schema: &str) -> &'a Value {
    rows(document)
        .iter()
        .find(|row| row["schema"] == schema)
        .unwrap_or_else(|| panic!("no tenant {schema:?} in {document:#}"))
}

/// One key of all tenants, in their order: `acme succeeded`.
#[track_caller]
pub(crate) fn each_tenants(document: &Value, key: &str) -> Vec<String> {
    rows(document)
        .iter()
        .map(|row| {
            let schema = row["schema"].as_str().expect("a schema");
            let value = &row[key];
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            format!("{schema} {value}")
        })
        .collect()
}

/// Insists that a value is a text that holds all of these.
#[track_caller]
pub(crate) fn assert_says(value: &Value, parts: &[&str]) {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("no text but {value}, which should say {parts:?}"));
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text:?}");
    }
}

/// The rows of all tenants.
#[track_caller]
pub(crate) fn rows(document: &Value) -> &Vec<Value> {
    document["tenants"]
        .as_array()
        .unwrap_or_else(|| panic!("no tenants in {document:#}"))
}

/// The names of relations, functions and types in `public`.
pub(crate) fn public_objects(db: &TestDatabase) -> Vec<String> {
    db.column(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
         UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
         UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace",
    )
}

/// Nothing of ours or of a migration is in `public`.
#[track_caller]
pub(crate) fn assert_public_is_empty(db: &TestDatabase) {
    let found = public_objects(db);
    assert!(found.is_empty(), "in public: {found:?}");
}

/// Neither a control schema nor any history table has been made.
#[track_caller]
pub(crate) fn assert_untouched(db: &TestDatabase) {
    let found: Vec<String> = db.column(
        "SELECT nspname FROM pg_namespace WHERE nspname = 'fleet_control'
         UNION ALL SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
           WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    );
    assert!(found.is_empty(), "touched: {found:?}");
}
