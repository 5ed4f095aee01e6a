//! Findings of the lint as text: like a compiler's, one line each, or as commands for GitHub's annotations.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::Verbosity;
use super::style::{Style, Tone};
use super::wording::{clean, clean_line, count};
use crate::lint::{Finding, Level, RULES};

/// What was looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Files that were judged.
    pub files: usize,
    /// Files that were left out, for some tenant has them or the config says so.
    pub left_out: usize,
}

/// How many there are of each level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FindingCounts {
    /// That refuse their file.
    pub denied: usize,
    /// Warnings.
    pub warnings: usize,
    /// Notes.
    pub notes: usize,
}

impl FindingCounts {
    /// Of these findings.
    pub fn of(findings: &[Finding]) -> Self {
        let of = |level| findings.iter().filter(|f| f.level == level).count();
        Self {
            denied: of(Level::Deny),
            warnings: of(Level::Warn),
            notes: of(Level::Note),
        }
    }
}

/// Writes findings and their count.
///
/// # Errors
/// Those of the stream.
pub fn lint(
    out: &mut dyn Write,
    findings: &[Finding],
    looked: Looked,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    for finding in findings {
        // a note refuses and warns of nothing
        if verbosity == Verbosity::Quiet && finding.level == Level::Note {
            continue;
        }
        write_finding(out, finding, style)?;
        writeln!(out)?;
    }
    if verbosity == Verbosity::Quiet && findings.is_empty() {
        return Ok(());
    }
    writeln!(out, "{}", headline(findings, looked))
}

/// `2 denied, 1 warning in 1 of 3 files; 9 files left out, which are applied already`.
fn headline(findings: &[Finding], looked: Looked) -> String {
    let counts = FindingCounts::of(findings);
    let mut parts = Vec::new();
    if counts.denied > 0 {
        parts.push(format!("{} denied", counts.denied));
    }
    if counts.warnings > 0 {
        parts.push(count(counts.warnings, "warning"));
    }
    if counts.notes > 0 {
        parts.push(count(counts.notes, "note"));
    }
    let files = count(looked.files, "file");
    let mut text = if parts.is_empty() {
        format!("{files}, nothing found")
    } else {
        let faulty: BTreeSet<_> = findings.iter().map(|finding| &finding.path).collect();
        format!("{} in {} of {files}", parts.join(", "), faulty.len())
    };
    if looked.left_out > 0 {
        text.push_str("; left out: ");
        text.push_str(&count(looked.left_out, "file"));
        text.push_str(" that some tenant has, or that lint.from takes as they are");
    }
    text
}

/// Of a long line so many characters are shown, and so many of them in front of what is meant.
const SHOWN: usize = 160;
const IN_FRONT: usize = 80;

/// One finding with its line, a caret, why and how.
fn write_finding(out: &mut dyn Write, finding: &Finding, style: Style) -> io::Result<()> {
    let tone = match finding.level {
        Level::Deny => Tone::Failure,
        Level::Warn => Tone::Warning,
        Level::Note | Level::Off => Tone::Secondary,
    };
    let level = style.paint(tone, &format!("{}[{}]", finding.level, finding.rule));
    let message = style.paint(Tone::Strong, &clean(&finding.message));
    writeln!(out, "{}: {level}: {message}", place(finding))?;
    if let Some(place) = finding.place {
        let number = place.line.to_string();
        let gutter = style.paint(Tone::Secondary, &format!("  {number} │"));
        let carets = carets(finding);
        let skipped = carets.len() - carets.trim_start().len();
        let skipped = skipped.saturating_sub(IN_FRONT);
        let cut = |text: &str| -> String { text.chars().skip(skipped).take(SHOWN).collect() };
        let line = cut(&clean_line(&finding.line.replace('\t', "    ")));
        let carets = style.paint(tone, &cut(&carets));
        let blank = style.paint(Tone::Secondary, &format!("  {:1$} │", "", number.len()));
        if !line.trim().is_empty() {
            writeln!(out, "{gutter} {line}")?;
            writeln!(out, "{blank} {carets}")?;
        }
    }
    for (label, text) in [("why", &finding.why), ("how", &finding.how)] {
        if !text.is_empty() {
            writeln!(
                out,
                "  {} {}",
                style.paint(Tone::Secondary, &format!("{label}:")),
                clean(text)
            )?;
        }
    }
    Ok(())
}

/// Carets below the offending text, as far as it goes on in its line.
fn carets(finding: &Finding) -> String {
    let (Some(place), Some(end)) = (finding.place, finding.end) else {
        return String::new();
    };
    let column = |column: u32| usize::try_from(column).unwrap_or(1).saturating_sub(1);
    let shown = |text: &str| clean_line(&text.replace('\t', "    "));
    let start = column(place.column);
    let before: String = finding.line.chars().take(start).collect();
    let rest = finding.line.trim_end().chars().skip(start);
    let meant: String = if end.line == place.line {
        rest.take(column(end.column).saturating_sub(start))
            .collect()
    } else {
        rest.collect()
    };
    let width = console::measure_text_width(&shown(&meant)).max(1);
    let indent = console::measure_text_width(&shown(&before));
    format!("{}{}", " ".repeat(indent), "^".repeat(width))
}

/// `file:line:column`.
fn place(finding: &Finding) -> String {
    let path = clean(&finding.path.display().to_string());
    match finding.place {
        Some(place) => format!("{path}:{}:{}", place.line, place.column),
        None => path,
    }
}

/// One finding on one line.
pub fn finding_line(finding: &Finding) -> String {
    let message = finding.message.split(". ").next().unwrap_or_default();
    format!(
        "{}: {}[{}]: {}",
        place(finding),
        finding.level,
        finding.rule,
        clean(message)
    )
}

/// Findings without colour, each with why and how, for an error.
pub fn findings_block(findings: &[Finding]) -> String {
    let mut text = Vec::new();
    for finding in findings {
        // a vector takes everything
        let _ = write_finding(&mut text, finding, Style::plain());
    }
    String::from_utf8_lossy(&text).trim_end().to_owned()
}

/// Commands that GitHub shows as annotations at their lines.
///
/// # Errors
/// Those of the stream.
pub fn lint_github(out: &mut dyn Write, findings: &[Finding]) -> io::Result<()> {
    for finding in findings {
        let command = match finding.level {
            Level::Deny => "error",
            Level::Warn => "warning",
            Level::Note | Level::Off => "notice",
        };
        let mut properties = vec![format!(
            "file={}",
            property(&finding.path.display().to_string())
        )];
        if let Some(place) = finding.place {
            properties.push(format!("line={}", place.line));
            if let Some(end) = finding.end {
                properties.push(format!("endLine={}", end.line));
            }
            properties.push(format!("col={}", place.column));
            // GitHub takes an end column for findings within one line only
            if let Some(end) = finding.end.filter(|end| end.line == place.line) {
                properties.push(format!("endColumn={}", end.column));
            }
        }
        properties.push(format!("title={}", property(finding.rule)));
        let mut message = finding.message.clone();
        for (label, text) in [("why", &finding.why), ("how", &finding.how)] {
            if !text.is_empty() {
                message.extend(["\n", label, ": ", text]);
            }
        }
        writeln!(
            out,
            "::{command} {}::{}",
            properties.join(","),
            data(&message)
        )?;
    }
    Ok(())
}

/// The message of a command, on one line.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Every rule with what it is about.
///
/// # Errors
/// Those of the stream.
pub fn lint_rules(out: &mut dyn Write, style: Style) -> io::Result<()> {
    let mut group = None;
    for rule in RULES {
        if group != Some(rule.group) {
            if group.is_some() {
                writeln!(out)?;
            }
            writeln!(out, "{}", style.paint(Tone::Strong, rule.group.as_str()))?;
            group = Some(rule.group);
        }
        writeln!(
            out,
            "  {:<38} {:<5} {}",
            rule.name,
            rule.level.as_str(),
            rule.why
        )?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
