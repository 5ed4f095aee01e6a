//! Findings about the set-up, for people: a line each, and what to do.

use std::io::{self, Write};

use super::Verbosity;
use super::causes::fact;
use super::style::{Style, Tone};
use super::wording::clean;
use crate::tenant::{DatabaseName, TenantId};

/// How many tenants of a finding are named.
const NAMED: usize = 5;

/// What a finding means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// Worth knowing; nothing is wrong with it.
    Doubtful,
    /// Not as the config asks for.
    Bad,
}

impl Health {
    /// The word in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Doubtful => "warning",
            Self::Bad => "fault",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Finding {
    /// What was looked at, in one word.
    pub check: &'static str,
    /// Where, unless it is about the whole.
    pub database: Option<DatabaseName>,
    /// What it means.
    pub health: Health,
    /// What was found.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Tenants that it is about, each with what is the matter.
    pub tenants: Vec<(TenantId, String)>,
}

/// Writes the findings.
///
/// # Errors
/// Those of the stream.
pub fn doctor(
    out: &mut dyn Write,
    findings: &[Finding],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let is_told =
        |finding: &&Finding| verbosity != Verbosity::Quiet || finding.health != Health::Good;
    for finding in findings.iter().filter(is_told) {
        let (sign, tone) = match finding.health {
            Health::Good => ("✓", Tone::Success),
            Health::Doubtful => ("!", Tone::Warning),
            Health::Bad => ("✗", Tone::Failure),
        };
        let place = finding.database.as_ref();
        let place = place.map_or_else(String::new, |name| format!("{name}: "));
        let sign = style.paint(tone, sign);
        writeln!(out, "{sign} {place}{}", clean(&finding.message))?;
        let shown = if verbosity == Verbosity::Verbose {
            finding.tenants.len()
        } else {
            NAMED
        };
        for (tenant, why) in finding.tenants.iter().take(shown) {
            writeln!(out, "  {tenant}: {}", clean(why))?;
        }
        if finding.tenants.len() > shown {
            let more = finding.tenants.len() - shown;
            writeln!(out, "  and {more} more (-v names all)")?;
        }
        if let Some(hint) = &finding.hint {
            fact(out, "hint", &clean(hint), style)?;
        }
    }
    Ok(())
}
