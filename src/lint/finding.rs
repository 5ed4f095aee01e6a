//! What is found, from where it stands in a text to what somebody reads.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Script;
use super::level::Level;
use super::rule::{Rule, known};
use crate::migration::Place;
use crate::sql;

/// Something in a text that a rule is about.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// Which rule.
    pub(super) rule: &'static Rule,
    /// Where, in bytes.
    pub(super) range: Range<usize>,
    /// What it is.
    pub(super) message: String,
    /// Instead of the rule's own advice.
    pub(super) how: Option<String>,
}

impl Found {
    /// By the rule's name, which is one of ours.
    pub(super) fn new(rule: &'static str, range: Range<usize>, message: String) -> Self {
        Self {
            rule: known(rule),
            range,
            message,
            how: None,
        }
    }

    /// With advice of its own.
    pub(super) fn how(mut self, how: impl Into<String>) -> Self {
        self.how = Some(how.into());
        self
    }
}

/// A finding in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which file.
    pub path: PathBuf,
    /// Where it begins; None where the file as a whole is meant.
    pub place: Option<Place>,
    /// Where it ends, one behind the last character.
    pub end: Option<Place>,
    /// The rule's name.
    pub rule: &'static str,
    /// How bad it is.
    pub level: Level,
    /// The offending text, on one line and not too long; empty where there is none.
    pub text: String,
    /// The line in which it begins.
    pub line: String,
    /// What it is.
    pub message: String,
    /// Why it hurts in a fleet.
    pub why: String,
    /// How to write it instead.
    pub how: String,
}

/// How much of a statement is repeated.
const LONGEST: usize = 80;

/// As somebody reads it.
pub(super) fn finding(script: &Script<'_>, found: Found, level: Level) -> Finding {
    let range = found.range;
    let end = visible_end(script.text, &range);
    let place = sql::place_at(script.text, range.start);
    Finding {
        path: script.path.to_owned(),
        place: Some(place),
        end: Some(sql::place_at(script.text, end)),
        rule: found.rule.name,
        level,
        text: shortened(script.text.get(range.start..end).unwrap_or_default()),
        line: line(script.text, place),
        message: found.message,
        why: found.rule.why.to_owned(),
        how: found.how.unwrap_or_else(|| found.rule.how.to_owned()),
    }
}

/// Why fleet does not take a file, or something else below the set's directory.
pub fn refused(
    path: &Path,
    text: Option<&str>,
    (place, problem, hint): (Option<Place>, &str, &str),
) -> Finding {
    let rule = known("refused");
    let line = place.zip(text).map(|(place, text)| line(text, place));
    let line = line.unwrap_or_default();
    let behind = place.map_or(0, |place| place.column.saturating_sub(1) as usize);
    let text: String = line.chars().skip(behind).collect();
    Finding {
        path: path.to_owned(),
        place,
        end: place.map(|place| Place {
            column: place.column.saturating_add(u32::from(!text.is_empty())),
            ..place
        }),
        rule: rule.name,
        level: rule.level,
        text: shortened(&text),
        line,
        message: problem.to_owned(),
        why: rule.why.to_owned(),
        how: hint.to_owned(),
    }
}

/// Blanks and semicolons at the end belong to nothing.
fn visible_end(text: &str, range: &Range<usize>) -> usize {
    let end = range.end.min(text.len());
    text.get(range.start..end).map_or(end, |inside| {
        range.start + inside.trim_end().trim_end_matches(';').trim_end().len()
    })
}

fn line(text: &str, place: Place) -> String {
    let index = usize::try_from(place.line).unwrap_or(1).saturating_sub(1);
    text.lines().nth(index).unwrap_or_default().to_owned()
}

fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
