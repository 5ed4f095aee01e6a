//! The layer test: a room imports only rooms that its row of the table names, and the table itself
//! only points down. `src/lib.rs` explains the layers.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A room, its layer, and the rooms that it may import.
const ROOMS: &[(&str, u8, &[&str])] = &[
    ("crash", 0, &[]),
    ("tenant", 0, &[]),
    ("migration", 0, &[]),
    ("run", 0, &["migration", "tenant"]),
    ("plan", 1, &["migration", "run", "tenant"]),
    ("shape", 1, &["migration", "tenant"]),
    ("sql", 1, &["migration"]),
    ("lint", 1, &["migration", "sql"]),
    ("reach", 1, &["tenant"]),
    ("pg", 2, &["run", "tenant"]),
    ("inventory", 2, &["tenant"]),
    ("source", 2, &["migration", "sql"]),
    ("history", 2, &["migration", "pg", "plan", "tenant"]),
    (
        "catalog",
        2,
        &["pg", "plan", "reach", "run", "shape", "sql", "tenant"],
    ),
    ("check", 2, &["pg", "run", "tenant"]),
    (
        "migrator",
        2,
        &[
            "crash",
            "history",
            "migration",
            "pg",
            "plan",
            "run",
            "sql",
            "tenant",
        ],
    ),
    (
        "ledger",
        2,
        &["crash", "migration", "pg", "plan", "run", "tenant"],
    ),
    (
        "rollout",
        3,
        &[
            "crash",
            "ledger",
            "migration",
            "migrator",
            "plan",
            "run",
            "tenant",
        ],
    ),
    (
        "report",
        4,
        &[
            "catalog",
            "ledger",
            "lint",
            "migration",
            "plan",
            "reach",
            "rollout",
            "run",
            "shape",
            "sql",
            "tenant",
        ],
    ),
    (
        "config",
        5,
        &[
            "inventory",
            "lint",
            "migration",
            "migrator",
            "plan",
            "rollout",
            "run",
            "tenant",
        ],
    ),
    (
        "cli",
        5,
        &[
            "catalog",
            "check",
            "config",
            "crash",
            "history",
            "inventory",
            "ledger",
            "lint",
            "migration",
            "migrator",
            "pg",
            "plan",
            "reach",
            "report",
            "rollout",
            "run",
            "shape",
            "source",
            "tenant",
        ],
    ),
];

/// Imports within a layer, each with its reason.
const SIDEWAYS: &[(&str, &str, &str)] = &[
    ("run", "tenant", "a word made of words"),
    ("run", "migration", "a word made of words"),
    ("history", "pg", "every adapter connects through pg"),
    ("catalog", "pg", "every adapter connects through pg"),
    ("check", "pg", "every adapter connects through pg"),
    ("migrator", "pg", "every adapter connects through pg"),
    ("ledger", "pg", "every adapter connects through pg"),
    (
        "migrator",
        "history",
        "a later attempt reads its tenant's history again",
    ),
    ("lint", "sql", "a rule is about the text of a statement"),
    ("cli", "config", "the command line reads the config"),
];

#[test]
fn every_room_imports_only_what_its_row_allows() {
    let rows: HashMap<&str, &[&str]> = ROOMS.iter().map(|(room, _, may)| (*room, *may)).collect();
    let mut faults = Vec::new();
    for file in rust_files(Path::new("src")) {
        let Some(room) = room_of(&file) else { continue };
        let Some(may) = rows.get(room.as_str()) else {
            faults.push(format!(
                "{}: room {room} is not in the table",
                file.display()
            ));
            continue;
        };
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text.lines().enumerate() {
            for import in imports(line) {
                if import != room && rows.contains_key(import) && !may.contains(&import) {
                    faults.push(format!(
                        "{}:{}: {room} imports {import}",
                        file.display(),
                        number + 1
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_table_points_down() {
    let layers: HashMap<&str, u8> = ROOMS
        .iter()
        .map(|(room, layer, _)| (*room, *layer))
        .collect();
    for (room, layer, may) in ROOMS {
        for import in *may {
            let below = layers[import] < *layer;
            let known = SIDEWAYS.iter().any(|(a, b, _)| a == room && b == import);
            assert!(
                below || known,
                "{room} (layer {layer}) may not import {import}"
            );
        }
    }
}

#[test]
fn every_import_that_the_table_allows_is_used() {
    let mut used: HashMap<String, Vec<String>> = HashMap::new();
    for file in rust_files(Path::new("src")) {
        let Some(room) = room_of(&file) else { continue };
        let text = fs::read_to_string(&file).unwrap();
        let found = text.lines().flat_map(imports).map(str::to_owned);
        used.entry(room).or_default().extend(found);
    }
    for (room, _, may) in ROOMS {
        for import in *may {
            let is_used = used
                .get(*room)
                .is_some_and(|all| all.iter().any(|u| u == import));
            assert!(
                is_used,
                "{room} does not import {import} any more: take it off its row"
            );
        }
    }
}

#[test]
fn refinery_s_traits_are_implemented_in_one_file() {
    let implementing: Vec<PathBuf> = rust_files(Path::new("src"))
        .into_iter()
        .filter(|file| {
            fs::read_to_string(file)
                .unwrap()
                .contains("AsyncMigrate for")
        })
        .collect();
    assert_eq!(implementing, [Path::new("src/migrator/connection.rs")]);
}

#[test]
fn the_linter_library_is_known_in_one_file_and_its_trees_in_one_folder() {
    for file in rust_files(Path::new("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let is_door = file == Path::new("src/lint/squawk.rs");
        let is_tree = file.starts_with("src/lint/syntax");
        let shown = file.display();
        assert!(is_door || !text.contains("squawk_linter"), "{shown}");
        assert!(
            is_door || is_tree || !text.contains("squawk_syntax"),
            "{shown}"
        );
        assert!(is_tree || !text.contains("rowan::"), "{shown}");
    }
}

/// `src/ledger/run.rs` is in the room `ledger`; `src/run.rs` is the room `run`.
fn room_of(file: &Path) -> Option<String> {
    let inside = file.strip_prefix("src").ok()?;
    let first = inside.components().next()?.as_os_str().to_str()?;
    let room = first.trim_end_matches(".rs");
    (!matches!(room, "lib" | "main")).then(|| room.to_owned())
}

/// The rooms behind `crate::` in a line.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        &rest[..end]
    })
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
