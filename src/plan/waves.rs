//! Which tenant goes with which wave. Every tenant is in exactly one.

use std::collections::HashSet;
use std::hash::Hasher as _;
use std::num::NonZeroU32;

use siphasher::sip::SipHasher13;

use crate::run::{WaveNumber, WaveTerms};
use crate::tenant::{Tenant, TenantId, TenantPattern};

/// The name of the wave of all that no other wave takes.
pub const REST: &str = "rest";

/// A wave as it is asked for.
#[derive(Clone, Debug)]
pub struct WaveRule {
    /// Whom it takes of those that no earlier wave has.
    pub selector: WaveSelector,
    /// What holds for it.
    pub terms: WaveTerms,
}

/// Whom a wave takes of those that no earlier wave has.
#[derive(Clone, Debug, Default)]
pub struct WaveSelector {
    /// Only tenants that match one of these, where there are any.
    pub tenants: Vec<TenantPattern>,
    /// Only tenants that have all of these labels.
    pub labels: Vec<(String, String)>,
    /// How many of them.
    pub size: WaveSize,
    /// Where not all are taken: by lot, which the same seed draws in the same way, else by name.
    pub seed: Option<u64>,
}

/// How many tenants a wave takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum WaveSize {
    /// All that it may.
    #[default]
    All,
    /// So many.
    Tenants(NonZeroU32),
    /// That share of the tenants to migrate, in per cent, above 0 and at most 100; one at least.
    Percent(f64),
}

impl WaveSelector {
    /// Whether it takes whoever is left.
    pub fn takes_the_rest(&self) -> bool {
        self.tenants.is_empty() && self.labels.is_empty() && self.size == WaveSize::All
    }

    /// Whether a tenant may be in it.
    pub fn admits(&self, tenant: &Tenant) -> bool {
        let by_name = self.tenants.is_empty() || self.tenants.iter().any(|p| p.matches(&tenant.id));
        let has = |(key, value): &(String, String)| tenant.labels.get(key) == Some(value);
        by_name && self.labels.iter().all(has)
    }

    fn count(&self, to_migrate: usize) -> usize {
        match self.size {
            WaveSize::All => usize::MAX,
            WaveSize::Tenants(tenants) => tenants.get() as usize,
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a count of tenants"
            )]
            WaveSize::Percent(share) => (to_migrate as f64 * share / 100.0).ceil() as usize,
        }
    }
}

/// A wave and its tenants.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Which, from 1.
    pub number: WaveNumber,
    /// What holds for it.
    pub terms: WaveTerms,
    /// Those of its tenants that are to be migrated, by name. There may be none.
    pub tenants: Vec<TenantId>,
}

/// Divides the tenants that are to be migrated. Where the last of the rules does not take the rest, a wave
/// for it follows.
pub fn divide(to_migrate: &[&Tenant], rules: &[WaveRule]) -> Vec<Wave> {
    let mut left: Vec<&Tenant> = to_migrate.to_vec();
    left.sort_by(|a, b| a.id.cmp(&b.id));
    let mut waves = Vec::new();
    for rule in rules {
        let taken = take(&left, &rule.selector, to_migrate.len());
        left.retain(|tenant| !taken.contains(&tenant.id));
        push(&mut waves, rule.terms.clone(), taken);
    }
    let is_complete = rules
        .last()
        .is_some_and(|rule| rule.selector.takes_the_rest());
    if !is_complete {
        let rest = left.iter().map(|tenant| tenant.id.clone()).collect();
        push(&mut waves, WaveTerms::named(REST), rest);
    }
    waves
}

fn push(waves: &mut Vec<Wave>, terms: WaveTerms, tenants: HashSet<TenantId>) {
    let mut tenants: Vec<TenantId> = tenants.into_iter().collect();
    tenants.sort();
    waves.push(Wave {
        number: WaveNumber::try_from(waves.len() + 1).unwrap_or(WaveNumber::MAX),
        terms,
        tenants,
    });
}

fn take(left: &[&Tenant], selector: &WaveSelector, to_migrate: usize) -> HashSet<TenantId> {
    let mut admitted: Vec<&TenantId> = left
        .iter()
        .filter(|tenant| selector.admits(tenant))
        .map(|tenant| &tenant.id)
        .collect();
    if let Some(seed) = selector.seed {
        // a lot of each tenant's own, so that another tenant more or less changes nobody else's
        admitted.sort_by_cached_key(|id| lot(seed, id));
    }
    let count = selector.count(to_migrate);
    admitted.into_iter().take(count).cloned().collect()
}

fn lot(seed: u64, id: &TenantId) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0);
    hasher.write(id.database.as_str().as_bytes());
    hasher.write_u8(0);
    hasher.write(id.schema.as_str().as_bytes());
    hasher.finish()
}

#[cfg(test)]
#[path = "waves_tests.rs"]
mod tests;
