//! The end of a run for people: how it went, what failed and for how many causes, whether it is
//! safe to run again, and what to type next.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, count_causes, fact, write_causes};
use super::safety::{self, Stepwise};
use super::style::{Style, Tone};
use super::throttling;
use super::undone::write_undone;
use super::waves;
use super::wording::{clean, count, count_u64, duration, names, verb, version};
use crate::migration::Version;
use crate::run::{
    ExitCode, FailureClass, FailureGroup, Halt, Outcome, RunOutcome, RunSummary, TenantResult,
};

/// Writes the end of `migrate` and `resume`.
///
/// # Errors
/// Those of the stream.
pub fn summary(
    out: &mut dyn Write,
    run: &RunSummary,
    stepwise: &Stepwise,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    writeln!(out, "{}", headline(run, style))?;
    if let Some(halt) = &run.halt {
        let halted = waves::halted(halt);
        let first = halted.chars().next().map(|c| c.to_ascii_uppercase());
        let halted: String = first.into_iter().chain(halted.chars().skip(1)).collect();
        writeln!(out, "{halted}")?;
    }
    if let Some(throttled) = throttling::in_all(&run.throttled) {
        writeln!(out, "{}", style.paint(Tone::Warning, &throttled))?;
    }
    if !run.failures.is_empty() {
        writeln!(out)?;
        write_causes(out, &run.failures, style, verbosity, |group| {
            note(run, group)
        })?;
    }
    let undone = run
        .tenants
        .iter()
        .map(|t| (t.outcome, t.reason.as_deref(), &t.tenant));
    write_undone(out, undone, style, verbosity)?;
    if run.rounds.len() > 1 {
        let ids: Vec<&str> = run.rounds.iter().map(|round| round.run.as_str()).collect();
        writeln!(out, "\nIn {}: {}", count(ids.len(), "run"), ids.join(", "))?;
    }
    if !run.newcomers.is_empty() {
        write_newcomers(out, run, style, verbosity)?;
    }
    if let Some(sentence) = safety::sentence(run, stepwise) {
        writeln!(out, "\n{sentence}")?;
    }
    write_next(out, &next_steps(run), style)
}

fn write_newcomers(
    out: &mut dyn Write,
    run: &RunSummary,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let number = run.newcomers.len();
    let head = format!("- {} new since the run began", count(number, "tenant"));
    writeln!(
        out,
        "\n{}: not touched; fleet migrate does",
        style.paint(Tone::Warning, &head)
    )?;
    let listed = names(run.newcomers.iter(), INDENT, style.width, verbosity);
    fact(out, "tenants", &listed, style)
}

/// The run in one line.
pub(super) fn headline(run: &RunSummary, style: Style) -> String {
    let totals = run.totals;
    let tenants = count_u64(totals.tenants, "tenant");
    let took = duration(run.duration);
    let tally = tally(run);
    let failed = format!(
        "{} of {tenants} failed with {}",
        totals.failed,
        count_causes(&run.failures)
    );
    match run.outcome {
        RunOutcome::Succeeded if totals.succeeded == 0 => {
            style.paint(
                Tone::Success,
                &format!("✓ Nothing to do: {}", at_target(run)),
            ) + &held_beside(run)
        }
        RunOutcome::Succeeded => {
            let head = format!("✓ {}", at_target(run));
            format!("{} in {took}{tally}", style.paint(Tone::Success, &head))
        }
        RunOutcome::Failed => {
            let head = match (totals.failed, totals.skipped.saturating_sub(totals.held)) {
                (0, skipped) => format!("✗ {skipped} of {tenants} skipped"),
                (_, 0) => format!("✗ {failed}"),
                (_, skipped) => format!("✗ {failed}, {skipped} skipped,"),
            };
            format!("{} in {took}{tally}", style.paint(Tone::Failure, &head))
        }
        RunOutcome::Halted => {
            let is_gate = matches!(run.halt, Some(Halt::Gate { .. }));
            let head = if is_gate {
                style.paint(Tone::Warning, &format!("! Waits at a gate after {took}"))
            } else {
                style.paint(Tone::Failure, &format!("✗ Halted after {took}"))
            };
            match totals.failed {
                0 => format!("{head}{tally}"),
                _ => format!("{head}: {failed}{tally}"),
            }
        }
        RunOutcome::Interrupted => interrupted(run, style),
        RunOutcome::Refused => style.paint(Tone::Failure, "✗ Refused: nothing was touched"),
    }
}

/// `! Terminated after 3 s: 12 of 200 tenants done, 188 left`.
fn interrupted(run: &RunSummary, style: Style) -> String {
    let totals = run.totals;
    let word = match run.exit {
        ExitCode::Terminated => "Terminated",
        ExitCode::Deadline if run.error.is_none() && run.leaves_newcomers() => "Not stable",
        ExitCode::Deadline => "Deadline reached",
        _ => "Interrupted",
    };
    let done = totals.succeeded + totals.up_to_date;
    let not_left = done + totals.failed + totals.held;
    let left = totals.tenants.saturating_sub(not_left);
    let failures = match totals.failed {
        0 => String::new(),
        n => format!(", {n} failed with {}", count_causes(&run.failures)),
    };
    format!(
        "{}: {done} of {} done, {left} left{failures}{}",
        style.paint(
            Tone::Warning,
            &format!("! {word} after {}", duration(run.duration))
        ),
        count_u64(totals.tenants, "tenant"),
        held_beside(run)
    )
}

/// `, 3 held`, where nothing else was done.
fn held_beside(run: &RunSummary) -> String {
    match run.totals.held {
        0 => String::new(),
        held => format!(", {held} held"),
    }
}

/// `200 tenants at V12`.
fn at_target(run: &RunSummary) -> String {
    let Some(target) = run.target else {
        return "the migration set is empty".to_owned();
    };
    // `--to` does not take tenants back that are further already
    let further = run.tenants.iter().any(|t| t.to > Some(target));
    let is_pinned = |t: &&TenantResult| t.outcome == Outcome::Succeeded && t.to < run.target;
    let pinned = run.tenants.iter().filter(is_pinned).count();
    let mut text = format!(
        "{} at {}{}",
        count_u64(
            run.totals.tenants - run.totals.skipped - pinned as u64,
            "tenant"
        ),
        version(Some(target)),
        if further { " or later" } else { "" }
    );
    if pinned > 0 {
        let _ = write!(
            text,
            ", {pinned} at {}",
            verb(pinned, "its pin", "their pins")
        );
    }
    text
}

/// ` (197 migrated, 3 already there)`.
fn tally(run: &RunSummary) -> String {
    let totals = run.totals;
    let parts: Vec<String> = [
        (totals.succeeded, "migrated"),
        (totals.up_to_date, "already there"),
        (totals.interrupted, "interrupted"),
        (totals.held, "held"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    }
}

/// What the other tenants say about a migration that failed: is it the file, or are these odd.
fn note(run: &RunSummary, group: &FailureGroup) -> Option<String> {
    let stem = group.example.migration.as_deref()?;
    let is_in_place = || {
        let mut tenants = run.tenants.iter();
        let first = tenants.find(|t| Some(&t.tenant) == group.tenants.first());
        first.is_some_and(safety::is_in_place)
    };
    if group.example.class != FailureClass::Permanent || is_in_place() {
        return None;
    }
    let passed = run.tenants.iter().filter(|t| has_applied(t, stem)).count();
    let stem = clean(stem);
    Some(if passed == 0 {
        format!("no tenant of this run has {stem} applied; tenants outside of it may")
    } else {
        format!(
            "{} {stem} applied: look at the data of {}; an edit of the file would make the others divergent",
            count(passed, "tenant") + verb(passed, " has", " have"),
            verb(group.tenants.len(), "this one", "these"),
        )
    })
}

/// By this run or before, whatever else is the matter with the tenant. `U` files may be missing below
/// a tenant's version, so that only the list counts.
fn has_applied(tenant: &TenantResult, stem: &str) -> bool {
    let reached = || {
        let number = stem.strip_prefix('V')?.split("__").next()?;
        let version: Version = number.parse().ok()?;
        Some(tenant.to? >= version)
    };
    tenant.applied.iter().any(|applied| applied == stem)
        || (tenant.outcome != Outcome::Failed && reached().unwrap_or(false))
}

/// A command, and when to type it.
pub(super) type Step = (String, String);

/// What shows why tenants have failed. No statement does where it is their shape.
fn failures(run: &RunSummary) -> Step {
    let failed = || run.tenants.iter().filter(|t| t.outcome == Outcome::Failed);
    if failed().next().is_some() && failed().all(safety::is_in_place) {
        let what = "in what they differ, and how to mend it";
        return ("fleet verify".to_owned(), what.to_owned());
    }
    let what = match run.halt {
        Some(Halt::Leak { .. }) => "all that the file has done outside, and what helps",
        _ => "the statement, and what usually helps",
    };
    (format!("fleet failures {}", run.run), what.to_owned())
}

fn next_steps(run: &RunSummary) -> Vec<Step> {
    let totals = run.totals;
    let id = &run.run;
    let mut steps = Vec::new();
    if let Some(halt) = &run.halt {
        if totals.failed > 0 {
            steps.push(failures(run));
        }
        for step in waves::after_halt(halt, id) {
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
    } else if totals.failed > 0 {
        steps.push(failures(run));
        let transient = |group: &FailureGroup| group.example.class == FailureClass::Transient;
        let when = if run.failures.iter().all(transient) {
            "may succeed as it is: locks, connections and the like were the cause"
        } else {
            "when the cause is mended; tenants that are done are not touched again"
        };
        steps.push((format!("fleet resume {id}"), when.to_owned()));
    } else if run.leaves_newcomers() {
        let what = "goes on with the new tenants";
        steps.push(("fleet migrate --until-stable".to_owned(), what.to_owned()));
    } else if matches!(run.outcome, RunOutcome::Interrupted | RunOutcome::Halted) {
        let what = "carries on; tenants that are done are not touched again";
        steps.push((format!("fleet resume {id}"), what.to_owned()));
    } else if run.exit == ExitCode::TenantsFailed {
        let what = "when the cause is mended; tenants that are done are not touched again";
        steps.push((format!("fleet resume {id}"), what.to_owned()));
    } else if totals.skipped > totals.held {
        let what = "where every tenant is, and what to do about these";
        steps.push(("fleet status".to_owned(), what.to_owned()));
    }
    steps
}

/// Writes what to type next.
pub(super) fn write_next(out: &mut dyn Write, steps: &[Step], style: Style) -> io::Result<()> {
    let steps: Vec<(String, &String)> = steps
        .iter()
        .map(|(command, when)| (style.invocation.command(command), when))
        .collect();
    let width = steps.iter().map(|(command, _)| command.len()).max();
    if let Some(width) = width {
        writeln!(out, "\nNext:")?;
        for (command, when) in &steps {
            let command = style.paint(Tone::Strong, &format!("{command:<width$}"));
            writeln!(out, "  {command}  {when}")?;
        }
    }
    Ok(())
}
