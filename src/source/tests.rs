//! Reading directories: a good set, then one test a fault.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::migration::TransactionMode::{NonTransactional, Transactional};

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn problems(directory: &TempDir) -> Vec<Problem> {
    match read(directory.path()) {
        Err(SourceError::Problems { problems, .. }) => problems,
        other => panic!("{other:?}"),
    }
}

/// The only problem: which file, and what it or its hint says.
fn only(directory: &TempDir, file: &str, says: &str) {
    let found = problems(directory);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].path, directory.path().join(file));
    let text = found[0].to_string();
    assert!(text.contains(says), "{text}");
}

#[test]
fn a_good_set_is_read_to_the_letter() {
    let crlf = "\u{feff}BEGIN;\r\ncreate table t (a int);\r\nCOMMIT;\r\n";
    let directory = directory(&[
        ("V10__ten.sql", "create index concurrently i on t (a)"),
        ("V2__two.sql", crlf),
        ("late/U3__three.sql", "select 3"),
        ("V0__zero.sql", "-- fleet: no-transaction\nselect 0"),
        ("README.md", "V3__not.sql is not here"),
        (".gitkeep", ""),
        ("mod.rs", ""),
        ("V2__two.sql.orig", "x"),
    ]);
    let set = read(directory.path()).unwrap();
    let stems: Vec<String> = set.migrations().iter().map(Migration::to_string).collect();
    assert_eq!(stems, ["V0__zero", "V2__two", "U3__three", "V10__ten"]);
    let modes: Vec<_> = set.migrations().iter().map(|m| m.mode).collect();
    assert_eq!(
        modes,
        [
            NonTransactional,
            Transactional,
            Transactional,
            NonTransactional
        ]
    );
    let two = set.get(2).unwrap();
    assert_eq!(two.path, directory.path().join("V2__two.sql"));
    assert_eq!(two.refinery.sql(), Some(crlf));
    assert_eq!(
        &*two.body,
        "      \r\ncreate table t (a int);\r\n       \r\n"
    );
    assert_eq!(two.statements.len(), 1);
    assert_eq!(
        two.checksum_int8(),
        refinery_core::Migration::unapplied("V2__two", crlf)
            .unwrap()
            .checksum()
    );
    let three = set.get(3).unwrap();
    assert!(three.out_of_order);
    assert_eq!(three.path, directory.path().join("late/U3__three.sql"));
    assert_eq!(set.directory(), directory.path());
}

#[test]
fn a_missing_directory_is_named_with_its_key() {
    let error = read(Path::new("no/such/place")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the migration directory no/such/place does not exist (migrations.path in the config)"
    );
    let directory = directory(&[("a", "")]);
    let error = read(&directory.path().join("a")).unwrap_err();
    assert!(error.to_string().contains("is not a directory"), "{error}");
}

#[test]
fn a_directory_without_migrations_is_refused() {
    let directory = directory(&[("README", "")]);
    let error = read(directory.path()).unwrap_err();
    assert!(matches!(error, SourceError::Empty { .. }));
    let text = error.to_string();
    assert!(
        text.contains(&*directory.path().to_string_lossy()),
        "{text}"
    );
}

#[test]
fn every_sql_file_that_is_no_migration_is_a_problem() {
    let directory = directory(&[
        ("V1__ok.sql", "select 1"),
        ("V2__dash-name.sql", "select 1"),
        ("deep/er/v3__lower.sql", "select 1"),
        ("V4__x.SQL", "select 1"),
        ("V8.1__dot.sql", "select 1"),
        (".hidden.sql", ""),
    ]);
    let files: Vec<PathBuf> = problems(&directory).into_iter().map(|p| p.path).collect();
    let expected = [
        ".hidden.sql",
        "V2__dash-name.sql",
        "V4__x.SQL",
        "V8.1__dot.sql",
        "deep/er/v3__lower.sql",
    ];
    assert_eq!(files, expected.map(|file| directory.path().join(file)));
}

#[test]
fn a_migration_in_rust_is_a_problem() {
    let directory = directory(&[("V1__a.sql", "select 1"), ("V2__b.rs", "")]);
    only(&directory, "V2__b.rs", "written in Rust");
}

#[test]
fn two_files_with_one_version_are_both_named() {
    let directory = directory(&[("V01__a.sql", "select 1"), ("x/U1__b.sql", "select ';")]);
    let found = problems(&directory);
    assert_eq!(found.len(), 2, "its own problems are not hidden: {found:?}");
    assert_eq!(found[0].path, directory.path().join("x/U1__b.sql"));
    assert!(found[0].problem.contains("V01__a.sql"), "{found:?}");
}

#[test]
fn a_u_above_every_v_is_a_problem() {
    let above = directory(&[("V1__a.sql", "select 1"), ("U5__b.sql", "select 1")]);
    only(&above, "U5__b.sql", "highest V, 1");
    let alone = directory(&[("U5__b.sql", "select 1")]);
    only(&alone, "U5__b.sql", "without any V");
}

#[test]
fn bytes_that_are_not_utf8_have_a_place() {
    let directory = directory(&[]);
    let path = directory.path().join("V1__latin.sql");
    fs::write(&path, b"select 1;\nselect '\xc3\xa9\xe9'").unwrap();
    only(
        &directory,
        "V1__latin.sql",
        "V1__latin.sql:2:10: byte 0xe9 at byte column 11",
    );
    fs::write(&path, b"\xff\xfes\0").unwrap();
    only(&directory, "V1__latin.sql", "UTF-16");
}

#[test]
fn findings_of_a_file_carry_line_and_column() {
    let directory = directory(&[("V1__a.sql", "select 1;\n  commit;\nselect 1")]);
    only(&directory, "V1__a.sql", "V1__a.sql:2:3: COMMIT");
}

#[test]
fn links_are_read_or_refused_and_never_followed_in_circles() {
    let elsewhere = directory(&[("V9__x.sql", "select 1")]);
    let set = directory(&[("V1__a.sql", "select 1"), ("sub/V2__b.sql", "select 1")]);
    let at = |name: &str| set.path().join(name);
    symlink(at("sub"), at("same")).unwrap();
    symlink(elsewhere.path().join("V9__x.sql"), at("V3__c.sql")).unwrap();
    assert_eq!(read(set.path()).unwrap().migrations().len(), 3);
    symlink(set.path(), at("sub/up")).unwrap();
    symlink(at("loop_b"), at("loop_a")).unwrap();
    symlink(at("loop_a"), at("loop_b")).unwrap();
    symlink(elsewhere.path(), at("other")).unwrap();
    symlink(at("nowhere"), at("V4__d.sql")).unwrap();
    symlink(at("nowhere"), at(".#notes.md")).unwrap();
    let found: Vec<PathBuf> = problems(&set).into_iter().map(|p| p.path).collect();
    let expected = ["V4__d.sql", "loop_a", "loop_b", "other", "sub/up"];
    assert_eq!(found, expected.map(at));
}

#[test]
fn a_mounted_config_map_shows_each_file_once() {
    let set = directory(&[("..2026_11_23/V1__a.sql", "select 1")]);
    let at = |name: &str| set.path().join(name);
    symlink("..2026_11_23", at("..data")).unwrap();
    symlink("..data/V1__a.sql", at("V1__a.sql")).unwrap();
    assert_eq!(read(set.path()).unwrap().migrations().len(), 1);
}

#[test]
fn what_is_not_a_regular_file_is_not_read() {
    let set = directory(&[("V1__a.sql", "select 1"), ("V3__c.sql/x", "")]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        set.path().join("V2__pipe.sql"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let found = problems(&set);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].problem.contains("not a regular file"));
    assert!(found[1].problem.contains("directory"));
}

#[test]
fn what_may_not_be_read_is_a_problem() {
    if rustix::process::geteuid().is_root() {
        return; // root reads everything
    }
    let set = directory(&[("V1__a.sql", "select 1"), ("sub/V2__b.sql", "select 1")]);
    for path in ["V1__a.sql", "sub"] {
        fs::set_permissions(set.path().join(path), fs::Permissions::from_mode(0o0)).unwrap();
    }
    let found = problems(&set);
    fs::set_permissions(set.path().join("sub"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|p| p.problem.contains("cannot be read")));
}

#[test]
fn a_file_too_large_for_a_message_is_not_read() {
    let set = directory(&[("V1__a.sql", "select 1")]);
    let file = fs::File::create(set.path().join("V2__b.sql")).unwrap();
    file.set_len(1 << 30).unwrap();
    only(&set, "V2__b.sql", "split the file");
}

#[test]
fn a_refusal_is_one_block_and_no_longer_than_needed() {
    let set = directory(&[("V1__a.sql", ""), ("v2__b\u{1b}.sql", "")]);
    let error = read(set.path()).unwrap_err().to_string();
    let root = set.path().display();
    let mut lines = error.lines();
    assert_eq!(
        lines.next().unwrap(),
        format!("the migration set in {root} is refused, 2 problems:")
    );
    assert_eq!(
        lines.next().unwrap(),
        format!("{root}/V1__a.sql:1:1: the file holds no statement")
    );
    assert!(lines.next().unwrap().starts_with("    help: "));
    assert!(lines.next().unwrap().contains("v2__b\\u{1b}.sql: the name"));

    let files: Vec<String> = (0..60).map(|n| format!("v{n}__x.sql")).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|file| (file.as_str(), "")).collect();
    let error = read(directory(&files).path()).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1 + 2 * 50 + 1);
    assert!(error.ends_with("\nand 10 more"), "{error}");
}
