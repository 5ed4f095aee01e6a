//! Splitting, case by case and against generated texts.

use super::*;
use proptest::prelude::*;

fn texts(body: &str) -> Vec<&str> {
    split(body).into_iter().map(|s| s.text).collect()
}

#[test]
fn statements_carry_no_semicolon_blank_or_comment_around_them() {
    let body = "\r\n-- one;\r\nselect 1 ; /* two; */;;\r\n  select\r\n 2 -- end";
    let statements = split(body);
    assert_eq!(texts(body), ["select 1", "select\r\n 2"]);
    assert_eq!(statements[0].place, Place { line: 3, column: 1 });
    assert_eq!(statements[1].place, Place { line: 4, column: 3 });
    assert_eq!(
        &body[statements[1].offset..][..statements[1].text.len()],
        "select\r\n 2"
    );
}

#[test]
fn a_body_without_statements_has_none() {
    for body in ["", " \n", ";;", "-- x;", "/* ; */ ;"] {
        assert!(split(body).is_empty(), "{body}");
    }
}

#[test]
fn the_body_of_a_routine_keeps_its_semicolons() {
    let bodies = [
        "create function f() returns int begin atomic select 1; select 2; end",
        "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC\nSELECT CASE WHEN a > 1 THEN (CASE a WHEN 2 THEN 3 END) END; SELECT 2;\nEND",
        "create procedure p() begin /* ; */ atomic end",
        "create or replace procedure p() begin atomic select x.end, x.case, 1 as end, 2 as case; end",
        "create function f() returns int begin atomic select 1 end; select 2; end",
    ];
    for body in bodies {
        assert_eq!(texts(&format!("{body}; select 9")), [body, "select 9"]);
    }
}

#[test]
fn begin_elsewhere_opens_nothing() {
    assert_eq!(
        texts("begin; select 1; end; create table begin (atomic int); select 2"),
        [
            "begin",
            "select 1",
            "end",
            "create table begin (atomic int)",
            "select 2"
        ]
    );
    assert_eq!(
        texts("create function f() returns int language sql as $$ begin atomic; $$; select 1")
            .len(),
        2
    );
}

#[test]
fn the_actions_of_a_rule_stay_together() {
    let rule = "create rule r as on insert to t do (insert into a values (1); delete from b)";
    assert_eq!(texts(&format!("{rule};select 1;")), [rule, "select 1"]);
}

#[test]
fn lines_of_a_copy_are_no_statements() {
    let body = "copy t from stdin;\nit's\t;x\n\\.\nselect 1;";
    assert_eq!(texts(body), ["copy t from stdin", "select 1"]);
    assert_eq!(texts("copy t from stdin;\nselect 1;").len(), 2);
}

#[test]
fn psql_commands_between_statements_are_none_of_them() {
    assert_eq!(
        texts("\\set a 'b;c\nselect 1 \\gexec\nselect 2;"),
        ["select 1", "select 2"]
    );
}

/// A statement of pieces that hide semicolons and quotes in every way.
fn statement() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'a;''b'".to_owned()),
        Just("E'a\\';\\\\'".to_owned()),
        Just("E'a'\n'\\';'".to_owned()),
        Just("$$ ; ' $x$ \" $$".to_owned()),
        Just("$fn$ begin; $$;$$ end; $fn$".to_owned()),
        Just("$é1$ ; $é$ $é1$".to_owned()),
        Just("\"a;\"\"'\"".to_owned()),
        Just("U&'\\0441;'".to_owned()),
        Just("/* ; /* ' */ $$ */".to_owned()),
        Just("-- ; ' $$ \" /*\r\n".to_owned()),
        Just("-- é;\n".to_owned()),
        Just("(a; (b; c))".to_owned()),
        Just("a$$b".to_owned()),
        Just("$1".to_owned()),
        Just("case when 1 then 2 end".to_owned()),
        "[a-z\u{e9}\u{1f600}]{1,5}",
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| format!("select {} x", pieces.join(" ")))
}

proptest! {
    #[test]
    fn as_many_come_out_as_were_put_in(statements in prop::collection::vec(statement(), 0..8)) {
        let body = statements.join(" ;\n-- between; '\n");
        let found = texts(&body);
        prop_assert_eq!(&found, &statements.iter().map(String::as_str).collect::<Vec<_>>());
        let again = found.join(";");
        prop_assert_eq!(texts(&again), found);
    }

    #[test]
    fn statements_lie_where_they_say(body in "([$'\"\\\\;()eE*/ab\u{e9}\n\r -]|\\PC){0,80}") {
        let mut at = 0;
        for statement in split(&body) {
            prop_assert!(statement.offset >= at);
            prop_assert!(!statement.text.is_empty());
            prop_assert!(body[statement.offset..].starts_with(statement.text));
            prop_assert_eq!(statement.place, crate::sql::place_at(&body, statement.offset));
            at = statement.offset + statement.text.len();
        }
    }
}
