//! Text to [`File`]: what serde says about YAML becomes a message with a file, a line and a key.
//!
//! serde's own texts quote the value that it did not expect, which may be a URL with its password.
//! So nothing of them is passed on but keys and kinds.

use std::path::Path;

use super::error::ConfigError;
use super::file::File;
use super::probe;
use super::values;

/// Reads the shape of the config.
pub(super) fn read(path: &Path, text: &str) -> Result<File, ConfigError> {
    match serde_yaml::from_str::<Option<File>>(text) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => Err(ConfigError::Shape {
            path: path.to_owned(),
            line: None,
            problem: "the file is empty; fleet.example.yaml shows what belongs into it".to_owned(),
        }),
        Err(error) => Err(explain(path, text, &error)),
    }
}

fn explain(path: &Path, text: &str, error: &serde_yaml::Error) -> ConfigError {
    let line = error.location().map(|location| location.line());
    let message = without_place(error);
    let shape = |line, problem| ConfigError::Shape {
        path: path.to_owned(),
        line,
        problem,
    };
    if let Some((parent, rest)) = split_at_marker(&message, "unknown field `")
        && let Some((key, expected)) = rest.rsplit_once("`, expected ")
    {
        return ConfigError::UnknownKey {
            path: path.to_owned(),
            line,
            key: format!("{}{}", prefix(parent), values::shown(key)),
            known: backquoted(expected),
        };
    }
    if let Some((parent, rest)) = split_at_marker(&message, "duplicate field `") {
        let key = rest.trim_end_matches('`');
        let problem = format!("the key `{}{key}` is there twice", prefix(parent));
        return shape(probe::line_of_duplicate(text).or(line), problem);
    }
    if let Some((key, rest)) = split_at_marker(&message, "invalid type: ") {
        return shape(line, wrong_kind(key, rest));
    }
    if let Some((key, _)) = split_at_marker(&message, "invalid value: ") {
        let problem = format!("`{key}` holds a YAML tag that its value does not fit");
        return shape(line, problem);
    }
    shape(line, not_yaml(text, line, &message))
}

/// The message without serde's ` at line 3 column 5`, which goes in front of ours.
fn without_place(error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    let Some(location) = error.location() else {
        return message;
    };
    let place = format!(" at line {} column {}", location.line(), location.column());
    message.replacen(&place, "", 1)
}

/// What is before and after a marker; before it stands the path of the key, if there is one.
fn split_at_marker<'a>(message: &'a str, marker: &str) -> Option<(&'a str, &'a str)> {
    let (before, after) = message.split_once(marker)?;
    // Known keys only, because an unknown one is refused before it is gone into: so a marker inside
    // of a value cannot be taken for the real one.
    let is_path = |c: char| c.is_ascii_alphanumeric() || "._[]: ".contains(c);
    before
        .chars()
        .all(is_path)
        .then(|| (before.trim_end_matches(": "), after))
}

fn prefix(parent: &str) -> String {
    if parent.is_empty() {
        String::new()
    } else {
        format!("{parent}.")
    }
}

fn backquoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// `string "…", expected a sequence`, without what the string holds.
fn wrong_kind(key: &str, rest: &str) -> String {
    let found = match rest.split([' ', ',']).next() {
        Some("map") => "a mapping",
        Some("sequence") => "a list",
        Some("unit") => "empty",
        _ => "a single value",
    };
    let expected = match rest.rsplit_once(", expected ") {
        Some((_, "a sequence")) => "a list",
        Some((_, "a string")) => "a single value",
        Some((_, ours)) if ours.starts_with("a mapping") => ours,
        _ => "something else",
    };
    if key.is_empty() {
        format!("the file is {found} and must be {expected}")
    } else {
        format!("`{key}` is {found} and must be {expected}")
    }
}

fn not_yaml(text: &str, line: Option<usize>, message: &str) -> String {
    let written = line.and_then(|line| text.lines().nth(line.checked_sub(1)?));
    let indent = written.map(|line| &line[..line.len() - line.trim_start().len()]);
    if indent.is_some_and(|indent| indent.contains('\t')) {
        return "a tab in front of the line; YAML is indented with spaces".to_owned();
    }
    let quoting = match written {
        Some(line) if line.contains("${") => "; inside of [ ] and { } a `${…}` needs quotes",
        _ => "",
    };
    format!("not valid YAML: {}{quoting}", values::shown(message))
}
