//! Roles of tenants: what is to be done for them, and what was.

use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, fact};
use super::style::{Style, Tone};
use super::wording::{clean, code_and_message, count, names};
use crate::catalog::Change;
use crate::plan::{Gap, Unguarded};
use crate::run::Failure;
use crate::tenant::TenantId;

/// Tenants that are told one by one where something is the matter.
const SHOWN: usize = 10;

/// What is to be done for one tenant.
#[derive(Clone, Debug)]
pub struct RolePlan {
    /// Which tenant.
    pub tenant: TenantId,
    /// The role that is to own it.
    pub role: String,
    /// What fleet does.
    pub changes: Vec<Change>,
    /// What only a person can.
    pub by_hand: Vec<Gap>,
    /// What is worth knowing before.
    pub notes: Vec<String>,
}

/// What became of one tenant.
#[derive(Clone, Debug)]
pub struct RoleResult {
    /// Which tenant.
    pub tenant: TenantId,
    /// The role that owns it, or is to.
    pub role: String,
    /// How it went.
    pub outcome: RoleOutcome,
}

/// How it went.
#[derive(Clone, Debug)]
pub enum RoleOutcome {
    /// This was done.
    Done(Vec<Change>),
    /// Nothing was to be done.
    Unchanged,
    /// Nothing was done, for this.
    Failed(Box<Failure>),
    /// Nothing was done, for a person has to do this first.
    ByHand(Vec<Gap>),
}

impl RoleOutcome {
    /// Whether the tenant has what it should have.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Unchanged)
    }

    /// The word in JSON.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Done(_) => "done",
            Self::Unchanged => "unchanged",
            Self::Failed(_) | Self::ByHand(_) => "failed",
        }
    }
}

/// Writes the statements as a script.
///
/// # Errors
/// Those of the stream.
pub fn roles_plan(out: &mut dyn Write, plans: &[RolePlan], style: Style) -> io::Result<()> {
    for plan in plans {
        let head = format!("-- {}: role {}", plan.tenant, clean(&plan.role));
        writeln!(out, "{}", style.paint(Tone::Strong, &head))?;
        for gap in &plan.by_hand {
            let text = format!(
                "-- by hand, before fleet does anything: {gap} ({})",
                gap.hint()
            );
            writeln!(out, "{}", style.paint(Tone::Failure, &clean(&text)))?;
        }
        for note in &plan.notes {
            let text = format!("-- note: {note}");
            writeln!(out, "{}", style.paint(Tone::Warning, &clean(&text)))?;
        }
        if !plan.changes.is_empty() {
            writeln!(out, "BEGIN;")?;
        }
        let mut purpose = "";
        for change in &plan.changes {
            if change.purpose != purpose {
                purpose = change.purpose;
                let text = format!("-- {purpose}");
                writeln!(out, "{}", style.paint(Tone::Secondary, &text))?;
            }
            writeln!(out, "{};", change.sql)?;
        }
        if !plan.changes.is_empty() {
            writeln!(out, "COMMIT;")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Writes what became of the tenants.
///
/// # Errors
/// Those of the stream.
pub fn roles_applied(
    out: &mut dyn Write,
    results: &[RoleResult],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let failed: Vec<&RoleResult> = results.iter().filter(|r| !r.outcome.is_well()).collect();
    if verbosity == Verbosity::Quiet && failed.is_empty() {
        return Ok(());
    }
    let done = results
        .iter()
        .filter(|r| matches!(r.outcome, RoleOutcome::Done(_)));
    let done: Vec<&TenantId> = done.map(|result| &result.tenant).collect();
    let (sign, tone) = if failed.is_empty() {
        ("✓", Tone::Success)
    } else {
        ("✗", Tone::Failure)
    };
    let well = results.len() - failed.len();
    let owned = if results.len() == 1 {
        "is owned by a role of its own"
    } else {
        "are owned by roles of their own"
    };
    let head = format!(
        "{sign} {well} of {} {owned} ({} changed)",
        count(results.len(), "tenant"),
        done.len()
    );
    writeln!(out, "{}", style.paint(tone, &head))?;
    if !done.is_empty() {
        let listed = names(done.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "changed", &listed, style)?;
    }
    let shown = if verbosity == Verbosity::Verbose {
        failed.len()
    } else {
        SHOWN
    };
    for result in failed.iter().take(shown) {
        let (why, hint) = why(result);
        let head = format!("- {}", result.tenant);
        writeln!(
            out,
            "{}: {}",
            style.paint(Tone::Warning, &head),
            clean(&why)
        )?;
        if let Some(hint) = hint {
            fact(out, "hint", &clean(&hint), style)?;
        }
    }
    if failed.len() > shown {
        writeln!(out, "… and {}", count(failed.len() - shown, "tenant"))?;
    }
    Ok(())
}

/// Why a tenant has not what it should have, and what helps.
pub(super) fn why(result: &RoleResult) -> (String, Option<String>) {
    match &result.outcome {
        RoleOutcome::Failed(failure) => {
            let mut text = code_and_message(failure, usize::MAX);
            if let Some(detail) = &failure.detail {
                text = format!("{text} ({detail})");
            }
            (text, failure.hint.clone())
        }
        RoleOutcome::ByHand(gaps) => {
            let unguarded = Unguarded {
                role: result.role.clone(),
                gaps: gaps.clone(),
            };
            (unguarded.to_string(), Some(unguarded.hint().to_owned()))
        }
        RoleOutcome::Done(_) | RoleOutcome::Unchanged => (String::new(), None),
    }
}
