//! What can be wrong with the names of a query or a list.

use std::fmt;

use crate::tenant::{InvalidSchemaName, MAX_IDENTIFIER_BYTES};

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameFault {
    /// SQL's NULL.
    Null,
    /// The empty text.
    Empty,
    /// PostgreSQL would cut it.
    TooLong,
    /// `pg_…` and `information_schema`.
    Reserved,
    /// `$user`.
    DollarUser,
    /// A NUL byte.
    Nul,
    /// The control schema, or a shared one of the search path.
    NotATenant,
    /// Given more than once.
    Duplicate,
}

impl NameFault {
    fn words(self) -> String {
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Empty => "empty".to_owned(),
            Self::TooLong => format!(
                "longer than {MAX_IDENTIFIER_BYTES} bytes, which PostgreSQL would cut so that two tenants could become one"
            ),
            Self::Reserved => "reserved by PostgreSQL".to_owned(),
            Self::DollarUser => "of another meaning in a search_path".to_owned(),
            Self::Nul => "with a NUL byte".to_owned(),
            Self::NotATenant => "the control schema or a shared one of the search_path".to_owned(),
            Self::Duplicate => "given more than once".to_owned(),
        }
    }
}

impl From<&InvalidSchemaName> for NameFault {
    fn from(invalid: &InvalidSchemaName) -> Self {
        match invalid {
            InvalidSchemaName::Empty => Self::Empty,
            InvalidSchemaName::TooLong { .. } => Self::TooLong,
            InvalidSchemaName::Reserved(_) => Self::Reserved,
            InvalidSchemaName::DollarUser => Self::DollarUser,
            InvalidSchemaName::Nul(_) => Self::Nul,
        }
    }
}

/// One kind of problem with the names that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantProblem {
    /// What is wrong.
    pub fault: NameFault,
    /// How many names have it; a duplicate counts once, however often it is given.
    pub count: usize,
    /// The first of them: names in quotes, or rows where there is no name.
    pub shown: Vec<String>,
}

impl fmt::Display for TenantProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {}: {}",
            self.count,
            self.fault.words(),
            self.shown.join(", ")
        )?;
        match self.count.saturating_sub(self.shown.len()) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
