//! Causes by name: what `fleet failures` prints and takes again.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::Failure;

/// The name of a cause, `23505@V12.1`: SQLSTATE, version, statement. Failures with one cause have one name, in
/// every run. It is one word to a shell.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CauseName(String);

impl CauseName {
    /// The name of this failure's cause. What has no SQLSTATE is told by its message.
    pub fn of(failure: &Failure) -> Self {
        let mut name = match &failure.sqlstate {
            Some(sqlstate) => sqlstate.clone(),
            None => format!("message-{}", digest(&failure.message)),
        };
        if let Some(version) = failure.migration.as_deref().map(version_of) {
            name = format!("{name}@{version}");
        }
        if let Some(statement) = failure.statement {
            name = format!("{name}.{statement}");
        }
        Self(name)
    }

    /// Whether somebody who typed this means it.
    pub fn is_called(&self, typed: &str) -> bool {
        self.0.eq_ignore_ascii_case(typed)
    }

    /// The bare text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CauseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `V12` of `V12__unique_email`; of the fix of a repair, which somebody may have called anything, only that it is one.
fn version_of(stem: &str) -> &str {
    let version = stem.split("__").next().unwrap_or_default();
    let is_version = version.strip_prefix(['V', 'U']).is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    });
    if is_version { version } else { "fix" }
}

/// Eight hexadecimal digits.
fn digest(message: &str) -> String {
    let mut hasher = SipHasher13::new();
    hasher.write(message.as_bytes());
    format!("{:08x}", hasher.finish() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::FailureClass;

    #[test]
    fn a_name_is_short_and_stable() {
        let mut failure = Failure::new(FailureClass::Permanent, "duplicate key");
        assert_eq!(CauseName::of(&failure).as_str(), "message-e08a6404");
        failure.sqlstate = Some("23505".to_owned());
        assert_eq!(CauseName::of(&failure).as_str(), "23505");
        failure.migration = Some("V12__unique_email".to_owned());
        assert_eq!(CauseName::of(&failure).as_str(), "23505@V12");
        failure.statement = Some(3);
        let name = CauseName::of(&failure);
        assert_eq!(name.as_str(), "23505@V12.3");
        assert!(name.is_called("23505@v12.3"));
        assert!(!name.is_called("23505"));
        failure.migration = Some("it's $(my) fix.sql".to_owned());
        assert_eq!(CauseName::of(&failure).as_str(), "23505@fix.3");
    }
}
