//! Acts for people: what would be done, how it ended, and what is recorded of it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use super::causes::{INDENT, count_causes, fact, write_causes};
use super::safety::{self, Stepwise};
use super::sink::Sink;
use super::style::{Style, Tone};
use super::summary::{Step, write_next};
use super::undone::write_undone;
use super::waves;
use super::wording::{clean, count, count_u64, duration, names, paragraph, stem, version, wrapped};
use super::{Reporter, Verbosity};
use crate::ledger::{ActRecord, ActsOfRun, HistoryRow};
use crate::migration::{Fix, MigrationSet, Version};
use crate::plan::{Action, Plan};
use crate::rollout::RolloutEvent;
use crate::run::{Act, ExitCode, Outcome, RunOutcome, RunSummary};
use crate::tenant::TenantId;

/// Acts of a run that are listed.
const ACTS: usize = 10;
/// Notes that are listed.
const NOTES: usize = 5;
/// Lines of a fix that are shown.
const FIX_LINES: usize = 6;

/// An act before it is done.
#[derive(Clone, Copy)]
pub struct Intent<'a> {
    /// What is to be done.
    pub act: Act,
    /// The SQL of a repair.
    pub fix: Option<&'a Fix>,
    /// Which tenants, and what in each.
    pub plan: &'a Plan,
    /// The files.
    pub set: &'a MigrationSet,
    /// Tenants that have had the fix before, in words; they are left out of it.
    pub before: &'a HashMap<TenantId, String>,
}

/// Writes what an act would do.
///
/// # Errors
/// Those of the stream.
pub fn intent(out: &mut dyn Write, of: Intent<'_>, style: Style) -> io::Result<()> {
    if let Some(fix) = of.fix {
        let statements = count(fix.statements.len(), "statement");
        let sha256 = &fix.sha256()[..12];
        writeln!(out, "{}: {statements}, sha256 {sha256}…", clean(&fix.name))?;
    }
    for tenant in &of.plan.tenants {
        let id = &tenant.tenant.id;
        let at = version(tenant.from);
        match &tenant.action {
            Action::Migrate(versions) => {
                let before = of.before.get(id);
                let what = match before {
                    Some(_) if versions.is_empty() => "nothing to do".to_owned(),
                    Some(_) => stems(of, versions, style),
                    None => would(of, versions, style),
                };
                writeln!(out, "{id}  {at}  {what}")?;
                if let Some(before) = before {
                    fact(out, "note", &clean(before), style)?;
                }
            }
            Action::UpToDate | Action::Hold(_) => writeln!(out, "{id}  {at}  nothing to do")?,
            Action::Refuse(refusal) => {
                let refused = style.paint(Tone::Failure, "refused");
                writeln!(out, "{id}  {refused}  {}", clean(&refusal.to_string()))?;
                fact(out, "hint", refusal.hint(), style)?;
            }
        }
    }
    writeln!(
        out,
        "\nNothing was done; the same command without --dry-run does it"
    )
}

fn would(of: Intent<'_>, versions: &[Version], style: Style) -> String {
    let stems = stems(of, versions, style);
    match of.act {
        Act::Repair if versions.is_empty() => "the fix, nothing after it".to_owned(),
        Act::Repair => format!("the fix, then {stems}"),
        Act::Skip => format!("{stems} recorded as applied, and not run"),
        Act::Baseline => format!("recorded as applied, and not run: {stems}"),
        Act::AcceptDivergent => format!("taken as the file is now: {stems}"),
    }
}

fn stems(of: Intent<'_>, versions: &[Version], style: Style) -> String {
    let stems: Vec<String> = versions.iter().map(|v| stem(of.set, *v)).collect();
    wrapped(&stems, INDENT, style.width)
}

/// The end of an act on stdout. Quiet means: nothing where all is well.
pub(super) struct ActSummary {
    pub(super) sink: Sink,
    pub(super) act: Act,
    pub(super) stepwise: Stepwise,
    pub(super) style: Style,
    pub(super) verbosity: Verbosity,
}

impl Reporter for ActSummary {
    fn report(&mut self, event: &RolloutEvent) {
        let RolloutEvent::RunFinished { summary: run } = event else {
            return;
        };
        if self.verbosity == Verbosity::Quiet && run.outcome == RunOutcome::Succeeded {
            return;
        }
        let (act, stepwise, style, verbosity) =
            (self.act, &self.stepwise, self.style, self.verbosity);
        self.sink
            .put(|out| summary(out, act, run, stepwise, style, verbosity));
    }

    fn undelivered(&self) -> Option<String> {
        self.sink.undelivered()
    }
}

/// One line on stderr for whoever watches an act whose document goes elsewhere.
pub(super) struct ActClosing {
    pub(super) sink: Sink,
    pub(super) act: Act,
    pub(super) style: Style,
}

impl Reporter for ActClosing {
    fn report(&mut self, event: &RolloutEvent) {
        if let RolloutEvent::RunFinished { summary } = event {
            self.sink.line(&headline(self.act, summary, self.style));
        }
    }
}

fn summary(
    out: &mut dyn Write,
    act: Act,
    run: &RunSummary,
    stepwise: &Stepwise,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    writeln!(out, "{}", headline(act, run, style))?;
    if let Some(halt) = &run.halt {
        writeln!(out, "{}", waves::halted(halt))?;
    }
    if !run.failures.is_empty() {
        writeln!(out)?;
        write_causes(out, &run.failures, style, verbosity, |_| None)?;
    }
    let undone = run
        .tenants
        .iter()
        .map(|t| (t.outcome, t.reason.as_deref(), &t.tenant));
    write_undone(out, undone, style, verbosity)?;
    write_done_before(out, run, style, verbosity)?;
    write_notes(out, run, style, verbosity)?;
    if let Some(sentence) = safety::sentence(run, stepwise) {
        writeln!(out, "\n{sentence}")?;
    }
    write_next(out, &next_steps(run), style)
}

/// Tenants that were left out because it had been done there.
fn write_done_before(
    out: &mut dyn Write,
    run: &RunSummary,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let before: Vec<_> = run
        .tenants
        .iter()
        .filter(|t| t.outcome == Outcome::UpToDate)
        .filter_map(|t| Some((t.reason.as_deref()?, &t.tenant)))
        .collect();
    let Some((reason, _)) = before.first() else {
        return Ok(());
    };
    let head = format!("- {}", count(before.len(), "tenant"));
    writeln!(
        out,
        "\n{}: {}",
        style.paint(Tone::Warning, &head),
        clean(reason)
    )?;
    let tenants = before.iter().map(|(_, tenant)| *tenant);
    fact(
        out,
        "tenants",
        &names(tenants, INDENT, style.width, verbosity),
        style,
    )
}

/// What stays done in tenants that did not get to their end.
fn write_notes(
    out: &mut dyn Write,
    run: &RunSummary,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let mut by_note: BTreeMap<&str, Vec<&TenantId>> = BTreeMap::new();
    let is_cut_short = |outcome: Outcome| matches!(outcome, Outcome::Failed | Outcome::Interrupted);
    for tenant in run.tenants.iter().filter(|t| is_cut_short(t.outcome)) {
        for note in &tenant.notes {
            by_note.entry(note).or_default().push(&tenant.tenant);
        }
    }
    for (note, tenants) in by_note.iter().take(NOTES) {
        let head = format!("- {}", count(tenants.len(), "tenant"));
        let head = style.paint(Tone::Warning, &head);
        writeln!(out, "\n{head}: {}", clean(note))?;
        let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
    }
    Ok(())
}

/// The run in one line.
fn headline(act: Act, run: &RunSummary, style: Style) -> String {
    let totals = run.totals;
    let tenants = count_u64(totals.tenants, "tenant");
    let took = duration(run.duration);
    let done = match totals.succeeded {
        0 => String::new(),
        number => format!(" ({number} done)"),
    };
    match run.outcome {
        RunOutcome::Succeeded if totals.succeeded == 0 => style.paint(
            Tone::Success,
            &format!("✓ Nothing to do: {}", nothing(act, &tenants)),
        ),
        RunOutcome::Succeeded => {
            let head = format!("✓ {}", what_was_done(act, run));
            format!("{} ({took})", style.paint(Tone::Success, &head))
        }
        RunOutcome::Interrupted | RunOutcome::Halted => {
            let word = match run.exit {
                ExitCode::Terminated => "Terminated",
                ExitCode::Deadline => "Deadline reached",
                ExitCode::Halted => "Stopped",
                _ => "Interrupted",
            };
            let head = style.paint(Tone::Warning, &format!("! {word} after {took}"));
            let done = totals.succeeded + totals.up_to_date;
            format!(
                "{head}: {done} of {tenants} done, {} left",
                totals.tenants - done
            )
        }
        RunOutcome::Failed | RunOutcome::Refused => {
            let causes = count_causes(&run.failures);
            let (failed, skipped) = (totals.failed, totals.skipped);
            let head = match (failed, skipped) {
                (0, skipped) => format!("✗ {skipped} of {tenants} refused"),
                (failed, 0) => format!("✗ {failed} of {tenants} failed with {causes}"),
                _ => format!("✗ {failed} of {tenants} failed with {causes}, {skipped} refused,"),
            };
            format!("{} in {took}{done}", style.paint(Tone::Failure, &head))
        }
    }
}

fn what_was_done(act: Act, run: &RunSummary) -> String {
    let tenants = count_u64(run.totals.succeeded, "tenant");
    let target = version(run.target);
    match act {
        Act::Repair if run.tenants.iter().all(|t| t.to == run.target) => {
            format!("{tenants} repaired, and at {target}")
        }
        Act::Repair => format!("{tenants} repaired"),
        Act::Skip => format!("{target} recorded as applied in {tenants}, and not run"),
        Act::Baseline => format!("{tenants} recorded as being at {target}, and nothing run"),
        Act::AcceptDivergent => format!("Edited files taken as they are now in {tenants}"),
    }
}

/// What is begun, `Recording V12 as applied in 3 of 5 tenants`.
pub(super) fn beginning(act: Act, to_do: u64, of: &str, target: Option<Version>) -> String {
    let target = version(target);
    match act {
        Act::Repair => format!("Repairing {to_do} of {of}"),
        Act::Skip => format!("Recording {target} as applied in {to_do} of {of}"),
        Act::Baseline => format!("Recording {to_do} of {of} as being at {target}"),
        Act::AcceptDivergent => {
            format!("Taking edited files as they are now in {to_do} of {of}")
        }
    }
}

fn nothing(act: Act, tenants: &str) -> String {
    match act {
        Act::Repair => format!("{tenants} had this very fix before"),
        Act::Skip | Act::Baseline => tenants.to_owned(),
        Act::AcceptDivergent => format!("{tenants} without an edited file"),
    }
}

fn next_steps(run: &RunSummary) -> Vec<Step> {
    let mut steps = Vec::new();
    if run.totals.failed > 0 {
        let failures = format!("fleet failures {}", run.run);
        let what = "the statement, and what usually helps";
        steps.push((failures, what.to_owned()));
    }
    if run.outcome != RunOutcome::Succeeded {
        let what = "where every tenant is, and what is left to do";
        steps.push(("fleet status".to_owned(), what.to_owned()));
    }
    steps
}

/// Writes why somebody asked for a run, and the SQL of a repair.
pub(super) fn write_why(
    out: &mut dyn Write,
    of: &ActsOfRun,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    if let Some(reason) = &of.reason {
        fact(out, "reason", &paragraph(reason, INDENT), style)?;
    }
    let Some(fix) = &of.fix else { return Ok(()) };
    let facts = format!(
        "{} ({}, sha256 {})",
        clean(&fix.name),
        count_u64(fix.bytes, "byte"),
        clean(&fix.sha256)
    );
    fact(out, "fix", &facts, style)?;
    let lines = fix.text.trim_end().lines().count();
    let shown = if verbosity == Verbosity::Verbose {
        lines
    } else {
        lines.min(FIX_LINES)
    };
    for line in fix.text.lines().take(shown) {
        writeln!(out, "{:INDENT$}{}", "", clean(line))?;
    }
    if lines > shown {
        let more = count(lines - shown, "more line");
        writeln!(out, "{:INDENT$}… and {more}: -v", "")?;
    }
    Ok(())
}

/// Writes what was to be done in each tenant, and what became of it.
pub(super) fn write_acts(
    out: &mut dyn Write,
    acts: &[ActRecord],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    if acts.is_empty() {
        return Ok(());
    }
    let shown = if verbosity == Verbosity::Verbose {
        acts.len()
    } else {
        ACTS
    };
    writeln!(out, "\nActs:")?;
    for act in acts.iter().take(shown) {
        let versions: Vec<String> = act.versions.iter().map(|v| format!(" V{v}")).collect();
        let tone = match act.outcome {
            Some(Outcome::Succeeded | Outcome::UpToDate) => Tone::Success,
            Some(Outcome::Failed) => Tone::Failure,
            Some(Outcome::Interrupted | Outcome::Skipped) | None => Tone::Warning,
        };
        let state = style.paint(tone, &act_state(act.outcome).replace('_', " "));
        let (at, tenant, word) = (&act.at, &act.tenant, clean(&act.act));
        writeln!(out, "  {at}  {tenant} {word}{}: {state}", versions.concat())?;
        for row in &act.was {
            let now = act.now.iter().find(|now| now.version == row.version);
            let now = now.map_or_else(String::new, |now| format!(", now {}", in_words(now)));
            writeln!(out, "    V{} was {}{now}", row.version, in_words(row))?;
        }
    }
    if acts.len() > shown {
        writeln!(out, "  … and {}: -v", count(acts.len() - shown, "more act"))?;
    }
    Ok(())
}

fn in_words(row: &HistoryRow) -> String {
    format!(
        "{} with checksum {}",
        clean(&row.name),
        clean(&row.checksum)
    )
}

/// The word for what became of an act. What is not known, the tenant's history tells.
pub(super) fn act_state(outcome: Option<Outcome>) -> &'static str {
    match outcome {
        Some(Outcome::Succeeded) => "done",
        Some(Outcome::UpToDate) => "done_before",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::Interrupted) => "interrupted",
        Some(Outcome::Skipped) => "not_done",
        None => "open",
    }
}
