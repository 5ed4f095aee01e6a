//! What must hold after every run, however it ended: probe rows against histories, and nothing left behind.

mod invariants;
mod reports;
mod shape;

use std::collections::{BTreeMap, HashSet};

use super::database::TestDatabase;
use super::session::quote;
use super::wait::wait_until;

pub(crate) use invariants::assert_invariants;
pub(crate) use reports::{
    Place, assert_converged, assert_ledger_is_true, assert_nothing_to_do, assert_reports_truly,
};
pub(crate) use shape::{Golden, shape};

const HISTORY: &str = "refinery_schema_history";

const ADVISORY_LOCKS: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// What one tenant's own tables say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The rows of `probe`, ascending: one for each time that a migration really ran.
    pub(crate) probe: Vec<i64>,
    /// The versions of the history, ascending.
    pub(crate) history: Vec<i64>,
}

/// Reads the probes and histories of tenants; a missing table reads as empty.
pub(crate) fn applied(db: &TestDatabase, schemas: &[String]) -> BTreeMap<String, Applied> {
    let existing: HashSet<(String, String)> = db
        .rows(&format!(
            "SELECT schemaname, tablename FROM pg_tables WHERE tablename IN ('probe', '{HISTORY}')"
        ))
        .into_iter()
        .filter_map(|row| <[Option<String>; 2]>::try_from(row).ok())
        .filter_map(|[schema, table]| schema.zip(table))
        .collect();
    let mut found: BTreeMap<String, Applied> = schemas
        .iter()
        .map(|schema| (schema.clone(), Applied::default()))
        .collect();
    for (schema, tenant) in &mut found {
        for (table, versions) in [("probe", &mut tenant.probe), (HISTORY, &mut tenant.history)] {
            if existing.contains(&(schema.clone(), table.to_owned())) {
                *versions = db.column(&format!(
                    "SELECT version FROM {}.{table} ORDER BY version",
                    quote(schema)
                ));
            }
        }
    }
    found
}

/// Every tenant has had each of these migrations once, no other, and its history says the same.
#[track_caller]
pub(crate) fn assert_applied_exactly_once(db: &TestDatabase, schemas: &[String], versions: &[i64]) {
    complain(
        applied(db, schemas)
            .into_iter()
            .filter(|(_, tenant)| tenant.probe != versions || tenant.history != versions),
        &format!("do not have exactly {versions:?}"),
    );
}

/// Every tenant's history tells what really ran, whichever part of the set that is.
#[track_caller]
pub(crate) fn assert_history_is_truth(db: &TestDatabase, schemas: &[String]) {
    complain(
        applied(db, schemas)
            .into_iter()
            .filter(|(_, tenant)| tenant.probe != tenant.history),
        "have a history that is not what ran",
    );
}

#[track_caller]
fn complain(wrong: impl Iterator<Item = (String, Applied)>, complaint: &str) {
    let wrong: Vec<String> = wrong
        .map(|(schema, tenant)| {
            format!(
                "{schema}: ran {:?}, history {:?}",
                tenant.probe, tenant.history
            )
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} tenants {complaint}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(10)].join("\n")
    );
}

/// Soon after the end of a run the database knows no backend of fleet and no advisory lock.
#[track_caller]
pub(crate) fn assert_nothing_left(db: &TestDatabase) {
    wait_until("fleet's backends are gone", || db.fleet_backends() == 0);
    let locks: i64 = db.query_one(ADVISORY_LOCKS);
    assert_eq!(locks, 0, "advisory locks are left");
}
