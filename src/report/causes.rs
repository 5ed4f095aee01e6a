//! Failures by cause, for people: what failed where, what the server said, who it hit, and
//! whether the migration or the tenant is the odd one.

use std::collections::HashMap;
use std::io::{self, Write};

use super::Verbosity;
use super::style::{Style, Tone};
use super::wording::{count, message, names, paragraph, place};
use crate::ledger::RunDetail;
use crate::run::{Failure, FailureClass, FailureGroup, Outcome, group_failures};
use crate::tenant::TenantId;

/// Causes that are shown in full; with more the list would scroll away.
pub(super) const CAUSES: usize = 10;
/// Where the facts under a cause begin.
pub(super) const INDENT: usize = 13;

/// Writes every cause with its facts and its tenants. `note` adds what is known beyond the failure.
pub(super) fn write_causes(
    out: &mut dyn Write,
    groups: &[FailureGroup],
    style: Style,
    verbosity: Verbosity,
    note: impl Fn(&FailureGroup) -> Option<String>,
) -> io::Result<()> {
    let shown = if verbosity == Verbosity::Verbose {
        groups.len()
    } else {
        CAUSES
    };
    for group in groups.iter().take(shown) {
        writeln!(out, "{}", headline(group, style))?;
        write_facts(out, &group.example, Some(group), style)?;
        if let Some(note) = note(group) {
            fact(out, "note", &note, style)?;
        }
        let tenants = names(group.tenants.iter(), INDENT, style.width, verbosity);
        fact(out, "tenants", &tenants, style)?;
    }
    if groups.len() > shown {
        let tenants = groups[shown..].iter().map(|g| g.tenants.len()).sum();
        writeln!(
            out,
            "… and {} with {}",
            count(tenants, "tenant"),
            count(groups.len() - shown, "other cause")
        )?;
    }
    Ok(())
}

/// `✗ 3 tenants at V12__unique_email.sql:4: 23505 could not …`
pub(super) fn headline(group: &FailureGroup, style: Style) -> String {
    let tenants = count(group.tenants.len(), "tenant");
    let place = place(&group.example).map_or_else(String::new, |place| format!(" at {place}"));
    format!(
        "{}: {}",
        style.paint(Tone::Failure, &format!("✗ {tenants}{place}")),
        message(&group.example)
    )
}

/// Writes what PostgreSQL said beside its message. Detail names values, and so the tenant whose it is.
pub(super) fn write_facts(
    out: &mut dyn Write,
    failure: &Failure,
    group: Option<&FailureGroup>,
    style: Style,
) -> io::Result<()> {
    if let Some(detail) = &failure.detail {
        let mut text = paragraph(detail, INDENT);
        if let Some(group) = group.filter(|group| group.tenants.len() > 1)
            && let Some(first) = group.tenants.first()
        {
            text = format!("{text} ({first})");
        }
        fact(out, "detail", &text, style)?;
    }
    if let Some(hint) = &failure.hint {
        fact(out, "hint", &paragraph(hint, INDENT), style)?;
    }
    if let Some(context) = &failure.context {
        fact(out, "context", &paragraph(context, INDENT), style)?;
    }
    if let Some(blocker) = &failure.blocked_by {
        fact(out, "blocked by", &paragraph(blocker, INDENT), style)?;
    }
    Ok(())
}

/// One labelled line under a headline.
pub(super) fn fact(out: &mut dyn Write, label: &str, text: &str, style: Style) -> io::Result<()> {
    let label = style.paint(Tone::Secondary, &format!("{label:<10}"));
    writeln!(out, "  {label} {text}")
}

/// `one cause`, `3 causes`.
pub(super) fn count_causes(groups: &[FailureGroup]) -> String {
    if groups.len() == 1 {
        "one cause".to_owned()
    } else {
        count(groups.len(), "cause")
    }
}

/// The causes of a recorded run: the last failed attempt of each tenant that failed in the end.
/// A tenant that got through on a later attempt has no cause.
pub(super) fn recorded_failures(detail: &RunDetail) -> Vec<FailureGroup> {
    let mut last: HashMap<&TenantId, &Failure> = HashMap::new();
    for attempt in &detail.failed_attempts {
        if let Some(failure) = &attempt.failure {
            last.insert(&attempt.tenant, failure);
        }
    }
    // a tenant can fail without an attempt, where the plan found it broken
    let unattempted: Vec<(&TenantId, Failure)> = detail
        .tenants
        .iter()
        .filter(|t| t.outcome == Some(Outcome::Failed) && !last.contains_key(&t.tenant))
        .map(|t| {
            let reason = t.reason.as_deref().unwrap_or("no attempt is recorded");
            (&t.tenant, Failure::new(FailureClass::Permanent, reason))
        })
        .collect();
    let attempted = detail
        .tenants
        .iter()
        .filter(|t| t.outcome == Some(Outcome::Failed))
        .filter_map(|t| last.get(&t.tenant).map(|failure| (&t.tenant, *failure)));
    group_failures(
        attempted.chain(
            unattempted
                .iter()
                .map(|(tenant, failure)| (*tenant, failure)),
        ),
    )
}
