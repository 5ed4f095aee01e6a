//! What fleet says, against what the databases say.

use std::collections::{BTreeMap, BTreeSet};

use super::super::database::TestDatabase;
use super::super::fleet::TestFleet;
use super::super::run::Run;
use super::invariants::assert_invariants;
use super::shape::Golden;
use super::{Applied, applied};

/// A database by its name in the config, and its tenants.
pub(crate) type Place<'a> = (&'a str, &'a TestDatabase, &'a [String]);

/// I9 and I10, of a run over exactly these tenants: its document has each of them once and nobody else, at
/// the version of its history; who is called done is at the target; and the exit code is 0 if all are.
#[track_caller]
pub(crate) fn assert_reports_truly(run: &Run, places: &[Place]) {
    let document = run.json();
    let mut broken = Vec::new();
    if document["exit_code"] != run.code() {
        broken.push(format!(
            "I9 it says exit code {} and ends with {}",
            document["exit_code"],
            run.code()
        ));
    }
    let target = document["target"].as_i64();
    let mut histories = histories(places);
    let behind: Vec<String> = histories
        .iter()
        .filter(|(_, tenant)| !is_at(tenant, target))
        .map(|(tenant, _)| tenant.clone())
        .collect();
    if (run.code() == 0) != behind.is_empty() {
        broken.push(format!(
            "I9 exit code {} with {} tenants not at {target:?}: {behind:?}",
            run.code(),
            behind.len()
        ));
    }
    for row in document["tenants"].as_array().into_iter().flatten() {
        let [database, schema, outcome] =
            ["database", "schema", "outcome"].map(|key| row[key].as_str().unwrap_or_default());
        let name = format!("{database}/{schema}");
        let Some(tenant) = histories.remove(&name) else {
            broken.push(format!("I10 {name} is there twice, or was not asked for"));
            continue;
        };
        if row["to"].as_i64() != tenant.history.last().copied() {
            broken.push(format!(
                "I10 {name} is said to be at {} and has {:?}",
                row["to"], tenant.history
            ));
        }
        if matches!(outcome, "succeeded" | "up_to_date") && !is_at(&tenant, target) {
            broken.push(format!("I9 {name} is said to have {outcome}"));
        }
    }
    for name in histories.keys() {
        broken.push(format!("I10 {name} is missing"));
    }
    assert!(broken.is_empty(), "{}\n{run}", broken.join("\n"));
}

/// I6, where a run has finished or been reconciled: the ledger knows every tenant at the version of its
/// history, and nobody else.
#[track_caller]
pub(crate) fn assert_ledger_is_true(control: &TestDatabase, places: &[Place]) {
    let known: BTreeMap<String, Option<i64>> = control
        .rows("SELECT database || '/' || schema, version FROM fleet_control.tenants")
        .into_iter()
        .filter_map(|row| <[Option<String>; 2]>::try_from(row).ok())
        .filter_map(|[name, version]| Some((name?, version.and_then(|text| text.parse().ok()))))
        .collect();
    let histories: BTreeMap<String, Option<i64>> = histories(places)
        .into_iter()
        .map(|(name, tenant)| (name, tenant.history.last().copied()))
        .collect();
    let names: BTreeSet<&String> = known.keys().chain(histories.keys()).collect();
    let wrong: Vec<String> = names
        .into_iter()
        .filter(|name| known.get(*name) != histories.get(*name))
        .map(|name| {
            let [ledger, history] = [&known, &histories].map(|side| side.get(name));
            format!("I6 {name}: ledger {ledger:?}, history {history:?}")
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// I8: the same command again has nothing to do.
#[track_caller]
pub(crate) fn assert_nothing_to_do(fleet: &TestFleet) {
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    let document = run.json();
    let totals = &document["totals"];
    assert!(
        run.code() == 0 && totals["up_to_date"] == totals["tenants"],
        "I8 migrate again is not idle\n{run}"
    );
}

/// Everything, of a fleet with one database `main` whose last run has gone well: `assert_invariants`, every
/// tenant at the end of the set, I8, and I6 before and after `fleet reconcile`.
#[track_caller]
pub(crate) fn assert_converged(
    fleet: &TestFleet,
    db: &TestDatabase,
    schemas: &[String],
    golden: &Golden,
) {
    super::assert_applied_exactly_once(db, schemas, &golden.versions);
    assert_invariants(db, schemas, golden);
    assert_nothing_to_do(fleet);
    let places = [("main", db, schemas)];
    assert_ledger_is_true(db, &places);
    let reconciled = fleet.json(&["reconcile"], 0);
    assert_eq!(reconciled["disagreements"], serde_json::json!([]), "I6");
    assert_ledger_is_true(db, &places);
    assert_invariants(db, schemas, golden);
}

fn is_at(tenant: &Applied, target: Option<i64>) -> bool {
    target.is_none_or(|target| tenant.history.contains(&target))
}

/// What the tenants themselves say, by `database/schema`.
fn histories(places: &[Place]) -> BTreeMap<String, Applied> {
    places
        .iter()
        .flat_map(|(database, db, schemas)| {
            applied(db, schemas)
                .into_iter()
                .map(move |(schema, tenant)| (format!("{database}/{schema}"), tenant))
        })
        .collect()
}
