use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::migration::{Migration, TransactionMode};
use crate::tenant::{DatabaseName, Presence, SchemaName, TenantId};

fn file(version: Version, text: &str) -> Migration {
    Migration {
        refinery: refinery_core::Migration::unapplied(&format!("V{version}__step"), text).unwrap(),
        path: PathBuf::from(format!("V{version}__step.sql")),
        body: text.into(),
        mode: TransactionMode::Transactional,
        statements: Vec::new(),
        steps: std::sync::Arc::default(),
        session: crate::migration::SessionUse::None,
        out_of_order: false,
    }
}

fn set(versions: &[Version]) -> MigrationSet {
    let files = versions.iter().map(|v| file(*v, "select 1")).collect();
    MigrationSet::new(Path::new("m"), files)
}

fn applied(version: Version, text: &str) -> AppliedRow {
    AppliedRow {
        version,
        name: "step".to_owned(),
        checksum: file(version, text).checksum_int8(),
    }
}

fn history(versions: &[Version]) -> HistorySnapshot {
    rows(versions.iter().map(|v| applied(*v, "select 1")).collect())
}

fn rows(rows: Vec<AppliedRow>) -> HistorySnapshot {
    HistorySnapshot::Rows {
        column: VersionColumn::Int8,
        rows: rows.into(),
        steps: Arc::default(),
    }
}

/// What becomes of tenants `t0`, `t1`, … with these histories.
fn plan(histories: Vec<HistorySnapshot>, set: &MigrationSet) -> Vec<Action> {
    let plan = planned(histories, set);
    plan.tenants.into_iter().map(|t| t.action).collect()
}

/// The plan of them.
fn planned(histories: Vec<HistorySnapshot>, set: &MigrationSet) -> Plan {
    let tenants = histories.into_iter().enumerate();
    let tenants = tenants
        .map(|(index, history)| {
            let tenant = Tenant {
                id: TenantId {
                    database: DatabaseName::new("main"),
                    schema: SchemaName::parse(&format!("t{index:03}")).unwrap(),
                },
                labels: Arc::default(),
                presence: Presence::Present,
            };
            (tenant, history)
        })
        .collect();
    build(tenants, Vec::new(), set, set.head())
}

fn migrate(versions: &[Version]) -> Action {
    Action::Migrate(versions.into())
}

#[test]
fn what_is_pending_is_applied_and_nothing_else() {
    let histories = vec![
        HistorySnapshot::NoTable { relations: 0 },
        history(&[1, 2]),
        history(&[1, 2, 3]),
    ];
    let expected = [migrate(&[1, 2, 3]), migrate(&[3]), Action::UpToDate];
    assert_eq!(plan(histories, &set(&[1, 2, 3])), expected);
}

#[test]
fn one_tenant_that_disagrees_with_a_file_is_an_odd_tenant() {
    let odd = rows(vec![applied(1, "select 1"), applied(2, "something else")]);
    let actions = plan(
        vec![odd, history(&[1, 2]), history(&[1, 2]), history(&[1])],
        &set(&[1, 2]),
    );
    assert!(
        matches!(&actions[0], Action::Refuse(Refusal::Divergent(files)) if files[0].version == 2)
    );
    assert_eq!(
        actions[1..],
        [Action::UpToDate, Action::UpToDate, migrate(&[2])]
    );
}

#[test]
fn a_file_that_most_tenants_disagree_with_reaches_no_other_tenant() {
    let before = || rows(vec![applied(1, "select 1"), applied(2, "before the edit")]);
    let actions = plan(vec![before(), before(), history(&[1])], &set(&[1, 2, 3]));
    let doubtful = Refusal::SetDoubtful {
        edited: vec![2],
        missing: vec![],
    };
    assert_eq!(actions[2], Action::Refuse(doubtful));
}

#[test]
fn a_set_that_lacks_what_most_tenants_have_is_applied_to_nobody_past_the_gap() {
    let empty = HistorySnapshot::NoTable { relations: 0 };
    let histories = vec![
        history(&[1, 2, 3]),
        history(&[1, 2, 3]),
        empty,
        history(&[1]),
    ];
    let actions = plan(histories, &set(&[1, 3, 4]));
    assert_eq!(actions[0], Action::Refuse(Refusal::Missing(vec![2])));
    let doubtful = Refusal::SetDoubtful {
        edited: vec![],
        missing: vec![2],
    };
    assert_eq!(actions[2], Action::Refuse(doubtful.clone()));
    assert_eq!(actions[3], Action::Refuse(doubtful));
}

#[test]
fn a_row_that_only_one_tenant_lacks_is_that_tenants_hole() {
    let actions = plan(
        vec![history(&[1, 3]), history(&[1, 2, 3]), history(&[1, 2, 3])],
        &set(&[1, 2, 3]),
    );
    assert_eq!(actions[0], Action::Refuse(Refusal::Hole(vec![2])));
    let alone = plan(vec![history(&[1, 3])], &set(&[1, 2, 3]));
    assert_eq!(alone[0], Action::Refuse(Refusal::OutOfOrder(vec![2])));
}

#[test]
fn everything_that_is_wrong_with_a_history_is_said_at_once() {
    let edited = rows(vec![
        applied(1, "before"),
        applied(2, "select 1"),
        applied(9, "select 1"),
    ]);
    let actions = plan(vec![edited], &set(&[1, 3]));
    let Action::Refuse(refusal) = &actions[0] else {
        panic!("not refused");
    };
    assert_eq!(refusal.kind(), "divergent");
    let text = refusal.to_string();
    for part in ["V1__step", "V9", "V2", "V3"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
}

/// What becomes of a tenant with this history.
fn entered(entry: Entry, history: &HistorySnapshot, set: &MigrationSet) -> Action {
    entry.decide(Presence::Present, history, set)
}

#[test]
fn only_what_comes_next_can_be_skipped() {
    let set = set(&[1, 2, 3]);
    let skip =
        |version, versions: &[Version]| entered(Entry::Skip(version), &history(versions), &set);
    assert_eq!(skip(2, &[1]), migrate(&[2]));
    let not_next = Refusal::NotNext {
        version: 3,
        before: vec![2],
    };
    assert_eq!(skip(3, &[1]), Action::Refuse(not_next));
    assert_eq!(skip(1, &[1]), Action::Refuse(Refusal::AppliedAlready(1)));
    assert_eq!(skip(2, &[1, 3]), migrate(&[2]), "a hole is filled");
    let edited = rows(vec![applied(1, "something else")]);
    let refused = entered(Entry::Skip(2), &edited, &set);
    assert!(matches!(refused, Action::Refuse(Refusal::Divergent(_))));
}

#[test]
fn a_baseline_is_for_tables_without_a_history() {
    let set = set(&[1, 2, 3]);
    let baseline = |history| entered(Entry::Baseline(2), &history, &set);
    let tables = HistorySnapshot::NoTable { relations: 3 };
    assert_eq!(baseline(tables), migrate(&[1, 2]));
    let new = HistorySnapshot::NoTable { relations: 0 };
    assert_eq!(baseline(new), Action::Refuse(Refusal::NothingThere));
    let has_history = Refusal::HasHistory {
        rows: 1,
        version: Some(1),
    };
    assert_eq!(baseline(history(&[1])), Action::Refuse(has_history));
}

#[test]
fn edited_files_are_accepted_and_strange_sets_are_not() {
    let set = set(&[1, 2]);
    let edited = rows(vec![applied(1, "before"), applied(2, "before")]);
    let accept = |version, history: &HistorySnapshot| {
        entered(Entry::AcceptDivergent(version), history, &set)
    };
    assert_eq!(accept(None, &edited), migrate(&[1, 2]));
    assert_eq!(accept(Some(2), &edited), migrate(&[2]));
    assert_eq!(accept(None, &history(&[1])), Action::UpToDate);
    let newer = rows(vec![applied(1, "before"), applied(9, "select 1")]);
    assert_eq!(
        accept(None, &newer),
        Action::Refuse(Refusal::Ahead(vec![9]))
    );
}

#[test]
fn a_fix_reaches_tenants_with_nothing_pending_and_with_only_itself_asked_for_refused_ones() {
    let set = set(&[1, 2]);
    let histories = || {
        let edited = rows(vec![applied(1, "before"), applied(2, "select 1")]);
        let new = HistorySnapshot::NoTable { relations: 0 };
        vec![history(&[1]), history(&[1, 2]), edited, new]
    };
    let actions = |then| -> Vec<Action> {
        let plan = planned(histories(), &set).for_fix(then);
        plan.tenants.into_iter().map(|t| t.action).collect()
    };
    let nothing_there = Action::Refuse(Refusal::NothingThere);
    let then_migrate = actions(AfterFix::Migrate);
    assert_eq!(then_migrate[..2], [migrate(&[2]), migrate(&[])]);
    assert!(matches!(
        then_migrate[2],
        Action::Refuse(Refusal::Divergent(_))
    ));
    assert_eq!(then_migrate[3], nothing_there);
    let alone = migrate(&[]);
    assert_eq!(
        actions(AfterFix::Stop),
        [alone.clone(), alone.clone(), alone, nothing_there]
    );
}

#[test]
fn a_target_that_is_not_in_the_set_is_refused_with_its_range() {
    let error = resolve_target(&set(&[1, 12]), Some(7)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no migration has version 7; the set goes from 1 to 12"
    );
    assert_eq!(resolve_target(&set(&[1, 12]), None), Ok(Some(12)));
}

proptest! {
    /// Whatever prefix of the set a tenant has, what is applied and what is pending are the whole.
    #[test]
    fn applied_and_pending_make_the_whole_set(
        versions in prop::collection::btree_set(1_i64..500, 1..20),
        share in 0.0_f64..=1.0,
    ) {
        let versions: Vec<Version> = versions.into_iter().collect();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of at most 20"
        )]
        let done = (versions.len() as f64 * share) as usize;
        let actions = plan(vec![history(&versions[..done])], &set(&versions));
        prop_assert_eq!(actions[0].pending(), &versions[done..]);
        prop_assert_eq!(actions[0] == Action::UpToDate, done == versions.len());
    }
}
