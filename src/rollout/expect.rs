//! How long tenants are expected to take, by what they took last time.

use std::time::Duration;

use crate::ledger::Past;

/// The past counts whole milliseconds: what took less took one.
const LEAST: Duration = Duration::from_millis(1);

/// What is expected of one tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// All that is pending, over all attempts.
    pub(super) time: Duration,
    /// Whether that is the tenant's own past; else it is taken for one in the middle of the others.
    pub(super) is_known: bool,
}

/// What is expected of each of these tenants, given its past and how many migrations are pending for it.
///
/// A migration counts like any other of the same tenant. That the past was about other files does not
/// matter for the order, for which tenants are only compared with each other, and what it means for times
/// the run itself finds out. A tenant without a past is taken for a median one: it is more often small
/// and new than a giant, but one that is a giant after all should not be found out last. Where nobody has
/// a past, nothing is expected.
pub(super) fn expectations(tenants: &[(Option<Past>, usize)]) -> Vec<Option<Expected>> {
    let each = |past: &Past| past.duration.max(LEAST) / past.migrations.get();
    let mut known: Vec<Duration> = tenants
        .iter()
        .filter_map(|(past, _)| past.as_ref().map(each))
        .collect();
    let middle = known.len() / 2;
    let median = (!known.is_empty()).then(|| *known.select_nth_unstable(middle).1);
    tenants
        .iter()
        .map(|(past, pending)| {
            let one = past.as_ref().map(each).or(median)?;
            Some(Expected {
                time: one.saturating_mul(u32::try_from(*pending).unwrap_or(u32::MAX)),
                is_known: past.is_some(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn past(ms: u64, migrations: u32) -> Past {
        Past {
            duration: Duration::from_millis(ms),
            migrations: NonZeroU32::new(migrations).unwrap(),
        }
    }

    fn expected(ms: u64, is_known: bool) -> Expected {
        let time = Duration::from_millis(ms);
        Expected { time, is_known }
    }

    #[test]
    fn a_migration_counts_like_any_other_of_the_same_tenant() {
        let tenants = [(past(100, 1), 3), (past(100, 10), 1), (past(0, 1), 2)];
        let tenants = tenants.map(|(past, pending)| (Some(past), pending));
        assert_eq!(
            expectations(&tenants),
            [300, 10, 2].map(|ms| Some(expected(ms, true)))
        );
    }

    #[test]
    fn a_tenant_without_a_past_is_taken_for_one_in_the_middle() {
        let tenants = [
            (Some(past(900, 1)), 1),
            (None, 2),
            (Some(past(20, 2)), 1),
            (Some(past(3, 1)), 1),
        ];
        assert_eq!(expectations(&tenants)[1], Some(expected(20, false)));
        assert_eq!(expectations(&[(None, 1), (None, 5)]), [None, None]);
    }
}
