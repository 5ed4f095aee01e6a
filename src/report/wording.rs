//! Words for facts: durations, counts, names, places in a file, and foreign text made harmless.

use std::fmt::Write as _;
use std::time::Duration;

use crate::migration::{MigrationSet, Version};
use crate::plan::Position;
use crate::run::Failure;
use crate::tenant::TenantId;

use super::Verbosity;

/// How many characters of a foreign message are shown; the ledger and JSON have the rest.
const MESSAGE_CHARS: usize = 600;
/// The same where a message shares its line.
const LINE_CHARS: usize = 200;
/// How many lines of a foreign text are shown.
const MESSAGE_LINES: usize = 6;
/// How many names of a group are shown.
const NAMES: usize = 10;

/// A short duration for people: `850 ms`, `4.2 s`, `3 min 10 s`, `2 h 5 min`.
pub fn duration(d: Duration) -> String {
    let ms = d.as_millis();
    if ms < 1000 {
        return format!("{ms} ms");
    }
    let tenths = (ms + 50) / 100;
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = (ms + 500) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => two_units(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two_units(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two_units(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

fn two_units(large: u128, large_unit: &str, small: u128, small_unit: &str) -> String {
    if small == 0 {
        format!("{large} {large_unit}")
    } else {
        format!("{large} {large_unit} {small} {small_unit}")
    }
}

/// `1 tenant`, `2 tenants`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// The same for totals.
pub(super) fn count_u64(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

/// `tenant is`, `tenants are`: the verb that goes with a number.
pub(super) fn verb<'a>(number: usize, one: &'a str, many: &'a str) -> &'a str {
    if number == 1 { one } else { many }
}

/// `V12`, or `empty` for a history without rows.
pub(super) fn version(version: Option<Version>) -> String {
    version.map_or_else(|| "empty".to_owned(), |version| format!("V{version}"))
}

/// `in the middle of V2: 1 statement done, statement 2 in doubt`.
pub(super) fn in_the_middle(position: Position) -> String {
    let done = count(position.done, "statement");
    let mut text = format!("in the middle of V{}: {done} done", position.version);
    if let Some(statement) = position.in_doubt {
        let _ = write!(text, ", statement {statement} in doubt");
    }
    text
}

/// A migration by its file's stem, `V12__unique_email`.
pub(super) fn stem(set: &MigrationSet, version: Version) -> String {
    set.get(version)
        .map_or_else(|| format!("V{version}"), ToString::to_string)
}

/// Foreign text on one line: cut, and without anything that could move a cursor or turn the
/// direction of reading.
pub(super) fn clean(text: &str) -> String {
    clean_to(text, MESSAGE_CHARS)
}

/// A line of a file, blanks at its end included, without anything that could move a cursor.
pub(super) fn clean_line(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        push_clean(&mut shown, c);
    }
    shown
}

fn clean_to(text: &str, max_chars: usize) -> String {
    let mut shown = String::new();
    let mut chars = text.trim_end().chars();
    for c in chars.by_ref().take(max_chars) {
        push_clean(&mut shown, c);
    }
    if chars.next().is_some() {
        let _ = write!(shown, "… ({} in all)", bytes(text.len()));
    }
    shown
}

fn push_clean(shown: &mut String, c: char) {
    if is_harmful(c) {
        let _ = write!(shown, "{}", c.escape_default());
    } else {
        shown.push(c);
    }
}

fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn bytes(number: usize) -> String {
    match number {
        0..1000 => format!("{number} bytes"),
        1000..1_000_000 => format!("{}.{} kB", number / 1000, number / 100 % 10),
        _ => format!("{}.{} MB", number / 1_000_000, number / 100_000 % 10),
    }
}

/// Foreign text that may have lines, such as a deadlock's detail; further lines are indented.
pub(super) fn paragraph(text: &str, indent: usize) -> String {
    let separator = format!("\n{:indent$}", "");
    let lines: Vec<String> = text
        .trim_end()
        .lines()
        .take(MESSAGE_LINES)
        .map(clean)
        .collect();
    let more = if text.trim_end().lines().nth(MESSAGE_LINES).is_some() {
        format!("{separator}…")
    } else {
        String::new()
    };
    lines.join(&separator) + &more
}

/// Tenants by name, wrapped to the width behind `indent` columns that the caller has filled.
/// `Verbose` shows all, the others ten.
pub(super) fn names<'a>(
    tenants: impl ExactSizeIterator<Item = &'a TenantId>,
    indent: usize,
    width: u16,
    verbosity: Verbosity,
) -> String {
    let all = tenants.len();
    let shown = if verbosity == Verbosity::Verbose {
        all
    } else {
        NAMES
    };
    let mut items: Vec<String> = tenants.take(shown).map(TenantId::to_string).collect();
    if all > shown {
        // not after a comma: "a, b and 3 more"
        if let Some(last) = items.last_mut() {
            let _ = write!(last, " and {} more", all - shown);
        }
    }
    wrapped(&items, indent, width)
}

/// A few tenants on one line, `main/a, main/b and 3 more`.
pub fn some_names(tenants: &[&TenantId]) -> String {
    const SHOWN: usize = 5;
    let shown: Vec<String> = tenants
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect();
    let more = tenants.len().saturating_sub(SHOWN);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    shown.join(", ") + &more
}

/// Items with commas between them.
pub(super) fn wrapped(items: &[String], indent: usize, width: u16) -> String {
    let mut text = String::new();
    let mut column = indent;
    for (index, item) in items.iter().enumerate() {
        let item_width = console::measure_text_width(item) + 1;
        if index > 0 {
            text.push(',');
            if column + 1 + item_width > usize::from(width) {
                let _ = write!(text, "\n{:indent$}", "");
                column = indent;
            } else {
                text.push(' ');
                column += 1;
            }
        }
        text.push_str(item);
        column += item_width;
    }
    text
}

/// Where in a file a failure lies: `V12__unique_email.sql:4`. None where it came before any file.
pub(super) fn place(failure: &Failure) -> Option<String> {
    let name = failure.migration.as_deref()?;
    // a migration goes by its stem, the fix of a repair by its whole name
    let ending = if name.contains('.') { "" } else { ".sql" };
    let file = format!("{}{ending}", clean(name));
    Some(match (failure.line, failure.statement) {
        (Some(line), _) => format!("{file}:{line}"),
        (None, Some(statement)) => format!("{file}, statement {statement}"),
        (None, None) => file,
    })
}

/// ` at V12__unique_email line 4: 23505 could not …`, to stand behind a tenant's name and a verb.
pub(super) fn cause(failure: &Failure) -> String {
    let mut text = String::new();
    if let Some(migration) = &failure.migration {
        let _ = write!(text, " at {}", clean(migration));
    }
    if let Some(line) = failure.line {
        let _ = write!(text, " line {line}");
    }
    let _ = write!(text, ": {}", code_and_message(failure, LINE_CHARS));
    if let Some(blocker) = &failure.blocked_by {
        let _ = write!(text, " (blocked by {})", clean_to(blocker, LINE_CHARS));
    }
    text
}

/// `23505 could not …`.
pub(super) fn message(failure: &Failure) -> String {
    code_and_message(failure, MESSAGE_CHARS)
}

pub(super) fn code_and_message(failure: &Failure, max_chars: usize) -> String {
    let message = clean_to(&failure.message, max_chars);
    match &failure.sqlstate {
        Some(sqlstate) => format!("{} {message}", clean(sqlstate)),
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{failure, tenant};

    #[test]
    fn durations_are_short() {
        let shown = |ms| duration(Duration::from_millis(ms));
        assert_eq!(shown(0), "0 ms");
        assert_eq!(shown(850), "850 ms");
        assert_eq!(shown(4_200), "4.2 s");
        assert_eq!(shown(9_960), "10 s");
        assert_eq!(shown(59_700), "1 min");
        assert_eq!(shown(190_000), "3 min 10 s");
        assert_eq!(shown(7_500_000), "2 h 5 min");
        assert_eq!(shown(90_000_000), "1 d 1 h");
    }

    #[test]
    fn one_is_one() {
        assert_eq!(count(1, "tenant"), "1 tenant");
        assert_eq!(count(0, "tenant"), "0 tenants");
        assert_eq!(count_u64(2, "cause"), "2 causes");
    }

    #[test]
    fn a_huge_or_hostile_message_is_cut_and_escaped() {
        let huge = clean(&"x".repeat(5_000_000));
        assert!(huge.ends_with("xxx… (5.0 MB in all)"));
        assert!(huge.chars().count() < 700);
        assert_eq!(clean("a\u{1b}[2J\u{202e}b\r\n"), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(paragraph("one\ntwo\u{7}\n", 4), "one\n    two\\u{7}");
        assert_eq!(paragraph(&"l\n".repeat(9), 1), "l\n l\n l\n l\n l\n l\n …");
    }

    #[test]
    fn names_are_wrapped_and_counted() {
        let tenants: Vec<TenantId> = (1..=12).map(|n| tenant(&format!("t{n:02}"))).collect();
        assert_eq!(
            names(tenants.iter(), 2, 40, Verbosity::Normal),
            "main/t01, main/t02, main/t03,\n  main/t04, main/t05, main/t06,\n  main/t07, main/t08, main/t09,\n  main/t10 and 2 more"
        );
        assert!(names(tenants.iter(), 2, 40, Verbosity::Verbose).ends_with("main/t12"));
    }

    #[test]
    fn a_cause_fits_behind_a_name() {
        assert_eq!(
            cause(&failure()),
            " at V12__unique_email line 4: 23505 could not create unique index \"users_email_key\""
        );
        assert_eq!(
            place(&failure()).as_deref(),
            Some("V12__unique_email.sql:4")
        );
    }
}
