//! Migrations as honest people write them, by hand and by ORMs: a hundred of them, and no finding.

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::migration::TransactionMode;
use crate::sql;

/// A file of a set.
struct File {
    path: PathBuf,
    text: String,
    in_transaction: bool,
}

/// The files of a folder, each of which can be run.
fn set(folder: &str) -> Vec<File> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = fs::read_dir(folder).unwrap();
    let read = entries.map(|entry| {
        let path = entry.unwrap().path();
        let script = sql::inspect(&fs::read_to_string(&path).unwrap()).unwrap();
        File {
            path,
            text: script.body,
            in_transaction: script.mode == TransactionMode::Transactional,
        }
    });
    read.collect()
}

fn judged(files: &[File], terms: &Terms) -> Vec<Finding> {
    let scripts: Vec<Script<'_>> = files
        .iter()
        .map(|file| Script {
            path: &file.path,
            text: &file.text,
            in_transaction: file.in_transaction,
            is_judged: true,
        })
        .collect();
    lint(&scripts, terms)
}

fn assert_nothing(found: &[Finding]) {
    let shown = found
        .iter()
        .map(|f| format!("{}:{:?} {}: {}", f.path.display(), f.place, f.rule, f.text));
    let shown: Vec<String> = shown.collect();
    assert!(shown.is_empty(), "\n{}", shown.join("\n"));
}

#[test]
fn a_hundred_honest_migrations_have_no_finding() {
    let files = set("tests/honest");
    assert!(files.len() >= 100, "{}", files.len());
    assert_nothing(&judged(&files, &isolation()));
}

#[test]
fn the_sample_set_has_no_finding() {
    assert_nothing(&judged(&set("migrations/tenant"), &isolation()));
}

#[test]
fn no_honest_migration_is_denied_by_default() {
    let mut found = judged(&set("tests/honest"), &Terms::default());
    assert!(!found.is_empty(), "rules about locks do find something");
    found.retain(|finding| finding.level == Level::Deny);
    assert_nothing(&found);
}
