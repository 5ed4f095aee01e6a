//! What each rule finds, where it points, and what it leaves alone.

use std::path::Path;

use super::*;

mod honest;
mod isolation;
mod marks;
mod names;
mod rows;

/// What a text gives: the rule and the offending text of each finding.
fn found_with(text: &str, terms: &Terms) -> Vec<(&'static str, String)> {
    lint_one(text, terms)
        .into_iter()
        .map(|finding| (finding.rule, finding.text))
        .collect()
}

fn lint_one(text: &str, terms: &Terms) -> Vec<Finding> {
    let script = Script {
        path: Path::new("V1__x.sql"),
        text,
        in_transaction: true,
        is_judged: true,
    };
    lint(&[script], terms)
}

/// Isolation alone, with the shared schema `extensions`.
fn isolation() -> Terms {
    Terms {
        shared: vec!["extensions".to_owned()],
        levels: Levels {
            lock_safety: Level::Off,
            ..Levels::default()
        },
        tenant_column: None,
    }
}

fn found(text: &str) -> Vec<(&'static str, String)> {
    found_with(text, &isolation())
}

/// Each statement breaks its rule, and no other, at this text.
#[track_caller]
fn assert_found(expected: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (statement, rule, text) in expected {
        let found = found(&format!("{statement};"));
        if found != [(*rule, text.trim_end_matches(';').to_owned())] {
            wrong.push(format!("{statement}\n    {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn rules_have_names_of_their_own_that_the_code_uses_rightly() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
    assert_eq!(RULES[1].name, "unparsed", "known() falls back to it");
    for name in code_names() {
        assert!(rule(&name).is_ok(), "no rule {name}");
    }
}

/// Names of rules as the files of this room write them, behind `Found::new(`.
fn code_names() -> Vec<String> {
    let mut names = Vec::new();
    for file in [
        include_str!("mod.rs"),
        include_str!("allowing.rs"),
        include_str!("rows.rs"),
        include_str!("syntax/names.rs"),
        include_str!("syntax/statements.rs"),
        include_str!("syntax/catalog.rs"),
    ] {
        let quoted = file.split('"').skip(1).step_by(2);
        let is_name = |text: &&str| {
            text.contains('-') && text.chars().all(|c| c.is_ascii_lowercase() || c == '-')
        };
        names.extend(quoted.filter(is_name).map(str::to_owned));
    }
    names
}

#[test]
fn an_unknown_rule_is_told_the_nearest() {
    let unknown = rule("qualified-names").unwrap_err().to_string();
    assert_eq!(
        unknown,
        "there is no rule qualified-names; did you mean qualified-name?"
    );
    let far = rule("xyzzy").unwrap_err().to_string();
    assert_eq!(far, "there is no rule xyzzy; fleet lint --rules lists them");
}

#[test]
fn a_finding_has_its_place_and_its_line() {
    let text = "SELECT 'é';\n\nCREATE VIEW\n  public.v AS SELECT 1;\n";
    let findings = lint_one(text, &isolation());
    let finding = &findings[0];
    let (place, end) = (finding.place.unwrap(), finding.end.unwrap());
    assert_eq!((place.line, place.column), (4, 3));
    assert_eq!((end.line, end.column), (4, 11));
    assert_eq!(finding.line, "  public.v AS SELECT 1;");
    assert_eq!(finding.level, Level::Deny);
}

#[test]
fn levels_are_those_of_the_config() {
    let text = "CREATE EXTENSION citext; DO $$ BEGIN EXECUTE x; END $$;";
    let mut terms = isolation();
    let levels = |terms: &Terms| -> Vec<Level> {
        let findings = lint_one(text, terms);
        findings.iter().map(|finding| finding.level).collect()
    };
    assert_eq!(levels(&terms), [Level::Deny, Level::Warn]);
    terms.levels.isolation = Level::Warn;
    assert_eq!(levels(&terms), [Level::Warn, Level::Warn]);
    let deny = ("dynamic-sql".to_owned(), Level::Deny);
    terms
        .levels
        .rules
        .extend([deny, ("extension".to_owned(), Level::Off)]);
    assert_eq!(levels(&terms), [Level::Deny]);
    terms.levels.isolation = Level::Off;
    terms.levels.rules.clear();
    assert_eq!(levels(&terms), []);
}

#[test]
fn locks_are_told_and_tables_of_the_same_file_are_nobody_s_yet() {
    let terms = Terms::default();
    let of = |text: &str| found_with(text, &terms);
    assert_eq!(
        of("CREATE INDEX i ON t (a);"),
        [(
            "require-concurrent-index-creation",
            "CREATE INDEX i ON t (a)".to_owned()
        )]
    );
    assert_eq!(of("CREATE TABLE t (a int); CREATE INDEX i ON t (a);"), []);
    assert_eq!(
        of("ALTER TABLE t ALTER a TYPE bigint;")
            .iter()
            .map(|(rule, _)| *rule)
            .collect::<Vec<_>>(),
        ["changing-column-type"]
    );
    // timeouts, robust statements, schemas and styles are none of these
    assert_eq!(
        of("CREATE TABLE t (id serial PRIMARY KEY, a varchar(10), b timestamp, c char(3));"),
        []
    );
    let script = Script {
        path: Path::new("V1__x.sql"),
        text: "CREATE INDEX CONCURRENTLY i ON t (a);",
        in_transaction: false,
        is_judged: true,
    };
    assert_eq!(lint(&[script], &terms), []);
}

#[test]
fn what_the_linter_cannot_read_is_a_note_and_nothing_else() {
    let notes = |text: &str| {
        let findings = lint_one(text, &isolation());
        let levels = findings.iter().map(|f| (f.rule, f.level));
        levels.collect::<Vec<_>>()
    };
    assert_eq!(notes("SELEKT 1;"), [("unparsed", Level::Note)]);
    let deep = format!("SELECT {}1{};", "(".repeat(50_000), ")".repeat(50_000));
    assert_eq!(notes(&deep), [("unparsed", Level::Note)]);
    let nested = format!("SELECT {}1{};", "(".repeat(900), ")".repeat(900));
    assert_eq!(notes(&nested), []);
    let long = format!("SELECT {}1;", "1 + ".repeat(20_000));
    assert_eq!(notes(&long), []);
    for text in [
        "",
        ";",
        "'",
        "$$",
        "--",
        "\u{feff}",
        "DO $$",
        "CREATE FUNCTION f() AS '",
        "é",
    ] {
        notes(text);
    }
}

#[test]
fn a_file_that_takes_too_long_is_a_note() {
    let text = format!("SELECT {}1;", "- ".repeat(20_000));
    let script = Script {
        path: Path::new("V1__slow.sql"),
        text: &text,
        in_transaction: true,
        is_judged: true,
    };
    let findings = super::lint_all(&[script], &Terms::default(), std::time::Duration::ZERO);
    let rules: Vec<_> = findings.iter().map(|finding| finding.rule).collect();
    assert_eq!(rules, ["unparsed"]);
}
