//! A directory or single files, read for somebody who wants to see what is wrong with each instead of a set.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::error::{Problem, SourceError};
use super::tree::Named;
use super::{duplicates, file, name, out_of_reach, tree};
use crate::migration::{TransactionMode, Version};

/// A file that was read.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its version, where its name has one.
    pub version: Option<Version>,
    /// Its text without a byte order mark.
    pub text: String,
    /// Whether it runs in a transaction, as far as it can be run.
    pub in_transaction: bool,
}

/// What was read, and what speaks against running it.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The files by version, those without one last.
    pub files: Vec<Surveyed>,
    /// What is wrong with them, or with what else lies there.
    pub problems: Vec<Problem>,
}

/// Reads every migration below a directory, faulty ones as well.
///
/// # Errors
/// A directory that cannot be read or holds no migration.
pub fn survey(directory: &Path) -> Result<Survey, SourceError> {
    let tree::Listing { files, problems } =
        tree::list(directory).map_err(|source| SourceError::Unreadable {
            directory: directory.to_owned(),
            source,
        })?;
    if files.is_empty() && problems.is_empty() {
        return Err(SourceError::Empty {
            directory: directory.to_owned(),
        });
    }
    let mut survey = Survey {
        files: Vec::new(),
        problems,
    };
    survey.problems.extend(duplicates(&files));
    survey.problems.extend(out_of_reach(&files));
    for named in &files {
        survey.take(&named.path, Some(named));
    }
    survey.files.sort_by_key(|file| file.version);
    Ok(survey)
}

/// Reads single files, whatever their names are.
pub fn survey_files(paths: &[PathBuf]) -> Survey {
    let mut survey = Survey::default();
    for path in paths {
        survey.take(path, None);
    }
    survey
}

impl Survey {
    /// What has a problem and is not among the files: it could not be read, or is no migration.
    pub fn unread(&self) -> BTreeSet<&Path> {
        let read: BTreeSet<&Path> = self.files.iter().map(|file| &*file.path).collect();
        let faulty: BTreeSet<&Path> = self.problems.iter().map(|problem| &*problem.path).collect();
        &faulty - &read
    }

    fn take(&mut self, path: &Path, named: Option<&Named>) {
        let text = match file::text(path) {
            Ok(text) => text,
            Err(problems) => return self.problems.extend(problems),
        };
        let version = named.map(|named| named.name.version).or_else(|| {
            let name = path.file_name()?.to_str()?;
            name::parse(name).ok().map(|name| name.version)
        });
        let inspected = file::inspected(path, &text);
        let in_transaction = inspected
            .as_ref()
            .map_or(true, |script| script.mode == TransactionMode::Transactional);
        self.problems.extend(inspected.err().unwrap_or_default());
        self.files.push(Surveyed {
            path: path.to_owned(),
            version,
            text: text
                .strip_prefix('\u{feff}')
                .map(str::to_owned)
                .unwrap_or(text),
            in_transaction,
        });
    }
}
