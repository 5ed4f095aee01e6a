//! What can be typed about how tenants are worked on, by every command that does so.

use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

/// More tenants at a time than any server takes.
pub(super) const MAX_CONCURRENCY: usize = 1000;

/// How tenants are worked on.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct RunArguments {
    /// Tenants at a time, or auto, instead of execution.concurrency
    #[arg(long, value_name = "N|auto", value_parser = parse_concurrency)]
    pub(super) concurrency: Option<AtATime>,

    /// How long to wait for another run to end, instead of control.wait (such as 10m; 0 not at all)
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    pub(super) wait: Option<Duration>,

    /// When the process has to be over, from its start on (such as 9m): no tenant is started that would
    /// not be done by then, and exit code 8 says that work remains. A tenant that failed counts more: 4
    #[arg(long, value_name = "DURATION", value_parser = parse_deadline)]
    pub(super) deadline: Option<Duration>,
}

/// Tenants at a time; None where that is to be found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AtATime(pub(super) Option<NonZeroUsize>);

/// The same bounds as in the config.
pub(super) fn parse_concurrency(text: &str) -> Result<AtATime, String> {
    if text == "auto" {
        return Ok(AtATime(None));
    }
    text.parse()
        .ok()
        .filter(|number: &NonZeroUsize| number.get() <= MAX_CONCURRENCY)
        .map(|number| AtATime(Some(number)))
        .ok_or_else(|| format!("a number from 1 to {MAX_CONCURRENCY}, or auto"))
}

pub(super) fn parse_wait(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    humantime::parse_duration(text)
        .map_err(|_| "write it with a unit, such as 10m or 30s".to_owned())
}

/// More time than any job has, and less than clocks can count.
const LONGEST_DEADLINE: Duration = Duration::from_hours(24 * 365);

pub(super) fn parse_deadline(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|span| !span.is_zero() && *span <= LONGEST_DEADLINE)
        .ok_or_else(|| {
            "a time above 0 with a unit, such as 9m or 90s, and at most a year".to_owned()
        })
}
