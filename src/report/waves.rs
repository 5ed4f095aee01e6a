//! Waves in words: while they go, at the end of a run, and afterwards.

use std::io::{self, Write};
use std::time::Duration;

use super::causes::fact;
use super::style::{Style, Tone};
use super::table::{Cell, Table};
use super::wording::{clean, count_u64, duration};
use crate::ledger::WaveRecord;
use crate::plan::Wave;
use crate::rollout::RolloutEvent;
use crate::run::{Halt, RunId, WaveGate, WaveState, WaveSummary, WaveTerms};

/// How many tenants of a wave are named.
const NAMED: usize = 3;

/// The line for an event of a wave; None for any other.
pub(super) fn notice(event: &RolloutEvent, style: Style) -> Option<String> {
    let (tone, text) = match event {
        RolloutEvent::WaveStarted { wave } => (
            Tone::Strong,
            format!(
                "wave {}: {}",
                clean(&wave.name),
                count_u64(wave.totals.tenants, "tenant")
            ),
        ),
        RolloutEvent::WaveSoaking { wave, soak } => (
            Tone::Secondary,
            format!("- {}; soaking for {}", done(wave), duration(*soak)),
        ),
        RolloutEvent::WaveChecking { wave } => {
            (Tone::Secondary, format!("- {}; its check runs", done(wave)))
        }
        RolloutEvent::ApprovalAwaited { wave, run } => {
            let command = style.invocation.command(&format!("fleet approve {run}"));
            (
                Tone::Warning,
                format!(
                    "! wave {} awaits approval: {command} elsewhere lets the next one begin; Ctrl-C leaves",
                    clean(&wave.name)
                ),
            )
        }
        RolloutEvent::WaveFinished { wave } => {
            let approved = wave.approved_by.as_ref();
            let approved = approved.map(|by| format!(", approved by {}", clean(by)));
            let text = format!("{}{}", done(wave), approved.unwrap_or_default());
            match wave.totals.failed {
                0 => (Tone::Success, format!("✓ {text}")),
                _ => (Tone::Secondary, format!("- {text}")),
            }
        }
        _ => return None,
    };
    Some(style.paint(tone, &text))
}

/// `wave canary is done: 2 migrated, 1 failed`.
fn done(wave: &WaveSummary) -> String {
    let totals = wave.totals;
    let parts: Vec<String> = [
        (totals.succeeded, "migrated"),
        (totals.up_to_date, "already there"),
        (totals.failed, "failed"),
        (totals.skipped, "skipped"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{number} {word}"))
    .collect();
    let name = clean(&wave.name);
    if parts.is_empty() {
        format!("wave {name} is done")
    } else {
        format!("wave {name} is done: {}", parts.join(", "))
    }
}

/// Why no other tenant is started: `halted: the check of wave canary failed: …`.
pub(super) fn halted(halt: &Halt) -> String {
    format!("halted: {}", clean(&halt.to_string()))
}

/// What to type after a halt, and when.
pub(super) fn after_halt(halt: &Halt, run: &RunId) -> Vec<(String, String)> {
    let resume = |when: &str| (format!("fleet resume {run}"), when.to_owned());
    match halt {
        Halt::Gate { .. } => vec![
            (
                format!("fleet approve {run}"),
                "lets the next wave begin".to_owned(),
            ),
            resume("then goes on; tenants that are done are not touched again"),
        ],
        Halt::Shapes { .. } => vec![
            (
                "fleet verify".to_owned(),
                "in what they differ, and how to mend it".to_owned(),
            ),
            resume("compares them again before it goes on"),
        ],
        Halt::Budget { .. }
        | Halt::WaveBudget { .. }
        | Halt::BadMigration(_)
        | Halt::Leak { .. }
        | Halt::Check { .. } => vec![resume(
            "when the cause is mended; it asks what has changed, unless the files have",
        )],
    }
}

/// Where a wave is, as the ledger has it: a tone, a line, and the same in a few words. None for one that is still to
/// come.
pub(super) fn now(wave: &WaveRecord, run: &RunId, style: Style) -> Option<(Tone, String, String)> {
    let name = clean(&wave.terms.name);
    let brief = |what: &str| format!("wave {name} {what}");
    let reason = wave.reason.as_deref().map(clean);
    Some(match wave.state {
        WaveState::Pending => return None,
        WaveState::Running => {
            let tenants = count_u64(wave.tenants, "tenant");
            (
                Tone::Strong,
                format!("wave {name}: {tenants}"),
                format!("wave {name}"),
            )
        }
        WaveState::Soaking => (
            Tone::Secondary,
            format!("- {}", brief("soaks")),
            brief("soaks"),
        ),
        WaveState::Checking => {
            let what = brief("is checked");
            (Tone::Secondary, format!("- {what}"), what)
        }
        WaveState::Awaiting => {
            let command = style.invocation.command(&format!("fleet approve {run}"));
            let text = format!("! wave {name} awaits approval: {command} lets the next one begin");
            (Tone::Warning, text, brief("awaits approval"))
        }
        WaveState::Passed => {
            let by = wave.approved_by.as_deref().map(clean);
            let by = by.map_or_else(String::new, |by| format!(", approved by {by}"));
            let text = format!("✓ wave {name} has passed{by}");
            (Tone::Success, text, brief("has passed"))
        }
        WaveState::Halted => {
            let why = reason.map_or_else(String::new, |why| format!(": {why}"));
            let text = format!("✗ wave {name} is halted{why}");
            (Tone::Failure, text, brief("is halted"))
        }
    })
}

/// The waves of a plan: a few of their tenants by name.
///
/// # Errors
/// Those of the stream.
pub(super) fn write_planned(out: &mut dyn Write, waves: &[Wave], style: Style) -> io::Result<()> {
    if waves.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWaves:")?;
    let mut table = Table::new(["WAVE", "NAME", "TENANTS", "FIRST", "TERMS"]);
    for wave in waves {
        let first = wave.tenants.iter().take(NAMED).map(ToString::to_string);
        let mut first = first.collect::<Vec<_>>().join(", ");
        if wave.tenants.len() > NAMED {
            first.push_str(", …");
        }
        table.push([
            wave.number.to_string().into(),
            clean(&wave.terms.name).into(),
            wave.tenants.len().to_string().into(),
            first.into(),
            terms(&wave.terms).into(),
        ]);
    }
    table.write(out, style)
}

/// The waves of a recorded run.
///
/// # Errors
/// Those of the stream.
pub(super) fn write_waves(
    out: &mut dyn Write,
    waves: &[WaveRecord],
    style: Style,
) -> io::Result<()> {
    if waves.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nWaves:")?;
    let mut table = Table::new([
        "WAVE", "NAME", "STATE", "TENANTS", "DONE", "FAILED", "TERMS",
    ]);
    for wave in waves {
        let failed = (wave.failed > 0).then_some(Tone::Failure);
        table.push([
            wave.wave.to_string().into(),
            clean(&wave.terms.name).into(),
            Cell::toned(state(wave), tone(wave.state)),
            wave.tenants.to_string().into(),
            wave.succeeded.to_string().into(),
            Cell::toned(wave.failed.to_string(), failed),
            terms(&wave.terms).into(),
        ]);
    }
    table.write(out, style)
}

fn state(wave: &WaveRecord) -> String {
    match (wave.state, &wave.approved_by, &wave.approved_at) {
        (WaveState::Awaiting, None, _) => "awaits approval".to_owned(),
        (state, Some(by), Some(at)) => {
            format!("{}, approved by {} {at}", state.as_str(), clean(by))
        }
        (state, _, _) => state.as_str().to_owned(),
    }
}

fn tone(state: WaveState) -> Option<Tone> {
    match state {
        WaveState::Pending => None,
        WaveState::Running | WaveState::Soaking | WaveState::Checking => Some(Tone::Strong),
        WaveState::Awaiting => Some(Tone::Warning),
        WaveState::Passed => Some(Tone::Success),
        WaveState::Halted => Some(Tone::Failure),
    }
}

fn terms(terms: &WaveTerms) -> String {
    let mut parts = Vec::new();
    if let Some(concurrency) = terms.concurrency {
        parts.push(format!("{concurrency} at a time"));
    }
    if terms.soak > Duration::ZERO {
        parts.push(format!("soak {}", duration(terms.soak)));
    }
    if terms.check.is_some() {
        parts.push("check".to_owned());
    }
    if terms.gate == WaveGate::Manual {
        parts.push("manual gate".to_owned());
    }
    parts.join(", ")
}

/// Why a recorded run halted, and what was said to have changed before it.
pub(super) fn write_halt(
    out: &mut dyn Write,
    run: &crate::ledger::RunRecord,
    style: Style,
) -> io::Result<()> {
    if let Some(changed) = &run.what_changed {
        fact(out, "what changed", &clean(changed), style)?;
    }
    if let Some(halt) = &run.halt {
        fact(out, "halted", &clean(&halt.reason), style)?;
    }
    Ok(())
}

/// Writes what an approval leads to.
///
/// # Errors
/// Those of the stream.
pub fn approved(
    out: &mut dyn Write,
    run: &RunId,
    wave: &str,
    is_waiting: bool,
    style: Style,
) -> io::Result<()> {
    let head = format!("✓ Run {run}: wave {} is approved", clean(wave));
    let head = style.paint(Tone::Success, &head);
    if is_waiting {
        writeln!(out, "{head}; the next one begins")
    } else {
        let command = style.invocation.command(&format!("fleet resume {run}"));
        writeln!(out, "{head}; the next one begins with: {command}")
    }
}
