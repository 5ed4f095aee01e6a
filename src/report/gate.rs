//! Whether tenants are at a version, for people and for pods.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, fact};
use super::style::{Style, Tone};
use super::wording::{clean, count, names, verb, version};
use crate::plan::{Arrival, Behind};
use crate::tenant::TenantId;

/// Groups of tenants that are listed.
const GROUPS: usize = 10;

/// Writes how many are there, and who is not.
///
/// # Errors
/// Those of the stream.
pub fn gate(
    out: &mut dyn Write,
    arrival: &Arrival,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    if arrival.is_complete() && verbosity == Verbosity::Quiet {
        return Ok(());
    }
    let (sign, tone) = if arrival.is_complete() {
        ("✓", Tone::Success)
    } else {
        ("✗", Tone::Failure)
    };
    let head = format!("{sign} {}", arrived(arrival));
    writeln!(out, "{}{}", style.paint(tone, &head), lowest(arrival))?;
    let mut groups: BTreeMap<String, Vec<&TenantId>> = BTreeMap::new();
    for behind in &arrival.behind {
        groups
            .entry(stands(behind))
            .or_default()
            .push(&behind.tenant);
    }
    let shown = if verbosity == Verbosity::Verbose {
        groups.len()
    } else {
        GROUPS
    };
    for (stands, tenants) in groups.iter().take(shown) {
        let head = format!("- {}: {stands}", count(tenants.len(), "tenant"));
        writeln!(out, "{}", style.paint(Tone::Warning, &head))?;
        let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
    }
    if groups.len() > shown {
        let rest: usize = groups.values().skip(shown).map(Vec::len).sum();
        writeln!(out, "… and {} for other reasons", count(rest, "tenant"))?;
    }
    Ok(())
}

/// `197 of 200 tenants are at V12 or later`.
pub fn arrived(arrival: &Arrival) -> String {
    format!(
        "{} of {} {} at V{} or later",
        arrival.there,
        count(arrival.tenants(), "tenant"),
        verb(arrival.there, "is", "are"),
        arrival.minimum
    )
}

fn lowest(arrival: &Arrival) -> String {
    match arrival.lowest {
        Some(lowest) => format!(", the lowest at V{lowest}"),
        None => String::new(),
    }
}

fn stands(behind: &Behind) -> String {
    match &behind.reason {
        Some(reason) => clean(reason),
        None => format!("at {}", version(behind.version)),
    }
}
