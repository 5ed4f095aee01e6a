//! Whose shapes are compared in a run, and what is known of them from before it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::compare::{Comparison, Peers, ShapeReader};
use super::deed::{Deed, What};
use super::fleet::Fleet;
use super::open::looking;
use super::output::Output;
use super::waves::Divided;
use crate::config::{Drift, VerifyAfter};
use crate::ledger::{Control, LedgerError, LeftShape, LeftWave};
use crate::migration::MigrationSet;
use crate::plan::{Action, AfterFix, Plan, TenantPlan};
use crate::rollout::{AtVersion, Comparer, Likeness, RolloutWave};
use crate::run::{RunId, WaveState};
use crate::shape::{Before, Oddity};
use crate::tenant::TenantId;

/// How an earlier run, and those that it carried on, have left the shapes of their tenants.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftShapes(HashMap<TenantId, LeftShape>);

impl LeftShapes {
    /// Those of a run that has come to no end.
    pub(super) async fn of(control: &Control, run: Option<&RunId>) -> Result<Self, LedgerError> {
        let Some(run) = run else {
            return Ok(Self::default());
        };
        let left = control.left_shapes(run).await?.into_iter();
        Ok(Self(left.map(|of| (of.tenant.clone(), of)).collect()))
    }

    fn differs(&self, tenant: &TenantId) -> bool {
        self.0.get(tenant).is_some_and(|left| left.differs)
    }

    /// Tenants that are done, and that a run which carries on has to compare with those that are not.
    pub(super) fn to_compare(
        &self,
        fleet: &Fleet,
        waves: &[LeftWave],
        unfinished: &[TenantId],
    ) -> HashSet<TenantId> {
        let is_every = fleet.config.verify.after == VerifyAfter::Every;
        let is_due = |(index, wave): &(usize, &LeftWave)| {
            let mut members = wave.members.iter();
            let is_asked =
                *index == 0 || is_every || wave.members.iter().any(|id| self.differs(id));
            let is_open = matches!(wave.record.state, WaveState::Running | WaveState::Halted);
            // every wave is compared with those before it
            is_every || is_asked && (is_open || members.any(|id| unfinished.contains(id)))
        };
        let done = self.0.values().filter(|left| left.is_done);
        if waves.is_empty() {
            let is_due = is_every || self.0.values().any(|left| left.differs);
            let done = done.filter(|_| is_due);
            return done.map(|left| left.tenant.clone()).collect();
        }
        let due = waves.iter().enumerate().filter(is_due);
        let members: HashSet<&TenantId> = due.flat_map(|(_, wave)| &wave.members).collect();
        done.map(|left| left.tenant.clone())
            .filter(|tenant| members.contains(tenant))
            .collect()
    }

    fn odd(&self, tenant: &TenantId) -> Option<Vec<Oddity>> {
        let odd = self.0.get(tenant)?.odd.clone()?;
        serde_json::from_value(odd).ok()
    }
}

/// What a run is to compare, and with what.
pub(super) struct Asked {
    /// Of a run without waves.
    pub(super) at_the_end: Likeness,
    comparison: Comparison,
}

impl Fleet {
    /// Finds out whose shapes are to be compared, marks the waves, and reads what the shapes are now. What cannot be
    /// read now is read later, and nothing of it is taken for known.
    pub(super) async fn ask_likeness(
        &self,
        (plan, set): (&Plan, &Arc<MigrationSet>),
        divided: &mut Divided,
        left: &LeftShapes,
        deed: Option<&Deed>,
        output: &Output,
    ) -> anyhow::Result<Asked> {
        let mut at_the_end = Likeness::default();
        if compares(deed) {
            let chooser = Chooser::new(self, plan, left);
            chooser.mark(&mut divided.waves);
            if divided.waves.is_empty() {
                at_the_end = chooser.at_the_end();
            }
        }
        let mut compared: HashSet<&TenantId> = HashSet::new();
        for wave in divided.waves.iter().filter(|w| w.likeness.is_asked) {
            compared.extend(&wave.tenants);
            compared.extend(wave.likeness.there.iter().map(|(id, _)| id));
        }
        if at_the_end.is_asked {
            compared.extend(plan.tenants.iter().filter_map(to_migrate));
            compared.extend(at_the_end.there.iter().map(|(id, _)| id));
        }
        let reader = ShapeReader::new(self);
        let seen: Vec<AtVersion> = plan
            .tenants
            .iter()
            .filter(|tenant| to_migrate(tenant).is_some_and(|id| compared.contains(id)))
            .map(at_version)
            .filter(|(id, _)| !self.may_differ(id))
            .collect();
        let mut before = Before::default();
        if !seen.is_empty() {
            let patience = self.config.execution.reconnect_timeout;
            let reading = looking(patience, output, async || Ok(reader.read(&seen).await?));
            let (sight, _) = reading.await?;
            before.odd = sight.oddities();
            before.shapes = sight.by_tenant();
        }
        for id in &compared {
            // since the run that has made it unlike the others, nothing of it is known from before
            let is_left = !before.shapes.contains_key(*id) || left.differs(id);
            match left.odd(id).filter(|_| is_left) {
                Some(odd) => before.odd.insert((*id).clone(), odd),
                None if is_left => before.odd.remove(*id),
                None => None,
            };
        }
        let candidates = plan.tenants.iter();
        let candidates = candidates
            .filter(|tenant| tenant.action == Action::UpToDate)
            .map(at_version)
            .filter(|(id, _)| !compared.contains(id) && !left.differs(id) && !self.may_differ(id));
        Ok(Asked {
            comparison: Comparison {
                peers: Peers::of(candidates),
                reader,
                before,
                set: Arc::clone(set),
                exclude: self.config.verify.exclude.clone(),
                fails_for_drift: self.config.verify.drift == Drift::Fail,
                retry: self.config.execution.retry,
            },
            at_the_end,
        })
    }

    /// Whether a tenant need not be like the others.
    fn may_differ(&self, tenant: &TenantId) -> bool {
        let mut excluded = self.config.verify.exclude.iter();
        excluded.any(|pattern| pattern.matches(tenant))
    }
}

impl Asked {
    /// In what a tenant differs from the others already, as the ledger keeps it.
    pub(super) fn odd(&self, tenant: &TenantId) -> Option<serde_json::Value> {
        let odd = self.comparison.before.odd.get(tenant)?;
        serde_json::to_value(odd).ok()
    }

    /// Those who were at their target before and are compared all the same.
    pub(super) fn there<'a>(&'a self, divided: &'a Divided) -> HashSet<&'a TenantId> {
        let waves = divided.waves.iter().map(|wave| &wave.likeness);
        let all = waves.chain(std::iter::once(&self.at_the_end));
        all.flat_map(|likeness| &likeness.there)
            .map(|(id, _)| id)
            .collect()
    }

    /// What compares them.
    pub(super) fn into_comparer(self) -> Comparer {
        self.comparison.into_comparer()
    }
}

/// An act that leaves tenants as they are says nothing of their shapes, and who enters something into a history
/// takes a shape for what it is.
fn compares(deed: Option<&Deed>) -> bool {
    match deed.map(|deed| &deed.what) {
        None => true,
        Some(What::Fix { then, .. }) => *then == AfterFix::Migrate,
        Some(What::Entry(_)) => false,
    }
}

fn to_migrate(tenant: &TenantPlan) -> Option<&TenantId> {
    matches!(tenant.action, Action::Migrate(_)).then_some(&tenant.tenant.id)
}

fn at_version(tenant: &TenantPlan) -> AtVersion {
    (tenant.tenant.id.clone(), tenant.from)
}

/// Chooses who is compared.
struct Chooser<'a> {
    fleet: &'a Fleet,
    left: &'a LeftShapes,
    /// Tenants that are at their target already.
    there: HashMap<&'a TenantId, AtVersion>,
    is_every: bool,
}

impl<'a> Chooser<'a> {
    fn new(fleet: &'a Fleet, plan: &'a Plan, left: &'a LeftShapes) -> Self {
        let there = plan.tenants.iter();
        let there = there
            .filter(|tenant| tenant.action == Action::UpToDate)
            .map(|tenant| (&tenant.tenant.id, at_version(tenant)));
        Self {
            fleet,
            left,
            there: there.collect(),
            is_every: fleet.config.verify.after == VerifyAfter::Every,
        }
    }

    fn known(&self, tenants: impl Iterator<Item = TenantId>) -> Vec<AtVersion> {
        let known = tenants.filter_map(|id| self.there.get(&id).cloned());
        known.filter(|(id, _)| !self.fleet.may_differ(id)).collect()
    }

    /// Says of each wave whether its tenants are compared, and with whom of those who were there before.
    fn mark(&self, waves: &mut [RolloutWave]) {
        let mut placed: HashSet<TenantId> = HashSet::new();
        // of waves that have passed: they are compared with the next
        let mut passed: Vec<TenantId> = Vec::new();
        for (index, wave) in waves.iter_mut().enumerate() {
            let differing = wave.members.iter().filter(|id| self.left.differs(id));
            let has_differing = differing.count() > 0;
            placed.extend(wave.members.iter().cloned());
            wave.likeness.is_asked = index == 0 || self.is_every || has_differing;
            let is_open = !matches!(wave.state, WaveState::Pending | WaveState::Passed);
            let is_due = is_open || has_differing || !wave.tenants.is_empty();
            if wave.likeness.is_asked && is_due {
                let members = passed.drain(..).chain(wave.members.iter().cloned());
                wave.likeness.there = self.known(members);
            } else if self.is_every {
                passed.extend(wave.members.iter().cloned());
            }
        }
        // whoever is left from other waves comes before all others
        let unplaced = self.differing().filter(|id| !placed.contains(id));
        let unplaced = self.known(unplaced);
        if let Some(first) = waves.first_mut() {
            first.likeness.there.extend(unplaced);
        }
    }

    fn differing(&self) -> impl Iterator<Item = TenantId> {
        let left = self.left.0.values().filter(|left| left.differs);
        left.map(|left| left.tenant.clone())
    }

    fn at_the_end(&self) -> Likeness {
        let differing = self.known(self.differing());
        if self.is_every || !differing.is_empty() {
            let left = self.left.0.values();
            let left = left.filter(|left| left.is_done || left.differs);
            return Likeness {
                is_asked: true,
                there: self.known(left.map(|left| left.tenant.clone())),
            };
        }
        Likeness::default()
    }
}
