//! Inspection, one test a rule.

use super::*;
use crate::sql::split;
use TransactionMode::{NonTransactional, Transactional};
use proptest::prelude::*;

fn script(text: &str) -> Script {
    inspect(text).unwrap_or_else(|findings| panic!("{text:?}: {findings:?}"))
}

/// Line, column and problem of every finding.
fn findings(text: &str) -> Vec<(u32, u32, String)> {
    inspect(text)
        .expect_err(text)
        .into_iter()
        .map(|f| (f.place.line, f.place.column, f.problem))
        .collect()
}

/// The only finding: its place and that its problem or hint speaks of something.
fn only(text: &str, line: u32, column: u32, says: &str) {
    let found = inspect(text).expect_err(text);
    assert_eq!(found.len(), 1, "{text:?}: {found:?}");
    let Finding {
        place,
        problem,
        hint,
    } = &found[0];
    assert_eq!((place.line, place.column), (line, column), "{problem}");
    assert!(
        problem.contains(says) || hint.contains(says),
        "{problem} / {hint}"
    );
}

#[test]
fn a_plain_file_is_sent_as_it_is() {
    let text =
        "-- one\r\ncreate table t (a int);\r\nset search_path = x;\r\ninsert into t values (';')";
    let script = script(text);
    assert_eq!(script.body, text);
    assert_eq!(script.mode, Transactional);
    let lines: Vec<u32> = script.statements.iter().map(|place| place.line).collect();
    assert_eq!(lines, [2, 3, 4]);
}

#[test]
fn a_byte_order_mark_is_dropped_at_the_start_only() {
    assert_eq!(script("\u{feff}select 1").body, "select 1");
    only("select 1;\n\u{feff}select 2", 2, 1, "byte order mark");
    assert_eq!(script("select '\u{feff}'").statements.len(), 1);
}

#[test]
fn begin_and_commit_around_the_file_become_blanks() {
    let cases = [
        (
            "-- x\nBEGIN;\nselect 1;\nCOMMIT;\n-- end",
            "-- x\n      \nselect 1;\n       \n-- end",
        ),
        (
            "start\r\n transaction; select 1; end",
            "     \r\n              select 1;    ",
        ),
        (
            "begin work /* é */;select 1;commit and no chain",
            &format!("{}select 1;{}", " ".repeat(19), " ".repeat(19)),
        ),
    ];
    for (text, body) in cases {
        let script = script(text);
        assert_eq!(script.body, body);
        assert_eq!(script.mode, Transactional);
        assert_eq!(script.statements.len(), 1);
        assert_eq!(script.statements[0], split(body)[0].place);
    }
}

#[test]
fn other_transaction_control_is_refused_with_its_place() {
    only("select 1;\n  COMMIT;\nselect 2", 2, 3, "COMMIT");
    only("begin; select 1", 1, 1, "BEGIN");
    only("select 1; rollback", 1, 11, "ROLLBACK");
    only(
        "begin; select 1; rollback; select 2; commit",
        1,
        18,
        "ROLLBACK",
    );
    assert_eq!(
        findings("begin; select 1; rollback")
            .iter()
            .map(|f| f.1)
            .collect::<Vec<_>>(),
        [1, 18]
    );
    let lossy = findings("begin isolation level serializable; select 1; commit");
    assert_eq!(lossy.len(), 2);
    assert_eq!(
        script("savepoint a; select 1; rollback to a").mode,
        Transactional
    );
}

#[test]
fn commands_of_psql_are_refused() {
    assert_eq!(
        findings("\\set a 'b\n\\i other.sql\nselect 1 \\gexec\n\\connect x")
            .iter()
            .map(|f| (f.0, f.1))
            .collect::<Vec<_>>(),
        [(1, 1), (2, 1), (3, 10), (4, 1)]
    );
    assert_eq!(script("select '\n\\i x'").statements.len(), 1);
}

#[test]
fn copy_from_and_to_the_client_is_refused() {
    only("select 1;\ncopy t from stdin;", 2, 1, "INSERT");
    only("copy t to stdout", 1, 1, "INSERT");
    let dumped = findings("copy t from stdin;\n1\tit's\n\\.\nselect 1; commit;");
    assert_eq!(dumped.len(), 2, "{dumped:?}");
}

#[test]
fn bytes_that_the_server_cannot_read() {
    only("select 1;\nselect '\0'", 2, 9, "NUL");
}

#[test]
fn what_is_never_closed_is_named_where_it_begins() {
    only("select 1;\nselect 'a;\nb", 2, 8, "a string");
    only("select \"a", 1, 8, "quoted identifier");
    only("do $fn$ begin end $$;", 1, 4, "$fn$");
    only("select 1; /* /* */", 1, 11, "comment");
    only("select (1;\ncommit", 1, 8, "parenthesis");
}

#[test]
fn a_file_without_a_statement_is_refused() {
    for text in ["", "\u{feff}", " \r\n", "-- nothing\n/* here */;"] {
        only(text, 1, 1, "no statement");
    }
    only("begin; commit;", 1, 1, "no statement");
}

#[test]
fn the_mark_runs_a_file_without_a_transaction() {
    for text in [
        "-- fleet: no-transaction\nselect 1; vacuum",
        "-- about\n\n--  FLEET:no-transaction  \r\nselect 1",
        "-- +refinery NO TRANSACTION\nselect 1",
        "-- refinery:noTransaction\nselect 1",
        "/* fleet: no-transaction */ select 1",
    ] {
        assert_eq!(script(text).mode, NonTransactional, "{text}");
    }
}

#[test]
fn a_mark_that_has_no_effect_is_refused() {
    only("-- fleet: no-transactoin\nselect 1", 1, 1, "unknown mark");
    only(
        "select 1;\n-- fleet: no-transaction\nvacuum;\n-- x",
        2,
        1,
        "first line",
    );
}

#[test]
fn an_exception_for_the_lint_is_accepted() {
    assert_eq!(
        script("-- fleet: allow drop-column\nselect 1").mode,
        Transactional
    );
}

#[test]
fn statements_that_cannot_run_in_a_transaction() {
    assert_eq!(
        script("create index concurrently i on t (a);\nvacuum t").mode,
        NonTransactional
    );
    only(
        "alter table t add a int;\ncreate index concurrently i on t (a);",
        2,
        1,
        "-- fleet: no-transaction",
    );
    only("begin; vacuum; commit", 1, 8, "VACUUM");
    only(
        "-- fleet: no-transaction\nbegin; select 1; commit",
        2,
        1,
        "mark",
    );
}

#[test]
fn all_findings_come_at_once_and_in_order() {
    let text = "-- fleet: nope\ncopy t from stdin;\n\\q\ncommit;\nselect '";
    let lines: Vec<u32> = findings(text).iter().map(|f| f.0).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5]);
}

proptest! {
    #[test]
    fn any_text_is_either_runnable_or_has_a_place(text in "(begin;|commit;|vacuum;|select 1;|\\\\i|--|[$'\"();*/\u{e9}\n\r ]|\\PC){0,30}") {
        match inspect(&text) {
            Ok(script) => {
                prop_assert!(!script.statements.is_empty());
                let body = text.strip_prefix('\u{feff}').unwrap_or(&text);
                prop_assert_eq!(script.body.chars().count(), body.chars().count());
                prop_assert_eq!(script.statements, split(&script.body).iter().map(|s| s.place).collect::<Vec<_>>());
            }
            Err(findings) => prop_assert!(!findings.is_empty()),
        }
    }
}
