//! One file: its bytes become a migration, or all that is wrong with it.

use std::fs;
use std::io;
use std::path::Path;
use std::str::Utf8Error;

use super::error::Problem;
use super::tree::Named;
use super::{Problems, Read};
use crate::migration::{Migration, Place};
use crate::sql::{self, Script};

/// A message to the server holds less than 1 GiB, and a migration shares it with what is around it.
const MOST_BYTES: u64 = 1_000_000_000;

/// Reads and inspects a file.
pub(super) fn migration(named: &Named) -> Read {
    let text = text(&named.path)?;
    let refinery =
        refinery_core::Migration::unapplied(&named.name.stem, &text).map_err(|error| {
            one(
                &named.path,
                None,
                format!("refinery refuses it: {error}"),
                "rename it",
            )
        })?;
    let script = inspected(&named.path, &text)?;
    Ok(Migration {
        refinery,
        path: named.path.clone(),
        body: script.body.into(),
        mode: script.mode,
        statements: script.statements,
        steps: script.steps.into(),
        session: script.session,
        out_of_order: named.name.out_of_order,
    })
}

/// Decides how a file is run.
pub(super) fn inspected(path: &Path, text: &str) -> Result<Script, Problems> {
    sql::inspect(text).map_err(|findings| {
        findings
            .into_iter()
            .map(|finding| Problem {
                path: path.to_owned(),
                place: Some(finding.place),
                problem: finding.problem,
                hint: finding.hint,
            })
            .collect()
    })
}

/// What a file holds.
pub(super) fn text(path: &Path) -> Result<String, Problems> {
    let unreadable = |error: &io::Error| {
        one(
            path,
            None,
            format!("cannot be read: {error}"),
            "give fleet's user the right to read it",
        )
    };
    let bytes = fs::metadata(path).map_err(|e| unreadable(&e))?.len();
    if bytes > MOST_BYTES {
        return Err(one(
            path,
            None,
            format!("{bytes} bytes are more than fit into one message to PostgreSQL"),
            "split the file",
        ));
    }
    let bytes = fs::read(path).map_err(|e| unreadable(&e))?;
    String::from_utf8(bytes).map_err(|error| not_utf8(path, error.as_bytes(), error.utf8_error()))
}

fn not_utf8(path: &Path, bytes: &[u8], error: Utf8Error) -> Problems {
    let (valid, rest) = bytes.split_at(error.valid_up_to());
    let line_start = valid
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let place: Place = sql::place_at(&String::from_utf8_lossy(valid), valid.len());
    let hint = if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        "it looks like UTF-16: save the file as UTF-8"
    } else {
        "save the file as UTF-8"
    };
    one(
        path,
        Some(place),
        format!(
            "byte 0x{:02x} at byte column {} is not UTF-8",
            rest.first().copied().unwrap_or_default(),
            valid.len() - line_start + 1
        ),
        hint,
    )
}

fn one(path: &Path, place: Option<Place>, problem: String, hint: &str) -> Problems {
    vec![Problem {
        path: path.to_owned(),
        place,
        problem,
        hint: hint.to_owned(),
    }]
}
