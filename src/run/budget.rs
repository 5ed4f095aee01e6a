//! How many tenants may fail before a run or a wave halts.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// After how many failed tenants no new one is started.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureBudget {
    /// Failures never stop the run.
    Unlimited,
    /// That many tenants.
    Tenants(NonZeroU32),
    /// That share of the tenants of the run, in per cent, above 0 and at most 100.
    Percent(f64),
}

impl FailureBudget {
    /// Whether so many failures among so many tenants to migrate use the budget up.
    pub fn is_spent(self, failed: u64, to_migrate: u64) -> bool {
        match self {
            Self::Unlimited => false,
            Self::Tenants(limit) => failed >= u64::from(limit.get()),
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of tenants are far below 2^52"
            )]
            Self::Percent(limit) => {
                failed > 0 && failed as f64 * 100.0 >= limit * to_migrate as f64
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_is_of_the_tenants_to_migrate() {
        let five_percent = FailureBudget::Percent(5.0);
        assert!(!five_percent.is_spent(0, 0));
        assert!(!five_percent.is_spent(4, 100));
        assert!(five_percent.is_spent(5, 100));
        assert!(!FailureBudget::Unlimited.is_spent(1000, 1000));
    }
}
