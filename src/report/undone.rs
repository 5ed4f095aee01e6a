//! Tenants that were skipped or cut off, by reason.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, fact};
use super::style::{Style, Tone};
use super::wording::{clean, count, names};
use crate::run::Outcome;
use crate::tenant::TenantId;

/// Reasons that are listed.
const REASONS: usize = 10;

/// One tenant: how it ended, why, and which it is.
type Ended<'a> = (Outcome, Option<&'a str>, &'a TenantId);

/// Tenants with one outcome for one reason.
struct Group<'a> {
    outcome: Outcome,
    reason: Option<&'a str>,
    tenants: Vec<&'a TenantId>,
}

/// Writes those that were skipped or interrupted; the others have been dealt with.
pub(super) fn write_undone<'a>(
    out: &mut dyn Write,
    tenants: impl Iterator<Item = Ended<'a>>,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let groups = group(tenants);
    if !groups.is_empty() {
        writeln!(out)?;
    }
    for group in groups.iter().take(REASONS) {
        let reason = group
            .reason
            .map_or_else(String::new, |why| format!(": {}", clean(why)));
        let tenants = count(group.tenants.len(), "tenant");
        let head = format!("- {tenants} {}", group.outcome.as_str());
        writeln!(out, "{}{reason}", style.paint(Tone::Warning, &head))?;
        let tenants = group.tenants.iter().copied();
        fact(
            out,
            "tenants",
            &names(tenants, INDENT, style.width, verbosity),
            style,
        )?;
    }
    if groups.len() > REASONS {
        let rest = &groups[REASONS..];
        let tenants = rest.iter().map(|group| group.tenants.len()).sum();
        let reasons = count(rest.len(), "other reason");
        writeln!(out, "… and {} for {reasons}", count(tenants, "tenant"))?;
    }
    Ok(())
}

fn group<'a>(tenants: impl Iterator<Item = Ended<'a>>) -> Vec<Group<'a>> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut index = HashMap::new();
    for (outcome, reason, tenant) in tenants {
        if !matches!(outcome, Outcome::Skipped | Outcome::Interrupted) {
            continue;
        }
        let slot = *index.entry((outcome, reason)).or_insert_with(|| {
            groups.push(Group {
                outcome,
                reason,
                tenants: Vec::new(),
            });
            groups.len() - 1
        });
        groups[slot].tenants.push(tenant);
    }
    groups.sort_by_key(|group| Reverse(group.tenants.len()));
    groups
}
