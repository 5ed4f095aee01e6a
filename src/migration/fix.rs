//! A fix: SQL that is run once in a tenant to put it right, and is no migration.

use std::fmt::{self, Write as _};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{Place, SessionUse};

/// One file that is run in a tenant beside its migrations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The file's name, without the way to it.
    pub name: Arc<str>,
    /// The file's text, as it was read.
    pub text: Arc<str>,
    /// What is sent to the server: as for [`super::Migration::body`].
    pub body: Arc<str>,
    /// Where each statement of the body begins, in order.
    pub statements: Vec<Place>,
    /// Whether its statements may leave something on the session.
    pub session: SessionUse,
    sha256: String,
}

/// What was found out about a fix's text.
#[derive(Clone, Debug)]
pub struct FixBody {
    /// See [`Fix::body`].
    pub body: Arc<str>,
    /// See [`Fix::statements`].
    pub statements: Vec<Place>,
    /// See [`Fix::session`].
    pub session: SessionUse,
}

impl Fix {
    /// A fix with this text.
    pub fn new(name: &str, text: &str, inspected: FixBody) -> Self {
        let mut sha256 = String::with_capacity(64);
        for byte in Sha256::digest(text.as_bytes()) {
            // writing to a String never fails
            let _ = write!(sha256, "{byte:02x}");
        }
        Self {
            name: name.into(),
            text: text.into(),
            body: inspected.body,
            statements: inspected.statements,
            session: inspected.session,
            sha256,
        }
    }

    /// SHA-256 over the text, in hexadecimal digits: fixes with one text are one fix.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

/// The file's name.
impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fix_is_known_by_its_text() {
        let inspected = FixBody {
            body: "abc".into(),
            statements: Vec::new(),
            session: SessionUse::None,
        };
        let fix = Fix::new("fix.sql", "abc", inspected);
        // FIPS 180-2, appendix B.1
        assert_eq!(
            fix.sha256(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
