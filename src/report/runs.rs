//! Past runs for people: a table of them, and one in detail.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use super::Verbosity;
use super::acts::{write_acts, write_why};
use super::causes::{INDENT, fact, recorded_failures, write_causes};
use super::detail::write_attempts;
use super::style::{Style, Tone};
use super::summary::{Step, write_next};
use super::table::{Cell, Table};
use super::throttling;
use super::undone::write_undone;
use super::waves::{write_halt, write_waves};
use super::wording::{clean, count, count_u64, duration, names, version};
use crate::ledger::{RunDetail, RunEventRecord, RunRecord, RunState, RunTenantRecord};
use crate::run::{Act, Outcome, PaceChange, RunOutcome, Totals};
use crate::tenant::TenantId;

/// How many changes of the tenants at a time are listed.
const EVENTS: usize = 10;

/// Writes a table of runs.
///
/// # Errors
/// Those of the stream.
pub fn runs(out: &mut dyn Write, runs: &[RunRecord], style: Style) -> io::Result<()> {
    if runs.is_empty() {
        return writeln!(out, "No run is recorded");
    }
    let mut table = Table::new([
        "RUN", "STARTED", "COMMAND", "STATE", "TARGET", "TENANTS", "DONE", "FAILED", "LEFT",
        "TOOK", "BY",
    ]);
    for run in runs {
        let totals = run.totals;
        let failed_tone = (totals.failed > 0).then_some(Tone::Failure);
        table.push([
            run.id.as_str().into(),
            run.started_at.as_str().into(),
            run.command.as_str().into(),
            Cell::toned(run.state.as_str(), Some(tone(run.state))),
            version(run.target).into(),
            totals.tenants.to_string().into(),
            (totals.succeeded + totals.up_to_date).to_string().into(),
            Cell::toned(totals.failed.to_string(), failed_tone),
            left(totals).to_string().into(),
            took(run).into(),
            clean(&run.started_by).into(),
        ]);
    }
    table.write(out, style)
}

fn tone(state: RunState) -> Tone {
    match state {
        RunState::Running => Tone::Strong,
        RunState::Finished(RunOutcome::Succeeded) => Tone::Success,
        RunState::Abandoned | RunState::Finished(RunOutcome::Interrupted) => Tone::Warning,
        RunState::Finished(RunOutcome::Failed | RunOutcome::Halted | RunOutcome::Refused) => {
            Tone::Failure
        }
    }
}

/// Tenants that neither reached their target nor failed: not begun, cut off or skipped. Those that are held are
/// to be left.
fn left(totals: Totals) -> u64 {
    let ended = totals.succeeded + totals.up_to_date + totals.failed + totals.held;
    totals.tenants.saturating_sub(ended)
}

fn took(run: &RunRecord) -> String {
    duration(Duration::try_from_secs_f64(run.duration_s).unwrap_or_default())
}

/// Writes one run: its facts, its failures by cause, what is left, what to type next.
///
/// # Errors
/// Those of the stream.
pub fn show(
    out: &mut dyn Write,
    detail: &RunDetail,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let run = &detail.run;
    let state = style.paint(tone(run.state), run.state.as_str());
    writeln!(out, "Run {}: {state}", run.id)?;
    write_header(out, run, style)?;
    write_why(out, &detail.acts, style, verbosity)?;
    let failures = recorded_failures(detail);
    if !failures.is_empty() {
        writeln!(out)?;
        write_causes(out, &failures, style, verbosity, |_| None)?;
    }
    let undone = detail
        .tenants
        .iter()
        .filter_map(|t| Some((t.outcome?, t.reason.as_deref(), &t.tenant)));
    write_undone(out, undone, style, verbosity)?;
    write_unfinished(out, &detail.tenants, style, verbosity)?;
    write_acts(out, &detail.acts.acts, style, verbosity)?;
    let is_done = |outcome| matches!(outcome, Outcome::Succeeded | Outcome::UpToDate);
    let failed = detail.failed_attempts.iter();
    let failed = failed.filter(|attempt| !is_done(attempt.outcome)).count();
    if verbosity == Verbosity::Verbose {
        write_attempts(out, &detail.failed_attempts, style)?;
    } else if failed > 0 {
        let attempts = count(failed, "attempt");
        writeln!(
            out,
            "\n{attempts} did not succeed, retries included; each one: -v"
        )?;
    }
    write_waves(out, &detail.waves, style)?;
    write_events(out, &detail.events, style, verbosity)?;
    write_next(out, &next_steps(run), style)
}

/// How many tenants were worked on at a time, and why.
fn write_events(
    out: &mut dyn Write,
    events: &[RunEventRecord],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let shown = if verbosity == Verbosity::Verbose {
        events.len()
    } else {
        EVENTS
    };
    writeln!(out, "\nTenants at a time:")?;
    for event in events.iter().take(shown) {
        let text = throttling::changed(&event.database, event.change);
        let text = match event.change {
            PaceChange::Throttled { .. } => style.paint(Tone::Warning, &text),
            PaceChange::Released { .. } | PaceChange::Found { .. } => text,
        };
        writeln!(out, "  {}  {text}", event.at)?;
    }
    let more = events.len().saturating_sub(shown);
    if more > 0 {
        writeln!(out, "  … and {}: -v", count(more, "more change"))?;
    }
    Ok(())
}

fn write_header(out: &mut dyn Write, run: &RunRecord, style: Style) -> io::Result<()> {
    let mut command = clean(&run.command);
    if let Some(resumes) = &run.resumes {
        command = format!("{command}, carries on {resumes}");
    }
    fact(out, "command", &command, style)?;
    let by = format!(
        "{} with fleet {}",
        clean(&run.started_by),
        clean(&run.fleet_version)
    );
    fact(out, "by", &by, style)?;
    let time = match &run.finished_at {
        Some(finished) => format!("{} to {finished} ({})", run.started_at, took(run)),
        None => format!("{}, {} ago, not closed", run.started_at, took(run)),
    };
    fact(out, "time", &time, style)?;
    let target = format!(
        "{} (set {})",
        version(run.target),
        clean(&run.set_fingerprint)
    );
    fact(out, "target", &target, style)?;
    if let Some(code) = run.exit_code {
        fact(out, "exit code", &code.to_string(), style)?;
    }
    write_halt(out, run, style)?;
    fact(out, "tenants", &tally(run), style)
}

/// `200: 194 migrated, 3 already there, 3 failed`.
fn tally(run: &RunRecord) -> String {
    let totals = run.totals;
    let is_act = Act::parse(&run.command).is_some();
    let succeeded = if is_act { "done" } else { "migrated" };
    let parts: Vec<String> = [
        (totals.succeeded, succeeded),
        (totals.up_to_date, "already there"),
        (totals.failed, "failed"),
        (totals.interrupted, "interrupted"),
        (totals.skipped.saturating_sub(totals.held), "skipped"),
        (totals.held, "held"),
        (
            totals.tenants.saturating_sub(totals.finished()),
            "without an outcome",
        ),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    format!("{}: {}", totals.tenants, parts.join(", "))
}

/// Tenants without an outcome; those that were begun are the ones to look at.
fn write_unfinished(
    out: &mut dyn Write,
    tenants: &[RunTenantRecord],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let mut by_claim: HashMap<bool, Vec<&TenantId>> = HashMap::new();
    for tenant in tenants.iter().filter(|tenant| tenant.outcome.is_none()) {
        let group = by_claim.entry(tenant.claimed).or_default();
        group.push(&tenant.tenant);
    }
    if !by_claim.is_empty() {
        writeln!(out)?;
    }
    for (claimed, words) in [
        (true, "begun, or about to be, and not finished"),
        (false, "not begun"),
    ] {
        if let Some(tenants) = by_claim.get(&claimed) {
            let head = format!("- {} {words}", count(tenants.len(), "tenant"));
            writeln!(out, "{}", style.paint(Tone::Warning, &head))?;
            let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
            fact(out, "tenants", &listed, style)?;
        }
    }
    Ok(())
}

fn next_steps(run: &RunRecord) -> Vec<Step> {
    let open = run.totals.failed + left(run.totals);
    let when = match run.state {
        RunState::Finished(RunOutcome::Succeeded | RunOutcome::Refused) => return Vec::new(),
        RunState::Running => {
            let when = "again, when it has ended".to_owned();
            return vec![(format!("fleet show {}", run.id), when)];
        }
        RunState::Abandoned | RunState::Finished(_) if open == 0 => return Vec::new(),
        // an act is typed again, not carried on
        RunState::Abandoned | RunState::Finished(_) if Act::parse(&run.command).is_some() => {
            let when = "where every tenant is, and what is left to do";
            return vec![("fleet status".to_owned(), when.to_owned())];
        }
        // what was refused needs somebody's hand first
        RunState::Finished(RunOutcome::Failed) if run.totals.failed == 0 => {
            let when = "where every tenant is, and what to do about these".to_owned();
            return vec![("fleet status".to_owned(), when)];
        }
        RunState::Finished(_) if run.totals.failed > 0 => {
            "when the causes are mended; tenants that are done are not touched again".to_owned()
        }
        RunState::Abandoned | RunState::Finished(_) => {
            format!("carries on with {}", count_u64(open, "tenant"))
        }
    };
    vec![(format!("fleet resume {}", run.id), when)]
}
