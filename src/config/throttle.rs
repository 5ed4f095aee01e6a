//! The rules of `throttle`, and of a concurrency that adapts itself.

use std::num::{NonZeroU32, NonZeroUsize};

use super::check::Checker;
use super::values::{self, shown};
use super::{Throttle, file, names};
use crate::rollout::{SessionLimit, ThrottleLimits};

/// What the servers may be made to bear.
pub(super) fn check(checker: &mut Checker<'_>, file: file::Throttle) -> Option<Throttle> {
    let replica_lag = checker.value(
        "throttle.replica_lag",
        file.replica_lag,
        "30s",
        values::timeout,
    );
    let active_sessions = checker.value(
        "throttle.active_sessions",
        file.active_sessions,
        "90%",
        session_limit,
    );
    let lock_waits = checker.value("throttle.lock_waits", file.lock_waits, "10", sessions);
    let ignored_replicas = checker.items(
        "throttle.ignored_replicas",
        file.ignored_replicas.unwrap_or_default(),
        standby,
    );
    Some(Throttle {
        limits: ThrottleLimits {
            replica_lag: replica_lag?,
            active_sessions: active_sessions?,
            lock_waits: lock_waits?,
        },
        ignored_replicas: ignored_replicas?,
    })
}

/// `auto`, or a count.
pub(super) fn concurrency(text: &str) -> Result<Option<NonZeroUsize>, String> {
    if text.trim() == "auto" {
        return Ok(None);
    }
    values::count(text)
        .map(Some)
        .map_err(|problem| problem.replacen("must be", "must be `auto`, or", 1))
}

/// The name of a standby.
fn standby(text: &str) -> Result<String, String> {
    if text.contains(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    names::not_blank(text)
}

/// `10`, or 0 for no limit.
fn sessions(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| {
        format!(
            "must be a whole number of sessions, or 0 for no limit, not `{}`",
            shown(text)
        )
    })
}

/// `40`, `90%`, or 0 for no limit.
fn session_limit(text: &str) -> Result<SessionLimit, String> {
    let problem = || {
        format!(
            "must be a number of sessions, a percentage of the server's connection slots such as `90%`, or 0 for no limit, not `{}`",
            shown(text)
        )
    };
    let text = text.trim();
    let Some(share) = text.strip_suffix('%') else {
        let sessions = text.parse::<u32>().map_err(|_| problem())?;
        return Ok(
            NonZeroU32::new(sessions).map_or(SessionLimit::Unlimited, SessionLimit::Sessions)
        );
    };
    let share = share.trim_end();
    // keeps out `inf`, `nan`, signs and exponents, which a float may have
    let is_plain = share.chars().all(|c| c.is_ascii_digit() || c == '.');
    let share = share.parse::<f64>().ok().filter(|_| is_plain);
    let share = share.ok_or_else(problem)?;
    if share > 0.0 && share <= 100.0 {
        Ok(SessionLimit::Percent(share))
    } else {
        Err("must be above 0% and at most 100%; 0 without the sign is no limit".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_concurrency_is_a_number_or_auto() {
        assert_eq!(concurrency("auto"), Ok(None));
        assert_eq!(concurrency("8"), Ok(NonZeroUsize::new(8)));
        assert_eq!(
            concurrency("Auto"),
            Err("must be `auto`, or a whole number from 1 to 1000, not `Auto`".to_owned())
        );
    }

    #[test]
    fn session_limits_are_numbers_or_shares() {
        assert_eq!(session_limit("0"), Ok(SessionLimit::Unlimited));
        assert_eq!(session_limit("90%"), Ok(SessionLimit::Percent(90.0)));
        let forty = SessionLimit::Sessions(NonZeroU32::new(40).unwrap());
        assert_eq!(session_limit("40"), Ok(forty));
        for text in ["0%", "101%", "nan%", "-1", "many", ""] {
            assert!(session_limit(text).is_err(), "{text}");
        }
        assert!(sessions("1.5").is_err());
    }
}
