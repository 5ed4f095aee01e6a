//! One tenant in detail, for people: `status --tenant`.

use std::io::{self, Write};
use std::time::Duration;

use super::causes::{INDENT, fact, write_facts};
use super::hold::write_past_holds;
use super::status::{painted, words};
use super::style::{Style, Tone};
use super::summary::{Step, write_next};
use super::wording::{cause, clean, duration, in_the_middle, message, place, version, wrapped};
use crate::ledger::{AttemptRecord, PastHold};
use crate::plan::{StatusRow, TenantState};
use crate::run::Outcome;

/// What the ledger has of one tenant, the newest first.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Attempts at it.
    pub attempts: &'a [AttemptRecord],
    /// Holds and pins of it, those that have ended too.
    pub holds: &'a [PastHold],
}

/// Writes one tenant in detail, with its attempts that did not succeed.
///
/// # Errors
/// Those of the stream.
pub fn status_detail(
    out: &mut dyn Write,
    row: &StatusRow,
    pending: &[String],
    recorded: Recorded<'_>,
    style: Style,
) -> io::Result<()> {
    let state = painted(row.state, &words(row.state), style);
    writeln!(out, "{}: {state}", row.tenant)?;
    fact(out, "version", &version(row.version), style)?;
    if !pending.is_empty() {
        let stems: Vec<String> = pending.iter().map(|stem| clean(stem)).collect();
        let stems = wrapped(&stems, INDENT, style.width);
        fact(out, "pending", &stems, style)?;
    }
    if let Some(position) = row.halfway {
        let text = in_the_middle(position);
        fact(out, "halfway", &text, style)?;
    }
    if let Some(reason) = &row.reason {
        fact(out, "reason", &clean(reason), style)?;
    }
    if let Some(hint) = row.hint {
        fact(out, "hint", hint, style)?;
    }
    if let Some(last) = &row.last_failure {
        writeln!(out, "\nLast failure, in run {} at {}", last.run, last.at)?;
        let failure = &last.failure;
        if let Some(place) = place(failure) {
            fact(out, "at", &place, style)?;
        }
        let text = style.paint(Tone::Failure, &message(failure));
        fact(out, "message", &text, style)?;
        fact(out, "class", failure.class.as_str(), style)?;
        write_facts(out, failure, None, style)?;
    }
    write_past_holds(out, recorded.holds, style)?;
    write_attempts(out, recorded.attempts, style)?;
    write_next(out, &next_for_one(row), style)
}

/// One line an attempt.
pub(super) fn write_attempts(
    out: &mut dyn Write,
    attempts: &[AttemptRecord],
    style: Style,
) -> io::Result<()> {
    if !attempts.is_empty() {
        writeln!(out, "\nAttempts:")?;
    }
    for attempt in attempts {
        let tone = match attempt.outcome {
            Outcome::Failed => Tone::Failure,
            Outcome::Succeeded | Outcome::UpToDate => Tone::Success,
            Outcome::Interrupted | Outcome::Skipped => Tone::Warning,
        };
        let why = attempt.failure.as_ref().map(cause);
        writeln!(
            out,
            "  {}  {} attempt {} {} after {}{}",
            attempt.ended_at,
            attempt.tenant,
            attempt.attempt,
            style.paint(tone, attempt.outcome.as_str()),
            duration(Duration::from_millis(attempt.duration_ms)),
            why.unwrap_or_default()
        )?;
        for note in &attempt.notes {
            writeln!(out, "    {}", clean(note))?;
        }
    }
    Ok(())
}

fn next_for_one(row: &StatusRow) -> Vec<Step> {
    let pattern = format!(
        "{}/{}",
        row.tenant.database.as_str(),
        row.tenant.schema.as_str()
    );
    let when = match row.state {
        TenantState::Pending | TenantState::Interrupted => "migrates this tenant",
        TenantState::Failed => "when the cause is mended, this tenant only",
        TenantState::Held if !row.holds.is_empty() => "lets it go on with the next run",
        TenantState::Held
        | TenantState::Refused
        | TenantState::UpToDate
        | TenantState::InProgress => return Vec::new(),
    };
    // a command to copy: only names that no shell and no pattern would read otherwise
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-/.".contains(c);
    if !pattern.chars().all(plain) {
        return Vec::new();
    }
    let command = match row.state {
        TenantState::Held => format!("fleet release {pattern}"),
        _ => format!("fleet migrate --tenant {pattern}"),
    };
    vec![(command, when.to_owned())]
}
