//! The text of a message, and where in it the files lie.

use std::path::PathBuf;

use super::*;
use crate::migration::{SessionUse, TransactionMode};

fn migration(stem: &str, sql: &str, statements: usize) -> Migration {
    Migration {
        refinery: refinery_core::Migration::unapplied(stem, sql).unwrap(),
        path: PathBuf::from(stem),
        body: sql.into(),
        mode: TransactionMode::Transactional,
        statements: vec![Place { line: 1, column: 1 }; statements],
        steps: std::sync::Arc::default(),
        session: SessionUse::None,
        out_of_order: false,
    }
}

fn pieces<'a>(a: &'a Migration, b: &'a Migration) -> [Piece<'a>; 2] {
    [Piece::Migration(a), Piece::Migration(b)]
}

fn envelope(setup: Setup) -> Envelope {
    Envelope {
        schema: SchemaName::parse("te\"nant").unwrap(),
        role: None,
        shared: vec!["ext".into()],
        history_table: "refinery_schema_history".into(),
        setup,
        column: VersionColumn::Int4,
        lock_timeout_ms: 3000,
        statement_timeout_ms: 0,
        settings: vec!["a=b".into()],
        checks_leaks: false,
        nonce: 255,
    }
}

#[test]
fn a_statement_is_found_by_its_number_and_a_character_by_its_position() {
    let (a, b) = (
        migration("V1__a", "créate;two", 2),
        migration("V2__b", "three -- end", 1),
    );
    let start = ExpectedHead(None);
    let message = envelope(Setup::History).message(&pieces(&a, &b), start, "now");
    let prefix = message.files[0].statements_before;
    assert_eq!(prefix, 4);
    assert_eq!(message.part(prefix - 1), Part::Prefix);
    assert_eq!(message.part(prefix + 1), Part::File(0, 1));
    assert_eq!(message.part(prefix + 2), Part::HistoryRow(0));
    assert_eq!(message.part(prefix + 3), Part::Prefix);
    assert_eq!(message.part(prefix + 6), Part::File(1, 0));
    assert_eq!(message.part(prefix + 8), Part::Commit);

    let byte = message.text.find("three").unwrap();
    let character = message.text[..byte].chars().count() + 1;
    assert_eq!(message.file_at(character), Some((1, 1)));
    assert_eq!(message.file_at(1), None);
}

#[test]
fn every_file_begins_as_the_tenant_s_role() {
    let (a, b) = (migration("V1__a", "one", 1), migration("V2__b", "two", 1));
    let of_tenant = Envelope {
        role: Some(RoleName::parse("te'nant\"_owner").unwrap()),
        ..envelope(Setup::Schema)
    };
    let message = of_tenant.message(&pieces(&a, &b), ExpectedHead(None), "now");
    let as_role = r#"SET LOCAL ROLE "te'nant""_owner";"#;
    assert_eq!(message.text.matches(as_role).count(), 2);
    assert!(
        message
            .text
            .contains(r#""te""nant" AUTHORIZATION "te'nant""_owner";SET LOCAL"#)
    );
    assert!(!message.text.contains("RESET ROLE"));
    let guard = "current_user IS DISTINCT FROM 'te''nant\"_owner'";
    assert_eq!(message.text.matches(guard).count(), 2);
}

#[test]
fn the_second_row_expects_the_first() {
    let (a, b) = (migration("V3__a", "x", 1), migration("V4__b", "y", 1));
    let expected = ExpectedHead(Some(2));
    let text = envelope(Setup::None)
        .message(&pieces(&a, &b), expected, "now")
        .text;
    assert!(text.contains("WHERE version>2)"));
    assert!(text.contains("WHERE version>3)"));
    assert!(!text.contains("CREATE TABLE"));
    assert!(text.contains(r#""te""nant"."refinery_schema_history""#));
}

#[test]
fn nothing_comes_behind_the_proof_but_commit() {
    let (a, b) = (migration("V1__a", "one", 1), migration("V2__b", "two", 1));
    let proven = Envelope {
        checks_leaks: true,
        ..envelope(Setup::None)
    };
    let message = proven.message(&pieces(&a, &b), ExpectedHead(None), "now");
    let [first, last] = [message.files[0], message.files[1]];
    assert_eq!(
        message.part(first.statements_before + 1),
        Part::HistoryRow(0)
    );
    assert_eq!(message.part(first.statements_before + 2), Part::Check(0));
    let behind = last.statements_before + 1;
    assert_eq!(message.part(behind), Part::HistoryRow(1));
    assert_eq!(message.part(behind + 1), Part::Deferred);
    assert_eq!(message.part(behind + 2), Part::Check(1));
    assert_eq!(message.part(behind + 1 + last.checks), Part::Check(1));
    assert_eq!(message.part(behind + 2 + last.checks), Part::Commit);
    assert_eq!(message.text.matches("SET CONSTRAINTS").count(), 1);
}
