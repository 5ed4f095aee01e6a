//! `${VAR}` and `${VAR:-default}` in values.
//!
//! `$${` is a literal `${`; a `$` before anything else is itself, so that `$$…$$` in a registry query
//! stays what SQL says it is. What a variable holds is not looked into again.

use std::env::VarError;

use super::Variables;

/// Why a value could not be filled in. Names variables, never values: they may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum VariableError {
    #[error("needs the environment variable {0}, which is not set (${{{0}:-…}} gives a default)")]
    Unset(String),
    #[error("needs the environment variable {0}, which is not valid UTF-8")]
    NotUnicode(String),
    #[error("holds a `${{` without a `}}`; a literal `${{` is written `$${{`")]
    Unclosed,
    #[error(
        "holds a `${{…}}` that is neither `${{VAR}}` nor `${{VAR:-default}}`; a literal `${{` is written `$${{`"
    )]
    Malformed,
    #[error("holds a default with another `${{` inside, which is not supported")]
    Nested,
}

/// Fills in every variable of a value.
pub(super) fn fill(text: &str, variables: &Variables<'_>) -> Result<String, VariableError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            filled.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let (inside, after) = after.split_once('}').ok_or(VariableError::Unclosed)?;
            filled.push_str(&look_up(inside, variables)?);
            rest = after;
        } else {
            filled.push('$');
            rest = &rest[1..];
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn look_up(inside: &str, variables: &Variables<'_>) -> Result<String, VariableError> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(VariableError::Malformed);
    }
    if default.is_some_and(|default| default.contains("${")) {
        return Err(VariableError::Nested);
    }
    match (variables(name), default) {
        // As in a shell, `:-` also stands in for an empty value.
        (Ok(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Ok(value), _) => Ok(value),
        (Err(VarError::NotPresent), Some(default)) => Ok(default.to_owned()),
        (Err(VarError::NotPresent), None) => Err(VariableError::Unset(name.to_owned())),
        (Err(VarError::NotUnicode(_)), _) => Err(VariableError::NotUnicode(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, VariableError> {
        fill(text, &|name| match name {
            "HOST" => Ok("db".to_owned()),
            "EMPTY" => Ok(String::new()),
            "TRICKY" => Ok("${HOST}".to_owned()),
            "BYTES" => Err(VarError::NotUnicode("x".into())),
            _ => Err(VarError::NotPresent),
        })
    }

    #[test]
    fn fills_in_as_a_shell_does() {
        let cases = [
            ("plain", "plain"),
            ("${HOST}", "db"),
            ("a ${HOST} b ${HOST}${UNSET:-c}", "a db b dbc"),
            ("${HOST:-other}", "db"),
            ("${UNSET:-a:-b}", "a:-b"),
            ("${UNSET:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-default}", "default"),
            ("${TRICKY}", "${HOST}"),
            ("$${HOST} $$${HOST}", "${HOST} $${HOST}"),
            ("SELECT $$x$$, '$1', 5 $", "SELECT $$x$$, '$1', 5 $"),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_never_a_value() {
        let unset = VariableError::Unset("UNSET".to_owned());
        assert_eq!(
            unset.to_string(),
            "needs the environment variable UNSET, which is not set (${UNSET:-…} gives a default)"
        );
        let cases = [
            ("${UNSET}", unset),
            ("${HOST", VariableError::Unclosed),
            ("${}", VariableError::Malformed),
            ("${1A}", VariableError::Malformed),
            ("${HOST-x}", VariableError::Malformed),
            ("${UNSET:-${HOST}}", VariableError::Nested),
            ("${BYTES}", VariableError::NotUnicode("BYTES".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(filled(text), Err(expected), "{text}");
        }
    }
}
