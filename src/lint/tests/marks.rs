//! Exceptions that files make.

use super::*;

#[test]
fn an_exception_is_for_one_rule_in_one_statement() {
    let text = "\
-- fleet: allow extension made in a schema of its own
CREATE EXTENSION citext;
CREATE EXTENSION hstore; -- fleet: allow extension the same
CREATE EXTENSION ltree;
";
    assert_eq!(
        found(text),
        [("extension", "CREATE EXTENSION ltree".to_owned())]
    );
    let inside = "DO $$ BEGIN\n  -- fleet: allow dynamic-sql names come from this schema\n  EXECUTE 'a' || b;\nEND $$;";
    assert_eq!(found(inside), []);
    let other = "-- fleet: allow schema because\nCREATE EXTENSION citext;";
    let rules: Vec<_> = found(other).into_iter().map(|(rule, _)| rule).collect();
    assert_eq!(rules, ["allow-unused", "extension"]);
}

#[test]
fn an_exception_needs_a_reason_and_a_rule() {
    let rules = |text: &str| -> Vec<(&str, String)> {
        let findings = lint_one(text, &isolation());
        findings.into_iter().map(|f| (f.rule, f.message)).collect()
    };
    let found = rules("-- fleet: allow extension\nCREATE EXTENSION citext;");
    assert_eq!(found[0].0, "allow-without-reason");
    assert_eq!(found[1].0, "extension", "it allows nothing");
    let found = rules("-- fleet: allow extensions made before\nCREATE EXTENSION citext;");
    assert_eq!(found[0].0, "allow-unknown-rule");
    assert_eq!(
        found[0].1,
        "there is no rule extensions; did you mean extension?"
    );
    assert_eq!(found[1].0, "extension");
    let found = rules("-- fleet: allow extension none is here\nSELECT 1;");
    assert_eq!(found[0].0, "allow-unused");
}

#[test]
fn squawk_s_own_exceptions_hold() {
    let terms = Terms::default();
    let text = "-- squawk-ignore require-concurrent-index-creation\nCREATE INDEX i ON t (a);";
    assert_eq!(found_with(text, &terms), []);
    let text =
        "-- fleet: allow require-concurrent-index-creation it is small\nCREATE INDEX i ON t (a);";
    assert_eq!(found_with(text, &terms), []);
}
