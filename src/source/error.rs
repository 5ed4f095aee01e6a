//! Why a migration set is refused, as one block that can be read in the middle of the night.

use std::fmt::{self, Write as _};
use std::io;
use std::path::{Path, PathBuf};

use crate::migration::Place;

/// How many problems are shown; the first ones are worth reading, the rest is a number.
const MOST_SHOWN: usize = 50;

/// Why there is no migration set.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The directory itself cannot be read.
    #[error("{}", unreadable(directory, source))]
    Unreadable {
        /// Which directory.
        directory: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no migration in it: a wrong path more often than a wish.
    #[error(
        "no migration in {} (migrations.path in the config): files are named V<version>__<name>.sql",
        Printable(&directory.display().to_string())
    )]
    Empty {
        /// Which directory.
        directory: PathBuf,
    },
    /// Files that are no migrations, or migrations that cannot be run.
    #[error("{}", Block { what: "the migration set in", path: directory, problems })]
    Problems {
        /// Which directory.
        directory: PathBuf,
        /// Every problem of every file, by path and place.
        problems: Vec<Problem>,
    },
    /// The file of a repair cannot be run.
    #[error("{}", Block { what: "the repair", path, problems })]
    Fix {
        /// Which file.
        path: PathBuf,
        /// Every problem, by place.
        problems: Vec<Problem>,
    },
}

/// What is wrong with a file, or a directory below the set's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which one.
    pub path: PathBuf,
    /// Where in it, if it was read that far.
    pub place: Option<Place>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub hint: String,
}

/// `path:line:column: problem`, then the hint on a line of its own.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Printable(&self.path.display().to_string()))?;
        if let Some(place) = self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(
            f,
            ": {}\n    help: {}",
            Printable(&self.problem),
            Printable(&self.hint)
        )
    }
}

/// The whole refusal.
struct Block<'a> {
    what: &'static str,
    path: &'a Path,
    problems: &'a [Problem],
}

impl fmt::Display for Block<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        write!(
            f,
            "{} {} is refused, {count} {noun}:",
            self.what,
            Printable(&self.path.display().to_string())
        )?;
        for problem in self.problems.iter().take(MOST_SHOWN) {
            write!(f, "\n{problem}")?;
        }
        if count > MOST_SHOWN {
            write!(f, "\nand {} more", count - MOST_SHOWN)?;
        }
        Ok(())
    }
}

/// Names and texts of files, without control characters that would move a terminal's cursor.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                f.write_char(c)?;
            }
        }
        Ok(())
    }
}

/// The system's own words follow as the error's source.
fn unreadable(directory: &Path, source: &io::Error) -> String {
    let what = match source.kind() {
        io::ErrorKind::NotFound => "does not exist",
        io::ErrorKind::NotADirectory => "is not a directory",
        io::ErrorKind::PermissionDenied => "may not be read",
        _ => "cannot be read",
    };
    format!(
        "the migration directory {} {what} (migrations.path in the config)",
        Printable(&directory.display().to_string())
    )
}
