use std::path::Path;

use super::*;
use crate::lint::{self, Script, Terms};

fn findings(text: &str) -> Vec<Finding> {
    let script = Script {
        path: Path::new("migrations/a,b:c%.sql"),
        text,
        in_transaction: true,
        is_judged: true,
    };
    lint::lint(&[script], &Terms::default())
}

#[test]
fn a_finding_reads_like_a_compiler_s() {
    let found = findings("SELECT 1;\n\tDROP TABLE \"é\", public.t;\n");
    let denied: Vec<Finding> = found
        .into_iter()
        .filter(|f| f.level == Level::Deny)
        .collect();
    let mut out = Vec::new();
    let looked = Looked {
        files: 1,
        left_out: 2,
    };
    lint(&mut out, &denied, looked, Style::plain(), Verbosity::Normal).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "migrations/a,b:c%.sql:2:18: deny[qualified-name]: public.t is in the schema public, outside of the tenant"
    );
    assert_eq!(lines[1], "  2 │     DROP TABLE \"é\", public.t;");
    assert_eq!(lines[2], "    │                     ^^^^^^^^");
    assert!(lines[3].starts_with("  why: "), "{text}");
    assert!(lines[4].starts_with("  how: "), "{text}");
    assert_eq!(
        lines[6],
        "1 denied in 1 of 1 file; left out: 2 files that some tenant has, or that lint.from takes as they are"
    );
}

#[test]
fn commands_for_github_are_escaped() {
    let mut found = findings("CREATE EXTENSION citext;");
    found[0].message = "100%\r\nof it: a, b".to_owned();
    found[0].why.clear();
    found[0].how.clear();
    let mut out = Vec::new();
    lint_github(&mut out, &found).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "::error file=migrations/a%2Cb%3Ac%25.sql,line=1,endLine=1,col=1,endColumn=24,title=extension::100%25%0D%0Aof it: a, b\n"
    );
}

#[test]
fn nothing_found_says_so() {
    let mut out = Vec::new();
    let looked = Looked {
        files: 3,
        left_out: 0,
    };
    lint(&mut out, &[], looked, Style::plain(), Verbosity::Normal).unwrap();
    assert_eq!(out, b"3 files, nothing found\n");
}
