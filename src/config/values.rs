//! Texts to checked numbers, durations and choices. Each function says what is wrong in words that follow the key's name.

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

use super::{HistoryColumn, Isolation};
use crate::migrator::TransactionScope;
use crate::run::FailureBudget;

/// The most tenants at a time, and connections to a database. PostgreSQL's own default is 100.
const MAX_COUNT: usize = 1000;

/// The longest timeout that PostgreSQL takes: an int4 of milliseconds.
const MAX_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// How much of a wrong value is shown.
const SHOWN_CHARS: usize = 120;

/// Whether a value looks like a URL or key=value pairs: when a variable lands at the wrong key.
pub(super) fn may_hold_password(value: &str) -> bool {
    value.contains("://") || value.contains('@') || value.to_lowercase().contains("pass")
}

/// A wrong value as an error may show it: cut, escaped, and not at all where it may hold a password.
pub(super) fn shown(value: &str) -> String {
    if may_hold_password(value) {
        return "(not shown, it may hold a password)".to_owned();
    }
    let mut shown = String::new();
    for (index, c) in value.chars().enumerate() {
        if index == SHOWN_CHARS {
            shown.push('…');
            break;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A count of things that cost a connection.
pub(super) fn count(text: &str) -> Result<NonZeroUsize, String> {
    let number = text.trim().parse::<NonZeroUsize>().ok();
    number
        .filter(|count| count.get() <= MAX_COUNT)
        .ok_or_else(|| {
            format!(
                "must be a whole number from 1 to {MAX_COUNT}, not `{}`",
                shown(text)
            )
        })
}

/// Attempts at one tenant.
pub(super) fn attempts(text: &str) -> Result<NonZeroU32, String> {
    text.trim().parse().map_err(|_| {
        format!(
            "must be a whole number from 1 (no second attempt), not `{}`",
            shown(text)
        )
    })
}

/// `true` or `false`.
pub(super) fn flag(text: &str) -> Result<bool, String> {
    match text.trim() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("must be true or false, not `{}`", shown(text))),
    }
}

/// `3s`, `200ms`, `1m 30s`, or a bare 0.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!(
            "needs a unit: `{text}s` for seconds, `{text}ms` for milliseconds"
        ));
    }
    humantime::parse_duration(text).map_err(|_| {
        format!(
            "must be a duration such as `3s`, `200ms` or `15m`, not `{}`",
            shown(text)
        )
    })
}

/// A duration as PostgreSQL's timeouts take it.
pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = duration(text)?;
    if !timeout.is_zero() && timeout < Duration::from_millis(1) {
        return Err("must be at least 1ms, or 0 for no limit".to_owned());
    }
    if timeout > MAX_TIMEOUT {
        return Err("must be at most 24 days, or 0 for no limit".to_owned());
    }
    Ok(timeout)
}

/// How long a lease lasts. A third of it is the heartbeat, which costs a commit.
pub(super) fn lease(text: &str) -> Result<Duration, String> {
    let lease = duration(text)?;
    if lease < Duration::from_secs(1) {
        return Err("must be 1s or more: a third of it is the heartbeat".to_owned());
    }
    Ok(lease)
}

/// `0`, `3` or `5%`.
pub(super) fn failure_budget(text: &str) -> Result<FailureBudget, String> {
    let text = text.trim();
    let problem = || {
        format!(
            "must be a number of tenants, a percentage such as `5%`, or 0 for no limit, not `{}`",
            shown(text)
        )
    };
    let Some(percent) = text.strip_suffix('%') else {
        let tenants = text.parse::<u32>().map_err(|_| problem())?;
        return Ok(
            NonZeroU32::new(tenants).map_or(FailureBudget::Unlimited, FailureBudget::Tenants)
        );
    };
    let percent = percent.trim_end();
    // Keeps out `inf`, `nan`, signs and exponents, which a float may have.
    let is_plain = percent.chars().all(|c| c.is_ascii_digit() || c == '.');
    let share = percent.parse::<f64>().ok().filter(|_| is_plain);
    let share = share.ok_or_else(problem)?;
    if share > 0.0 && share <= 100.0 {
        Ok(FailureBudget::Percent(share))
    } else {
        Err("must be above 0% and at most 100%; 0 without the sign is no limit".to_owned())
    }
}

/// `migration` or `tenant`.
pub(super) fn transaction_scope(text: &str) -> Result<TransactionScope, String> {
    match text.trim() {
        "migration" => Ok(TransactionScope::Migration),
        "tenant" => Ok(TransactionScope::Tenant),
        _ => Err(format!(
            "must be `migration` (one transaction each) or `tenant` (all pending of a tenant in one), not `{}`",
            shown(text)
        )),
    }
}

/// `none` or `role`.
pub(super) fn isolation(text: &str) -> Result<Isolation, String> {
    match text.trim() {
        "none" => Ok(Isolation::None),
        "role" => Ok(Isolation::Role),
        _ => Err(format!(
            "must be `none` or `role` (each tenant's migrations run as a role that owns its schema alone), not `{}`",
            shown(text)
        )),
    }
}

/// `auto`, `int4` or `int8`.
pub(super) fn history_column(text: &str) -> Result<HistoryColumn, String> {
    match text.trim() {
        "auto" => Ok(HistoryColumn::Auto),
        "int4" => Ok(HistoryColumn::Int4),
        "int8" => Ok(HistoryColumn::Int8),
        _ => Err(format!(
            "must be `auto`, `int4` or `int8`, not `{}`",
            shown(text)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        let ms = |n| Ok(Duration::from_millis(n));
        for (text, expected) in [("3s", 3000), ("15m", 900_000), ("0", 0), ("1m 30s", 90_000)] {
            assert_eq!(timeout(text), ms(expected), "{text}");
        }
        assert_eq!(
            duration("30"),
            Err("needs a unit: `30s` for seconds, `30ms` for milliseconds".to_owned())
        );
        for text in ["", "soon", "-1s", "500us", "25days", "3s3"] {
            assert!(timeout(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_are_bounded() {
        assert_eq!(count("1000").map(NonZeroUsize::get), Ok(1000));
        for text in ["0", "1001", "-1", "1.5", "", "many"] {
            assert!(count(text).is_err(), "{text}");
        }
        assert!(attempts("0").is_err());
        assert_eq!(attempts("1").map(NonZeroU32::get), Ok(1));
    }

    #[test]
    fn a_failure_budget_is_a_number_or_a_percentage() {
        assert_eq!(failure_budget("0"), Ok(FailureBudget::Unlimited));
        let three = FailureBudget::Tenants(NonZeroU32::new(3).unwrap());
        assert_eq!(failure_budget("3"), Ok(three));
        assert_eq!(failure_budget("2.5 %"), Ok(FailureBudget::Percent(2.5)));
        for text in [
            "0%", "101%", "inf%", "nan%", "-1%", "1e1%", "%", "-1", "0.5",
        ] {
            assert!(failure_budget(text).is_err(), "{text}");
        }
    }
}
