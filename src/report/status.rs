//! Where the fleet is, for people: a histogram, then only what is out of the ordinary.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, fact, write_causes};
use super::hold::write_held;
use super::style::{Style, Tone};
use super::summary::{Step, write_next};
use super::wording::{clean, count, count_u64, in_the_middle, names, version};
use crate::plan::{FleetStatus, Position, StatusRow, TenantState};
use crate::run::{RunId, group_failures};
use crate::tenant::TenantId;

/// The longest bar of the histogram.
const BAR: u64 = 30;
/// Versions with a line of their own; the tail of old ones shares the last.
const VERSIONS: usize = 12;
/// Reasons for a refusal that are listed.
const REASONS: usize = 10;

/// Writes where every tenant is.
///
/// # Errors
/// Those of the stream.
pub fn status(
    out: &mut dyn Write,
    status: &FleetStatus,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let tenants = count(status.tenants.len(), "tenant");
    match status.head {
        Some(_) => writeln!(out, "Head {}, {tenants}", version(status.head))?,
        None => writeln!(out, "The migration set is empty, {tenants}")?,
    }
    if status.tenants.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    write_histogram(out, status, style)?;
    writeln!(out, "\n{}", states(status, style))?;
    if verbosity == Verbosity::Verbose {
        writeln!(out)?;
        for row in &status.tenants {
            writeln!(out, "{}", one_line(row, style))?;
        }
    }
    write_exceptions(out, status, style, verbosity)?;
    write_next(out, &next_steps(status), style)
}

fn write_histogram(out: &mut dyn Write, status: &FleetStatus, style: Style) -> io::Result<()> {
    // the newest first: that is where most tenants should be
    let mut rows: Vec<(String, u64, bool)> = status
        .versions
        .iter()
        .rev()
        .map(|v| (version(v.version), v.tenants, v.version == status.head))
        .collect();
    if rows.len() > VERSIONS {
        let tail = rows.split_off(VERSIONS - 1);
        let tenants = tail.iter().map(|(_, tenants, _)| tenants).sum();
        rows.push((count(tail.len(), "older version"), tenants, false));
    }
    let most = rows
        .iter()
        .map(|(_, tenants, _)| *tenants)
        .max()
        .unwrap_or(1);
    let label_width = rows
        .iter()
        .map(|(label, ..)| label.len())
        .max()
        .unwrap_or(0);
    let number_width = most.to_string().len();
    for (label, tenants, at_head) in rows {
        // nobody is too few to be seen
        let length = usize::try_from((tenants * BAR / most).max(1)).unwrap_or(1);
        let tone = if at_head {
            Tone::Success
        } else {
            Tone::Warning
        };
        let bar = style.paint(tone, &"▇".repeat(length));
        writeln!(
            out,
            "  {label:<label_width$}  {tenants:>number_width$}  {bar}"
        )?;
    }
    Ok(())
}

/// `197 up to date, 3 failed`.
fn states(status: &FleetStatus, style: Style) -> String {
    let order = [
        TenantState::UpToDate,
        TenantState::Pending,
        TenantState::InProgress,
        TenantState::Failed,
        TenantState::Interrupted,
        TenantState::Refused,
        TenantState::Held,
    ];
    let words: Vec<String> = order
        .into_iter()
        .filter_map(|state| {
            let tenants = status.states.get(&state).filter(|tenants| **tenants > 0)?;
            Some(painted(
                state,
                &format!("{tenants} {}", words(state)),
                style,
            ))
        })
        .collect();
    words.join(", ")
}

/// The state as it is said.
pub(super) fn words(state: TenantState) -> String {
    state.as_str().replace('_', " ")
}

/// Text in the colour of a state.
pub(super) fn painted(state: TenantState, text: &str, style: Style) -> String {
    match state {
        TenantState::Failed | TenantState::Refused => style.paint(Tone::Failure, text),
        TenantState::Interrupted | TenantState::InProgress | TenantState::Held => {
            style.paint(Tone::Warning, text)
        }
        TenantState::UpToDate => style.paint(Tone::Success, text),
        TenantState::Pending => text.to_owned(),
    }
}

fn one_line(row: &StatusRow, style: Style) -> String {
    let mut text = format!(
        "{}  {}  {}",
        row.tenant,
        version(row.version),
        painted(row.state, &words(row.state), style)
    );
    if row.pending > 0 {
        text = format!("{text}, {} pending", row.pending);
    }
    if let Some(position) = row.halfway {
        text = format!("{text}, {}", in_the_middle(position));
    }
    text
}

fn in_state(status: &FleetStatus, state: TenantState) -> impl Iterator<Item = &StatusRow> {
    status.tenants.iter().filter(move |row| row.state == state)
}

/// Failures by cause, refusals by reason, then who is interrupted or in work.
fn write_exceptions(
    out: &mut dyn Write,
    status: &FleetStatus,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    // one that is held has failed all the same
    let failed = [TenantState::Failed, TenantState::Held];
    let failed = failed.into_iter().flat_map(|state| in_state(status, state));
    let failures = group_failures(failed.filter_map(|row| {
        let last = row.last_failure.as_ref()?;
        Some((&row.tenant, &last.failure))
    }));
    if !failures.is_empty() {
        writeln!(out)?;
        write_causes(out, &failures, style, verbosity, |_| None)?;
    }
    write_refused(out, status, style, verbosity)?;
    write_held(out, held(status), style, verbosity)?;
    write_halfway(out, status, style, verbosity)?;
    for state in [TenantState::Interrupted, TenantState::InProgress] {
        let tenants: Vec<&TenantId> = in_state(status, state).map(|row| &row.tenant).collect();
        if !tenants.is_empty() {
            let head = format!("- {} {}", count(tenants.len(), "tenant"), words(state));
            writeln!(out, "\n{}", style.paint(Tone::Warning, &head))?;
            let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
            fact(out, "tenants", &listed, style)?;
        }
    }
    Ok(())
}

/// Who is held, and who would be: a hold that holds nothing back now will do so one day.
fn held(status: &FleetStatus) -> impl Iterator<Item = (String, &TenantId)> {
    status.tenants.iter().flat_map(|row| {
        let now = (row.state == TenantState::Held).then(|| row.reason.clone().unwrap_or_default());
        let nothing_pending = match row.state {
            TenantState::UpToDate => " (nothing is pending)",
            _ => "",
        };
        let later = row
            .holds
            .iter()
            .map(move |hold| format!("{hold}{nothing_pending}"));
        let all: Vec<String> = match now {
            Some(reason) => vec![reason],
            None => later.collect(),
        };
        all.into_iter().map(|reason| (reason, &row.tenant))
    })
}

/// Tenants in the middle of a migration that runs without a transaction.
fn write_halfway(
    out: &mut dyn Write,
    status: &FleetStatus,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let mut places: BTreeMap<_, Vec<&TenantId>> = BTreeMap::new();
    for row in &status.tenants {
        if let Some(at) = row.halfway {
            let place = (at.version, at.done, at.in_doubt);
            places.entry(place).or_default().push(&row.tenant);
        }
    }
    for ((version, done, in_doubt), tenants) in places {
        let position = Position {
            version,
            done,
            in_doubt,
        };
        let number = count(tenants.len(), "tenant");
        let head = format!("- {number} {}", in_the_middle(position));
        writeln!(out, "\n{}", style.paint(Tone::Warning, &head))?;
        let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
    }
    Ok(())
}

type Reason<'a> = (Option<&'a str>, Option<&'static str>);

fn write_refused(
    out: &mut dyn Write,
    status: &FleetStatus,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let mut reasons: BTreeMap<Reason<'_>, Vec<&TenantId>> = BTreeMap::new();
    for row in in_state(status, TenantState::Refused) {
        let reason = (row.reason.as_deref(), row.hint);
        reasons.entry(reason).or_default().push(&row.tenant);
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, tenants)| std::cmp::Reverse(tenants.len()));
    if !reasons.is_empty() {
        writeln!(out)?;
    }
    for ((reason, hint), tenants) in reasons.iter().take(REASONS) {
        let head = format!("✗ {} refused", count(tenants.len(), "tenant"));
        let reason = clean(reason.unwrap_or_default());
        writeln!(out, "{}: {reason}", style.paint(Tone::Failure, &head))?;
        if let Some(hint) = hint {
            fact(out, "hint", hint, style)?;
        }
        let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
    }
    if reasons.len() > REASONS {
        let tenants = reasons[REASONS..].iter().map(|(_, t)| t.len()).sum();
        writeln!(
            out,
            "… and {} refused for other reasons",
            count(tenants, "tenant")
        )?;
    }
    Ok(())
}

fn next_steps(status: &FleetStatus) -> Vec<Step> {
    let number = |state| status.states.get(&state).copied().unwrap_or(0);
    let step = |command: &str, when: &str| vec![(command.to_owned(), when.to_owned())];
    if number(TenantState::InProgress) > 0 {
        return step("fleet status", "again, when the run has ended");
    }
    if number(TenantState::Failed) > 0 {
        let last_run = in_state(status, TenantState::Failed)
            .filter_map(|row| row.last_failure.as_ref())
            .map(|last| &last.run)
            .max()
            .map_or_else(String::new, |run: &RunId| format!(" {run}"));
        return vec![
            (
                format!("fleet show -v{last_run}"),
                "every attempt".to_owned(),
            ),
            (
                format!("fleet resume{last_run}"),
                "when the cause is mended".to_owned(),
            ),
        ];
    }
    if number(TenantState::Interrupted) > 0 {
        return step("fleet resume", "carries the last unfinished run on");
    }
    match number(TenantState::Pending) {
        0 if number(TenantState::Refused) > 0 => {
            step("fleet plan", "again, when the refused tenants are mended")
        }
        0 => Vec::new(),
        pending => step(
            "fleet migrate",
            &format!("migrates {}", count_u64(pending, "tenant")),
        ),
    }
}
