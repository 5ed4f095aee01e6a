//! Migrations as honest people write them, by hand and by ORMs: a hundred of them, and no finding.

use super::*;
use crate::migration::{Migration, TransactionMode};
use crate::source;

fn set(directory: &str) -> Vec<Migration> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    source::read(&path).unwrap().migrations().to_vec()
}

fn findings(migrations: &[Migration], terms: &Terms) -> Vec<String> {
    let scripts: Vec<Script<'_>> = migrations
        .iter()
        .map(|migration| Script {
            path: &migration.path,
            text: &migration.body,
            in_transaction: migration.mode == TransactionMode::Transactional,
            is_judged: true,
        })
        .collect();
    let found = lint(&scripts, terms).into_iter();
    found
        .map(|f| format!("{}:{:?} {}: {}", f.path.display(), f.place, f.rule, f.text))
        .collect()
}

#[test]
fn a_hundred_honest_migrations_have_no_finding() {
    let migrations = set("tests/honest");
    assert!(migrations.len() >= 100, "{}", migrations.len());
    let found = findings(&migrations, &isolation());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn the_sample_set_has_no_finding_at_all() {
    let found = findings(&set("migrations/tenant"), &isolation());
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn no_honest_migration_is_denied_by_default() {
    let scripts = set("tests/honest");
    let found = scripts.iter().flat_map(|migration| {
        let script = Script {
            path: &migration.path,
            text: &migration.body,
            in_transaction: true,
            is_judged: true,
        };
        lint(&[script], &Terms::default())
    });
    let denied: Vec<Finding> = found.filter(|f| f.level == Level::Deny).collect();
    assert_eq!(denied, []);
}
