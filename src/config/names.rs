//! Texts to checked names, patterns, URLs and other texts. Each function says what is wrong in words
//! that follow the key's name.

use super::Url;
use super::values::{may_hold_password, shown};
use crate::tenant::{DatabaseName, MAX_IDENTIFIER_BYTES, SchemaName, TenantPattern};

/// A URL, only so far that a slip is found before anything is connected to.
pub(super) fn url(text: &str) -> Result<Url, String> {
    // A secret that was read from a file often has a line end.
    let text = text.trim();
    let is_pairs = text.split_once('=').is_some_and(|(key, _)| {
        let key = key.trim_end();
        !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
    });
    if text.is_empty() {
        Err("is empty".to_owned())
    } else if text == "embedded" {
        Ok(Url::Embedded)
    } else if text.starts_with("postgres://") || text.starts_with("postgresql://") || is_pairs {
        Ok(Url::Server(text.to_owned()))
    } else {
        Err(
            "must be `embedded`, start with postgres:// or postgresql://, or be key=value pairs (it is not shown, it may hold a password)"
                .to_owned(),
        )
    }
}

/// The name of a database in reports and on the command line, so without a slash.
pub(super) fn database_name(text: &str) -> Result<DatabaseName, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        Ok(DatabaseName::new(text))
    } else {
        Err(format!(
            "must be made of letters, digits and `_.-`, not `{}`",
            shown(text)
        ))
    }
}

/// A schema that may be fleet's own or a tenant's.
pub(super) fn schema_name(text: &str) -> Result<SchemaName, String> {
    SchemaName::parse(text).map_err(|invalid| {
        let reason = if may_hold_password(text) {
            shown(text)
        } else {
            invalid.to_string()
        };
        format!("is no name for a schema: {reason}")
    })
}

/// A shared schema of the search path; unlike a tenant's it may belong to PostgreSQL.
pub(super) fn shared_schema(text: &str) -> Result<String, String> {
    if text == "$user" {
        return Err(
            "must not be $user, which is another schema for each role; name the schema".to_owned(),
        );
    }
    identifier(text)
}

/// The name of a table, without its schema.
pub(super) fn table_name(text: &str) -> Result<String, String> {
    if text.contains('.') {
        return Err(
            "must be a table's name without a schema: each tenant's own table is meant".to_owned(),
        );
    }
    identifier(text)
}

fn identifier(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("is empty".to_owned())
    } else if text.len() > MAX_IDENTIFIER_BYTES {
        Err(format!(
            "is {} bytes long; PostgreSQL cuts names after {MAX_IDENTIFIER_BYTES}",
            text.len()
        ))
    } else if text.contains(char::is_control) {
        Err("holds a control character".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// A pattern over schema names.
pub(super) fn pattern(text: &str) -> Result<TenantPattern, String> {
    if text.is_empty() {
        return Err("is empty".to_owned());
    }
    TenantPattern::parse(text)
        .map_err(|error| format!("is no pattern: `{}`: {}", shown(text), error.kind()))
}

/// A text that says something.
pub(super) fn not_blank(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("is empty".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

/// A registry query. It is parsed by PostgreSQL alone, when it runs.
pub(super) fn query(text: &str) -> Result<String, String> {
    if text.contains('\0') {
        return Err("holds a NUL byte".to_owned());
    }
    not_blank(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_recognised_and_never_shown() {
        assert_eq!(url("embedded"), Ok(Url::Embedded));
        let servers = [
            "postgres://u:hunter2@h/db\n",
            "postgresql:///db?host=/run/postgresql",
            "host=/run/postgresql password=hunter2",
        ];
        for text in servers {
            let parsed = url(text).unwrap();
            assert_eq!(parsed, Url::Server(text.trim().to_owned()));
            assert!(!format!("{parsed:?}").contains("hunter2"));
        }
        for text in [
            "",
            "  ",
            "Embedded",
            "mysql://u:hunter2@h",
            "hunter2",
            "u:hunter2@h/db?a=b",
        ] {
            let problem = url(text).unwrap_err();
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }

    #[test]
    fn names_are_what_postgresql_can_keep() {
        assert!(shared_schema("public").is_ok());
        assert!(shared_schema("pg_catalog").is_ok());
        assert!(table_name("refinery_schema_history").is_ok());
        let long = "x".repeat(64);
        for text in ["", "$user", long.as_str(), "a\nb"] {
            assert!(shared_schema(text).is_err(), "{text}");
        }
        assert!(table_name("public.history").is_err());
        assert!(database_name("eu-1.a_b").is_ok());
        assert!(database_name("eu/1").is_err());
        assert!(database_name("").is_err());
    }

    #[test]
    fn a_pattern_that_does_not_parse_says_why() {
        assert!(pattern("tenant_{a,b}*").is_ok());
        let problem = pattern("tenant_[").err().unwrap_or_default();
        assert!(
            problem.starts_with("is no pattern: `tenant_[`:"),
            "{problem}"
        );
    }
}
