//! Reads a migration set from a directory in refinery's layout. refinery skips what it does not
//! understand; here everything that looks like a migration is either in the set or a problem, and
//! all problems come at once, before any tenant is touched.

mod error;
mod file;
mod fix;
mod name;
mod survey;
mod tree;

use std::collections::BTreeMap;
use std::path::Path;

pub use error::{Problem, SourceError};
pub use fix::read_fix;
pub use survey::{Survey, Surveyed, survey, survey_files};

use crate::migration::{Migration, MigrationSet, Version};
use name::FileName;
use tree::Named;

/// Reads every migration below a directory.
///
/// # Errors
/// A directory that cannot be read or holds no migration; else every problem of every file.
pub fn read(directory: &Path) -> Result<MigrationSet, SourceError> {
    let tree::Listing {
        files,
        mut problems,
    } = tree::list(directory).map_err(|source| SourceError::Unreadable {
        directory: directory.to_owned(),
        source,
    })?;
    problems.extend(duplicates(&files));
    problems.extend(out_of_reach(&files));
    let mut migrations = Vec::with_capacity(files.len());
    for named in &files {
        match file::migration(named) {
            Ok(migration) => migrations.push(migration),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() && migrations.is_empty() {
        return Err(SourceError::Empty {
            directory: directory.to_owned(),
        });
    }
    if problems.is_empty() {
        return Ok(MigrationSet::new(directory, migrations));
    }
    problems.sort_by(|a, b| {
        let place = |p: &Problem| p.place.map(|place| (place.line, place.column));
        (&a.path, place(a)).cmp(&(&b.path, place(b)))
    });
    Err(SourceError::Problems {
        directory: directory.to_owned(),
        problems,
    })
}

/// Two files with one version: refinery would apply the first and choke on the second, or never
/// mention it.
fn duplicates(files: &[Named]) -> Vec<Problem> {
    let mut first_with: BTreeMap<Version, &Named> = BTreeMap::new();
    let mut problems = Vec::new();
    for named in files {
        let version = named.name.version;
        if let Some(first) = first_with.get(&version) {
            problems.push(Problem {
                path: named.path.clone(),
                place: None,
                problem: format!(
                    "version {version} is also the version of {}",
                    first.path.display()
                ),
                hint: "give the one that was not applied anywhere a version of its own; leading \
                       zeros do not count, and U and V share their versions"
                    .to_owned(),
            });
        } else {
            first_with.insert(version, named);
        }
    }
    problems
}

/// A `U` above every `V`: once it is applied, refinery takes the next `V` below it for missing.
fn out_of_reach(files: &[Named]) -> Vec<Problem> {
    let is_u = |name: &FileName| name.out_of_order;
    let highest = files
        .iter()
        .filter(|named| !is_u(&named.name))
        .map(|named| named.name.version)
        .max();
    files
        .iter()
        .filter(|named| is_u(&named.name) && highest.is_none_or(|v| named.name.version > v))
        .map(|named| Problem {
            path: named.path.clone(),
            place: None,
            problem: match highest {
                Some(v) => format!(
                    "version {} of a U migration is above the highest V, {v}; once applied, \
                     refinery would refuse a V between them",
                    named.name.version
                ),
                None => "a U migration in a set without any V".to_owned(),
            },
            hint: "name it V, or give it a version below the highest V".to_owned(),
        })
        .collect()
}

/// What reading a migration found wrong with it.
type Problems = Vec<Problem>;

/// A migration, or why it is none.
type Read = Result<Migration, Problems>;

#[cfg(test)]
mod tests;
