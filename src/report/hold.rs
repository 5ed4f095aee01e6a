//! Holds and pins for people: as they are set and released, and who is held.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, fact};
use super::style::{Style, Tone};
use super::wording::{clean, count, names, verb};
use crate::ledger::{PastHold, SetHold};
use crate::migration::Version;
use crate::plan::Hold;
use crate::tenant::TenantId;

/// Reasons that are listed.
const REASONS: usize = 10;

/// What was set for a tenant, and where the tenant is, as far as that was looked at.
#[derive(Clone, Debug)]
pub struct HoldNews {
    /// What was set.
    pub set: SetHold,
    /// The tenant's version.
    pub version: Option<Version>,
}

/// `3 tenants are`, for sentences of others.
pub fn tenants_are(number: usize) -> String {
    count(number, "tenant") + verb(number, " is", " are")
}

/// Writes what `hold` and `pin` have set.
///
/// # Errors
/// Those of the stream.
pub fn holds_set(out: &mut dyn Write, news: &[HoldNews], style: Style) -> io::Result<()> {
    for news in news {
        let hold = &news.set.hold;
        writeln!(out, "{}: {}", hold.tenant, clean(&hold.to_string()))?;
        if let Some(before) = &news.set.replaces {
            let text = format!(
                "{} (by {})",
                clean(&before.to_string()),
                clean(&before.set_by)
            );
            fact(out, "replaces", &text, style)?;
        }
        if let (Some(pin), Some(at)) = (hold.kind.version(), news.version)
            && at > pin
        {
            let text =
                format!("it is at V{at} already: nothing is rolled back, and it goes no further");
            fact(out, "note", &style.paint(Tone::Warning, &text), style)?;
        }
    }
    Ok(())
}

/// Writes what `release` has ended.
///
/// # Errors
/// Those of the stream.
pub fn holds_released(out: &mut dyn Write, released: &[Hold]) -> io::Result<()> {
    for hold in released {
        let what = clean(&hold.to_string());
        writeln!(out, "{}: released (it was {what})", hold.tenant)?;
    }
    Ok(())
}

/// Writes tenants by what holds them.
pub(super) fn write_held<'a>(
    out: &mut dyn Write,
    reasons: impl Iterator<Item = (String, &'a TenantId)>,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let mut by_reason: BTreeMap<String, Vec<&TenantId>> = BTreeMap::new();
    for (reason, tenant) in reasons {
        by_reason.entry(reason).or_default().push(tenant);
    }
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, tenants)| Reverse(tenants.len()));
    for (reason, tenants) in reasons.iter().take(REASONS) {
        let head = format!("- {}", count(tenants.len(), "tenant"));
        let head = style.paint(Tone::Warning, &head);
        writeln!(out, "\n{head} {}", clean(reason))?;
        let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
    }
    if reasons.len() > REASONS {
        let tenants = reasons[REASONS..].iter().map(|(_, t)| t.len()).sum();
        let tenants = count(tenants, "tenant");
        writeln!(out, "\n… and {tenants} held for other reasons")?;
    }
    Ok(())
}

/// Writes the holds and pins of one tenant, those that have ended too.
pub(super) fn write_past_holds(
    out: &mut dyn Write,
    holds: &[PastHold],
    style: Style,
) -> io::Result<()> {
    if !holds.is_empty() {
        writeln!(out, "\nHolds and pins:")?;
    }
    for PastHold { hold, ended } in holds {
        let (at, by) = (&hold.set_at, clean(&hold.set_by));
        let what = clean(&hold.to_string());
        let what = match ended {
            None => style.paint(Tone::Warning, &what),
            Some(_) => what,
        };
        writeln!(out, "  {at}  {what} (by {by})")?;
        if let Some((by, at)) = ended {
            writeln!(out, "    ended {at} by {}", clean(by))?;
        }
    }
    Ok(())
}
