//! The end of a rehearsal for people: who would fail and why, what it locks, what it does not know, and how
//! long a run would take.

use std::io::{self, Write};
use std::time::Duration;

use super::Verbosity;
use super::causes::{INDENT, count_causes, fact, write_causes, write_facts};
use super::style::{Style, Tone};
use super::summary::write_next;
use super::table::{Cell, Table};
use super::wording::{clean, count, duration, message, names, verb, version};
use crate::rollout::{LockSummary, Rehearsal, RehearsalStop, RunForecast, WaveForecast};
use crate::run::{
    Blocked, FailureGroup, RehearsalOutcome, StopSignal, TenantRehearsal, group_failures,
};

/// Locks that are listed.
const LOCKS: usize = 20;
/// Reasons of refused tenants that are listed.
const REASONS: usize = 10;

/// Why tenants would fail, by cause.
pub fn rehearsed_failures(rehearsal: &Rehearsal) -> Vec<FailureGroup> {
    failures_of(rehearsal, RehearsalOutcome::WouldFail)
}

fn failures_of(rehearsal: &Rehearsal, outcome: RehearsalOutcome) -> Vec<FailureGroup> {
    let of_outcome = |tenant: &&TenantRehearsal| tenant.outcome == outcome;
    let tenants = rehearsal.tenants.iter().filter(of_outcome);
    group_failures(tenants.filter_map(|tenant| Some((&tenant.tenant, tenant.failure.as_ref()?))))
}

/// Writes what a rehearsal has found out.
///
/// # Errors
/// Those of the stream.
pub fn rehearsal(
    out: &mut dyn Write,
    rehearsal: &Rehearsal,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let failures = rehearsed_failures(rehearsal);
    writeln!(out, "{}", headline(rehearsal, &failures, style))?;
    if !failures.is_empty() {
        writeln!(out)?;
        write_causes(out, &failures, style, verbosity, |group| {
            note(rehearsal, group)
        })?;
    }
    write_in_the_way(out, rehearsal, style, verbosity)?;
    write_refused(out, rehearsal, style, verbosity)?;
    write_not_rehearsed(out, rehearsal, style)?;
    write_locks(out, &rehearsal.locks(), style, verbosity)?;
    if let Some(forecast) = &rehearsal.forecast {
        writeln!(out, "\n{}", forecast_words(rehearsal, forecast))?;
        if let Some(waves) = wave_words(&rehearsal.waves) {
            writeln!(out, "{waves}")?;
        }
    }
    if rehearsal.tenants.iter().any(|t| !t.migrations.is_empty()) {
        writeln!(
            out,
            "\nEverything was rolled back. Sequences have moved on, and dead rows stay until the next vacuum."
        )?;
    }
    write_next(out, &next_steps(rehearsal), style)
}

/// The rehearsal in one line.
pub fn rehearsal_headline(whole: &Rehearsal, style: Style) -> String {
    headline(whole, &rehearsed_failures(whole), style)
}

fn headline(rehearsal: &Rehearsal, failures: &[FailureGroup], style: Style) -> String {
    let counts = Counts::of(rehearsal);
    let (tone, head) = counts.head(rehearsal, failures);
    let head = style.paint(tone, &head);
    let further = counts.further();
    if counts.pending == 0 || rehearsal.stopped.is_some() {
        format!("{head}{further}")
    } else {
        let took = duration(rehearsal.duration);
        format!("{head}{further}; rehearsed in {took}")
    }
}

/// Tenants by what a run would make of them.
struct Counts {
    would_succeed: usize,
    would_fail: usize,
    busy: usize,
    not_rehearsed: usize,
    pending: usize,
    up_to_date: usize,
    held: usize,
    refused: usize,
    left_out: usize,
    seed: u64,
}

impl Counts {
    fn of(rehearsal: &Rehearsal) -> Self {
        let up_to_date = rehearsal.count(RehearsalOutcome::UpToDate);
        let held = rehearsal.count(RehearsalOutcome::Held);
        let refused = rehearsal.count(RehearsalOutcome::Refused);
        Self {
            would_succeed: rehearsal.count(RehearsalOutcome::WouldSucceed),
            would_fail: rehearsal.count(RehearsalOutcome::WouldFail),
            busy: rehearsal.count(RehearsalOutcome::Busy),
            not_rehearsed: rehearsal.count(RehearsalOutcome::NotRehearsed),
            pending: rehearsal.tenants.len() - up_to_date - held - refused,
            up_to_date,
            held,
            refused,
            left_out: rehearsal.sample.map_or(0, |sample| sample.left_out),
            seed: rehearsal.sample.map_or(0, |sample| sample.seed),
        }
    }

    fn head(&self, rehearsal: &Rehearsal, failures: &[FailureGroup]) -> (Tone, String) {
        let tenants = count(self.pending, "tenant");
        if let Some(stop) = rehearsal.stopped
            && rehearsal.lacking() > 0
        {
            let word = match stop {
                RehearsalStop::Signal(StopSignal::Interrupt) => "Interrupted",
                RehearsalStop::Signal(StopSignal::Terminate) => "Terminated",
                RehearsalStop::Late => "Deadline reached",
            };
            let known = self.would_succeed + self.would_fail;
            let took = duration(rehearsal.duration);
            let head = format!("! {word} after {took}: {known} of {tenants} rehearsed");
            return (Tone::Warning, head);
        }
        match (self.would_fail, self.would_succeed) {
            (1.., _) => {
                let causes = count_causes(failures);
                let head = format!(
                    "✗ {} of {tenants} would fail with {causes}",
                    self.would_fail
                );
                (Tone::Failure, head)
            }
            _ if self.pending == 0 => (Tone::Success, "✓ Nothing to rehearse".to_owned()),
            (0, 0) => {
                let head = format!("! None of {tenants} could be rehearsed");
                (Tone::Warning, head)
            }
            (0, some) => {
                let of = if some == self.pending {
                    tenants
                } else {
                    format!("{some} of {tenants}")
                };
                let target = version(rehearsal.target);
                // what comes behind the last that can be rehearsed is not known
                let head = if rehearsal.not_rehearsed().is_empty() {
                    format!("✓ {of} would reach {target}")
                } else {
                    format!("✓ {of} would succeed, as far as can be rehearsed")
                };
                (Tone::Success, head)
            }
        }
    }

    /// ` (495 would succeed, 3 up to date)`.
    fn further(&self) -> String {
        let is_known = self.would_succeed + self.would_fail > 0;
        let sample = format!("not in the sample of seed {}", self.seed);
        let further: Vec<String> = [
            (self.would_succeed, "would succeed", self.would_fail > 0),
            (self.busy, "busy", true),
            (self.not_rehearsed, "not rehearsed", is_known),
            (self.up_to_date, "up to date", true),
            (self.held, "held", true),
            (self.refused, "refused", true),
            (self.left_out, sample.as_str(), true),
        ]
        .into_iter()
        .filter(|(number, _, is_news)| *number > 0 && *is_news)
        .map(|(number, word, _)| format!("{number} {word}"))
        .collect();
        if further.is_empty() {
            String::new()
        } else {
            format!(" ({})", further.join(", "))
        }
    }
}

/// What the other tenants say about a migration that failed: is it the file, or are these odd.
fn note(rehearsal: &Rehearsal, group: &FailureGroup) -> Option<String> {
    let stem = group.example.migration.as_deref()?;
    let passed = |tenant: &&TenantRehearsal| {
        let mut migrations = tenant.migrations.iter();
        migrations.any(|migration| migration.migration.as_str() == stem)
    };
    let passed = rehearsal.tenants.iter().filter(passed).count();
    Some(if passed == 0 {
        format!("no tenant got past {}", clean(stem))
    } else {
        format!(
            "{} got past {}: look at the data of {}",
            count(passed, "tenant"),
            clean(stem),
            verb(group.tenants.len(), "this one", "these")
        )
    })
}

/// Tenants that somebody else was at, and those whose connection was lost.
fn write_in_the_way(
    out: &mut dyn Write,
    rehearsal: &Rehearsal,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    for (outcome, word) in [
        (RehearsalOutcome::Busy, "busy"),
        (RehearsalOutcome::NotRehearsed, "not rehearsed"),
    ] {
        for group in failures_of(rehearsal, outcome) {
            let tenants = count(group.tenants.len(), "tenant");
            let head = style.paint(Tone::Warning, &format!("- {tenants} {word}"));
            writeln!(out, "\n{head}: {}", message(&group.example))?;
            write_facts(out, &group.example, Some(&group), style)?;
            let tenants = names(group.tenants.iter(), INDENT, style.width, verbosity);
            fact(out, "tenants", &tenants, style)?;
        }
    }
    Ok(())
}

fn write_refused(
    out: &mut dyn Write,
    rehearsal: &Rehearsal,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let is_refused = |tenant: &&TenantRehearsal| tenant.outcome == RehearsalOutcome::Refused;
    let refused: Vec<_> = rehearsal.tenants.iter().filter(is_refused).collect();
    if refused.is_empty() {
        return Ok(());
    }
    let head = format!("✗ {} refused", count(refused.len(), "tenant"));
    writeln!(out, "\n{}", style.paint(Tone::Failure, &head))?;
    let shown = match verbosity {
        Verbosity::Verbose => refused.len(),
        Verbosity::Quiet | Verbosity::Normal => REASONS,
    };
    for tenant in refused.iter().take(shown) {
        let reason = tenant.reason.as_deref().unwrap_or_default();
        writeln!(out, "  {}  {}", tenant.tenant, clean(reason))?;
    }
    if refused.len() > shown {
        writeln!(out, "  … and {} (-v, or fleet plan)", refused.len() - shown)?;
    }
    Ok(())
}

fn write_not_rehearsed(out: &mut dyn Write, rehearsal: &Rehearsal, style: Style) -> io::Result<()> {
    let all = rehearsal.not_rehearsed();
    if all.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", style.paint(Tone::Warning, "- Not rehearsed"))?;
    for (not, tenants) in all {
        writeln!(
            out,
            "  {} in {}: {}",
            clean(not.migration.as_str()),
            count(tenants, "tenant"),
            clean(&not.cause.to_string())
        )?;
    }
    Ok(())
}

/// Locks that keep somebody waiting; all of them where that is asked for.
fn write_locks(
    out: &mut dyn Write,
    locks: &[LockSummary],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let is_shown = |lock: &&LockSummary| {
        verbosity == Verbosity::Verbose || lock.mode.blocks() != Blocked::Nobody
    };
    let shown: Vec<_> = locks.iter().filter(is_shown).collect();
    if shown.is_empty() {
        if !locks.is_empty() {
            writeln!(out, "\nNo table is locked against those who read or write.")?;
        }
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new([
        "MIGRATION",
        "TABLE",
        "LOCK",
        "BLOCKS",
        "TENANTS",
        "MEDIAN",
        "WORST",
        "WHERE",
    ]);
    let listed = match verbosity {
        Verbosity::Verbose => shown.len(),
        Verbosity::Quiet | Verbosity::Normal => LOCKS,
    };
    for lock in shown.iter().take(listed) {
        let (blocks, tone) = match lock.mode.blocks() {
            Blocked::ReadsAndWrites => ("reads and writes", Some(Tone::Failure)),
            Blocked::Writes => ("writes", Some(Tone::Warning)),
            Blocked::Nobody => ("", None),
        };
        table.push([
            clean(lock.migration.as_str()).into(),
            clean(&lock.table).into(),
            lock.mode.as_str().into(),
            Cell::toned(blocks, tone),
            lock.tenants.to_string().into(),
            duration(lock.median).into(),
            duration(lock.worst).into(),
            lock.worst_tenant.to_string().into(),
        ]);
    }
    table.write(out, style)?;
    if shown.len() > listed {
        writeln!(out, "… and {} (-v)", count(shown.len() - listed, "lock"))?;
    }
    Ok(())
}

fn forecast_words(rehearsal: &Rehearsal, forecast: &RunForecast) -> String {
    let mut text = format!(
        "A run would take about {} with {} at a time",
        duration(forecast.wall),
        count(forecast.at_a_time.get(), "tenant")
    );
    if forecast.at_most > forecast.wall {
        let at_most = duration(forecast.at_most);
        text = format!("{text}, or up to {at_most} where they slow each other down");
    }
    if forecast.supposed > 0 {
        text = format!(
            "{text} (by {}, and {} taken for the one in the middle)",
            count(forecast.measured, "tenant"),
            count(forecast.supposed, "other")
        );
    }
    if rehearsal.not_rehearsed().is_empty() {
        format!("{text}.")
    } else {
        format!("{text}, without what was not rehearsed.")
    }
}

/// `By wave: canary 12 ms, half 1.2 s and a soak of 10 min, rest 3 s.`
fn wave_words(waves: &[WaveForecast]) -> Option<String> {
    let of = |of: &WaveForecast| {
        let wall = of.forecast.map(|forecast| duration(forecast.wall));
        let wall = wall.unwrap_or_else(|| "not known".to_owned());
        let soak = match of.wave.terms.soak {
            Duration::ZERO => String::new(),
            soak => format!(" and a soak of {}", duration(soak)),
        };
        format!("{} {wall}{soak}", clean(&of.wave.terms.name))
    };
    let has_tenants = |of: &&WaveForecast| !of.wave.tenants.is_empty();
    let words: Vec<String> = waves.iter().filter(has_tenants).map(of).collect();
    (!words.is_empty()).then(|| format!("By wave: {}.", words.join(", ")))
}

fn next_steps(rehearsal: &Rehearsal) -> Vec<(String, String)> {
    let to = match rehearsal.target {
        Some(target) if rehearsal.target != rehearsal.head => format!(" --to {target}"),
        _ => String::new(),
    };
    let step = |command: String, when: &str| vec![(command, when.to_owned())];
    if rehearsal.count(RehearsalOutcome::WouldFail) > 0 {
        let when = "again, when the cause is mended";
        step(format!("fleet rehearse{to}"), when)
    } else if rehearsal.lacking() > 0 {
        let when = "again, for those that were in the way or cut short";
        step(format!("fleet rehearse{to}"), when)
    } else if rehearsal.count(RehearsalOutcome::WouldSucceed) > 0 {
        step(format!("fleet migrate{to}"), "does it")
    } else {
        Vec::new()
    }
}
