//! What can be wrong with a config file. No text here holds a value that may be a secret.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// How many problems are shown; a long list of tenants can be wrong in each entry.
pub(super) const SHOWN: usize = 20;

/// How alike two keys must be (0 to 1) for one to be taken for a slip of the other.
const ALIKE: f64 = 0.75;

/// Why a config file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error(
        "there is no config file {}: copy fleet.example.yaml to it, or name another with -c",
        .path.display()
    )]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("cannot read the config file {}: {cause}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// It is not YAML, or a value is not of the right kind: a text where a list must be.
    #[error("{}: {problem}", place(.path, *.line))]
    Shape {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: Option<usize>,
        /// What is wrong.
        problem: String,
    },
    /// A key that does not exist.
    #[error("{}: unknown key `{key}`; {}", place(.path, *.line), suggest(.key, .known))]
    UnknownKey {
        /// Which file.
        path: PathBuf,
        /// Where, from 1.
        line: Option<usize>,
        /// The key with those around it: `execution.concurency`.
        key: String,
        /// The keys that exist at this place.
        known: Vec<String>,
    },
    /// Wrong values, all that there are.
    #[error("{}", show(.path, .problems))]
    Invalid {
        /// Which file.
        path: PathBuf,
        /// Every wrong value. Never empty.
        problems: Vec<Problem>,
    },
}

/// One wrong value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key with those around it: `databases[0].tenants.list[3]`.
    pub key: String,
    /// Where the key is, from 1; where it is missing, what it is missing from. None for a problem
    /// that is not shown any more.
    pub line: Option<usize>,
    /// What is wrong with its value.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.problem)
    }
}

fn place(path: &std::path::Path, line: Option<usize>) -> String {
    match line {
        Some(line) => format!("{}:{line}", path.display()),
        None => path.display().to_string(),
    }
}

/// The nearest key where one is near, else all of them.
fn suggest(key: &str, known: &[String]) -> String {
    let last = key.rsplit('.').next().unwrap_or(key);
    let nearest = known
        .iter()
        .map(|candidate| (likeness(last, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match nearest {
        Some((likeness, candidate)) if likeness >= ALIKE => format!("did you mean `{candidate}`?"),
        _ => format!("known here: {}", known.join(", ")),
    }
}

/// From 0 to 1. Short keys with two letters swapped look unlike by one measure and alike by the other.
fn likeness(key: &str, candidate: &str) -> f64 {
    let by_letters = strsim::jaro_winkler(key, candidate);
    let is_one_slip = strsim::damerau_levenshtein(key, candidate) <= 1;
    if is_one_slip {
        by_letters.max(ALIKE)
    } else {
        by_letters
    }
}

fn show(path: &std::path::Path, problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems
        .iter()
        .take(SHOWN)
        .map(|problem| format!("{}: {problem}", place(path, problem.line)))
        .collect();
    if let Some(more @ 1..) = problems.len().checked_sub(SHOWN) {
        lines.push(format!("{}: and {more} more", path.display()));
    }
    lines.join("\n")
}
