//! The fault matrix, F1 to F66: each row is named by a test that proves it (`/// F24: …` above it), or
//! excused in `tests/README.md` with the reason why there is none, and never both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

const ROWS: RangeInclusive<u32> = 1..=66;
const SECTION: &str = "## Rows of the fault matrix without a test";

#[test]
fn every_row_is_named_by_a_test_or_excused() {
    let (named, excused) = (named(), excused());
    let mut faults = Vec::new();
    for row in ROWS {
        match (named.get(&row), excused.get(&row)) {
            (None, None) => faults.push(format!(
                "F{row}: no test names it, and tests/README.md does not say why"
            )),
            (Some(test), Some(_)) => faults.push(format!(
                "F{row}: {test} names it, so take it out of tests/README.md"
            )),
            (Some(_), None) | (None, Some(_)) => {}
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn there_are_no_other_rows() {
    let rows: BTreeSet<u32> = named().into_keys().chain(excused().into_keys()).collect();
    let unknown: Vec<&u32> = rows.iter().filter(|row| !ROWS.contains(row)).collect();
    assert!(unknown.is_empty(), "the matrix has no rows {unknown:?}");
}

#[test]
fn rows_are_named_above_tests_and_nowhere_else() {
    let mut faults = Vec::new();
    for (place, lines) in doc_comments() {
        if rows_of(&lines[0]).is_some() && !is_above_a_test(&lines) {
            faults.push(format!("{place}: no #[test] below {:?}", lines[0]));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_excuse_has_a_reason() {
    for (row, reason) in excused() {
        assert!(!reason.is_empty(), "F{row} is excused without a reason");
    }
}

/// The rows that tests name, each with one of its tests.
fn named() -> BTreeMap<u32, String> {
    let mut named = BTreeMap::new();
    for (place, lines) in doc_comments() {
        for row in rows_of(&lines[0]).into_iter().flatten() {
            named.insert(row, place.clone());
        }
    }
    named
}

/// Every line of a doc comment, with those that follow it and its place.
fn doc_comments() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for file in rust_files(Path::new("tests/it")) {
        let text = fs::read_to_string(&file).expect("a source file");
        let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
        for (index, line) in lines.iter().enumerate() {
            if line.starts_with("/// F") {
                let place = format!("{}:{}", file.display(), index + 1);
                found.push((place, lines[index..].to_vec()));
            }
        }
    }
    found
}

/// `/// F3, F24: …` names the rows 3 and 24.
fn rows_of(line: &str) -> Option<Vec<u32>> {
    let (names, _) = line.strip_prefix("/// ")?.split_once(':')?;
    names.split(", ").map(row_of).collect()
}

fn row_of(name: &str) -> Option<u32> {
    name.strip_prefix('F')?.parse().ok()
}

/// Whether only comments and attributes, `#[test]` among them, lie between here and a function.
fn is_above_a_test(lines: &[String]) -> bool {
    let above: Vec<&String> = lines
        .iter()
        .take_while(|line| line.starts_with("///") || line.starts_with("#["))
        .collect();
    let is_test = above.iter().any(|line| *line == "#[test]");
    is_test && lines[above.len()].starts_with("fn ")
}

/// The rows of the section of `tests/README.md`, with the last cell of their line.
fn excused() -> BTreeMap<u32, String> {
    let text = fs::read_to_string("tests/README.md").expect("the README");
    let (_, section) = text.split_once(SECTION).expect("the section is there");
    section
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let row = row_of(cells.next()?)?;
            Some((row, cells.next_back().unwrap_or_default().to_owned()))
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}
