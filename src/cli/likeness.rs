//! Whose shapes are compared in a run, and what is known of them from before it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::compare::{Comparison, Peers, Seen, ShapeReader};
use super::deed::{Deed, What};
use super::fleet::Fleet;
use super::open::looking;
use super::output::Output;
use super::waves::Divided;
use crate::config::{Drift, VerifyAfter};
use crate::ledger::{Control, LedgerError, LeftShape, LeftWave};
use crate::migration::{MigrationSet, Version};
use crate::plan::{self, Action, AfterFix, Plan, TenantPlan};
use crate::rollout::{AtVersion, Comparer, Likeness, RolloutWave};
use crate::run::{RunId, WaveState};
use crate::shape::Oddity;
use crate::tenant::TenantId;

/// How earlier runs have left the shapes of their tenants: those that are carried on, and the others as far as a tenant
/// was found to be unlike the others and has not been found to be like them since.
#[derive(Clone, Debug, Default)]
pub(super) struct LeftShapes {
    of: HashMap<TenantId, LeftShape>,
    /// Tenants that are done, and in a wave that was not found to be well.
    unproven: HashSet<TenantId>,
}

impl LeftShapes {
    /// What there is to know beside a run that has come to no end.
    pub(super) async fn of(control: &Control, run: Option<&RunId>) -> Result<Self, LedgerError> {
        let unlike = control.left_unlike().await?.into_iter();
        let mut left = Self {
            of: unlike.map(|of| (of.tenant.clone(), of)).collect(),
            unproven: HashSet::new(),
        };
        let Some(run) = run else {
            return Ok(left);
        };
        let of_run = control.left_shapes(run).await?.into_iter();
        left.of.extend(of_run.map(|of| (of.tenant.clone(), of)));
        for wave in control.left_waves(run).await? {
            if is_open(&wave) {
                let done = wave.members.into_iter().filter(|id| left.is_done(id));
                left.unproven.extend(done.collect::<Vec<_>>());
            }
        }
        Ok(left)
    }

    fn differs(&self, tenant: &TenantId) -> bool {
        self.of.get(tenant).is_some_and(|left| left.differs)
    }

    fn is_done(&self, tenant: &TenantId) -> bool {
        self.of.get(tenant).is_some_and(|left| left.is_done)
    }

    /// Whether nobody can rely on a tenant: it differs, or may.
    fn is_doubtful(&self, tenant: &TenantId) -> bool {
        self.differs(tenant) || self.unproven.contains(tenant)
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
            // every wave is compared with those before it
            is_every || is_asked && (is_open(wave) || members.any(|id| unfinished.contains(id)))
        };
        let done = self.of.values().filter(|left| left.is_done);
        if waves.is_empty() {
            let is_due = is_every || self.of.values().any(|left| left.differs);
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
        let odd = self.of.get(tenant)?.odd.clone()?;
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
        let chooser = Chooser::new(self, plan, left);
        if chooser.compares(deed) {
            chooser.mark(&mut divided.waves);
            if divided.waves.is_empty() {
                at_the_end = chooser.at_the_end();
            }
        }
        let compared = compared(plan, &divided.waves, &at_the_end);
        let all = plan.tenants.iter().chain(&plan.others);
        let candidates = all
            .filter(|tenant| matches!(tenant.action, Action::UpToDate | Action::Migrate(_)))
            .filter(|tenant| tenant.from.is_some())
            .map(at_version)
            .filter(|(id, _)| !compared.contains(id) && !self.may_differ(id));
        let peers = Peers::of(candidates);
        let reader = ShapeReader::new(self);
        let seen: Vec<&TenantPlan> = plan
            .tenants
            .iter()
            .filter(|tenant| to_migrate(tenant).is_some_and(|id| compared.contains(id)))
            .filter(|tenant| !self.may_differ(&tenant.tenant.id))
            .collect();
        let sight = self.see_before(&reader, &seen, &peers, output).await?;
        let read: HashSet<&TenantId> = sight.tenants.iter().map(|(id, ..)| id).collect();
        // who was found to be unlike the others, and is like them now, was mended
        let mended = sight.proven();
        let is_doubtful = |id: &TenantId| left.is_doubtful(id) && !mended.contains(id);
        let mut before = sight.oddities();
        for id in &compared {
            // since the run that has made it unlike the others, or may have, nothing of it is known from before
            let is_left = !read.contains(*id) || is_doubtful(id);
            match left.odd(id).filter(|_| is_left) {
                Some(odd) => before.insert((*id).clone(), odd),
                None if is_left => before.remove(*id),
                None => None,
            };
        }
        // with others in the run, one of a wave of its own is compared when they are there
        let alone = compared.iter().filter(|_| compared.len() == 1);
        let doubtful = alone.filter(|id| left.differs(id) && !mended.contains(**id));
        Ok(Asked {
            comparison: Comparison {
                doubtful: doubtful.map(|id| (*id).clone()).collect(),
                peers,
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

    /// The shapes of tenants before they are migrated, and of some others of their versions.
    async fn see_before(
        &self,
        reader: &ShapeReader,
        tenants: &[&TenantPlan],
        peers: &Peers,
        output: &Output,
    ) -> anyhow::Result<Seen> {
        if tenants.is_empty() {
            return Ok(Seen::default());
        }
        let mut asked: Vec<AtVersion> = tenants.iter().map(|tenant| at_version(tenant)).collect();
        let versions: BTreeSet<Option<Version>> = asked.iter().map(|(_, v)| *v).collect();
        asked.extend(peers.at(&versions));
        let patience = self.config.execution.reconnect_timeout;
        let reading = looking(patience, output, async || Ok(reader.read(&asked).await?));
        let (mut sight, _) = reading.await?;
        // somebody who died may have left a migration that came to its end only now
        let histories = looking(patience, output, async || {
            self.read_histories(tenants.iter().map(|tenant| &tenant.tenant))
                .await
        });
        let histories = histories.await?;
        let has_moved = |tenant: &&&TenantPlan| {
            let id = &tenant.tenant.id;
            let of_database = histories.get(&id.database);
            let history = of_database.and_then(|histories| histories.get(&id.schema));
            history.and_then(plan::version_of) != tenant.from
        };
        let moved: HashSet<&TenantId> = tenants
            .iter()
            .filter(has_moved)
            .map(|tenant| &tenant.tenant.id)
            .collect();
        sight.forget(|id| moved.contains(id));
        Ok(sight)
    }

    /// Whether a tenant need not be like the others.
    pub(super) fn may_differ(&self, tenant: &TenantId) -> bool {
        let mut excluded = self.config.verify.exclude.iter();
        excluded.any(|pattern| pattern.matches(tenant))
    }
}

impl Asked {
    /// In what a tenant differs from the others already, as the ledger keeps it.
    pub(super) fn odd(&self, tenant: &TenantId) -> Option<serde_json::Value> {
        let odd = self.comparison.before.get(tenant)?;
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

/// Whether it was not found out of a wave whether its tenants are alike.
fn is_open(wave: &LeftWave) -> bool {
    matches!(wave.record.state, WaveState::Running | WaveState::Halted)
}

/// All whose shapes are compared.
fn compared<'a>(
    plan: &'a Plan,
    waves: &'a [RolloutWave],
    at_the_end: &'a Likeness,
) -> HashSet<&'a TenantId> {
    let mut compared: HashSet<&TenantId> = HashSet::new();
    for wave in waves.iter().filter(|wave| wave.likeness.is_asked) {
        let there = wave.likeness.there.iter().chain(&wave.likeness.beside);
        compared.extend(&wave.tenants);
        compared.extend(there.map(|(id, _)| id));
    }
    if at_the_end.is_asked {
        compared.extend(plan.tenants.iter().filter_map(to_migrate));
        compared.extend(at_the_end.there.iter().map(|(id, _)| id));
    }
    compared
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
    plan: &'a Plan,
    left: &'a LeftShapes,
    /// Tenants that are at their target already.
    there: HashMap<&'a TenantId, AtVersion>,
    /// The same, of those that are not selected.
    beside: HashMap<&'a TenantId, AtVersion>,
    is_every: bool,
}

impl<'a> Chooser<'a> {
    fn new(fleet: &'a Fleet, plan: &'a Plan, left: &'a LeftShapes) -> Self {
        Self {
            fleet,
            plan,
            left,
            there: there(&plan.tenants),
            beside: there(&plan.others),
            is_every: fleet.config.verify.after == VerifyAfter::Every,
        }
    }

    /// An act that leaves tenants as they are says nothing of their shapes, unless one of them is to be mended so; and
    /// who enters something into a history takes a shape for what it is.
    fn compares(&self, deed: Option<&Deed>) -> bool {
        match deed.map(|deed| &deed.what) {
            None => true,
            Some(What::Fix { then, .. }) => *then == AfterFix::Migrate || self.has_doubtful(),
            Some(What::Entry(_)) => false,
        }
    }

    fn has_doubtful(&self) -> bool {
        let mut tenants = self.plan.tenants.iter();
        tenants.any(|tenant| self.left.is_doubtful(&tenant.tenant.id))
    }

    fn known(&self, tenants: &[TenantId]) -> Likeness {
        let known = |of: &HashMap<&TenantId, AtVersion>| -> Vec<AtVersion> {
            let known = tenants.iter().filter_map(|id| of.get(id).cloned());
            known.filter(|(id, _)| !self.fleet.may_differ(id)).collect()
        };
        Likeness {
            is_asked: true,
            there: known(&self.there),
            beside: known(&self.beside),
        }
    }

    /// Says of each wave whether its tenants are compared, and with whom of those who were there before.
    fn mark(&self, waves: &mut [RolloutWave]) {
        let mut placed: HashSet<TenantId> = HashSet::new();
        // of waves that have passed: they are compared with the next
        let mut passed: Vec<TenantId> = Vec::new();
        for (index, wave) in waves.iter_mut().enumerate() {
            let has_differing = wave.members.iter().any(|id| self.left.differs(id));
            placed.extend(wave.members.iter().cloned());
            wave.likeness.is_asked = index == 0 || self.is_every || has_differing;
            let is_open = !matches!(wave.state, WaveState::Pending | WaveState::Passed);
            let is_due = is_open || has_differing || !wave.tenants.is_empty();
            if wave.likeness.is_asked && is_due {
                passed.extend(wave.members.iter().cloned());
                wave.likeness = self.known(&std::mem::take(&mut passed));
            } else if self.is_every {
                passed.extend(wave.members.iter().cloned());
            }
        }
        // whoever is left from other waves comes before all others
        let mut unplaced = self.doubtful();
        unplaced.retain(|id| !placed.contains(id));
        let unplaced = self.known(&unplaced);
        if let Some(first) = waves.first_mut() {
            first.likeness.there.extend(unplaced.there);
            first.likeness.beside.extend(unplaced.beside);
        }
    }

    fn doubtful(&self) -> Vec<TenantId> {
        let known = self.left.of.keys();
        let doubtful = known.filter(|id| self.left.is_doubtful(id));
        doubtful.cloned().collect()
    }

    fn at_the_end(&self) -> Likeness {
        if !self.is_every && !self.has_doubtful() {
            return Likeness::default();
        }
        let left = self.left.of.values();
        let left = left.filter(|left| left.is_done || left.differs);
        let left: Vec<TenantId> = left.map(|left| left.tenant.clone()).collect();
        Likeness {
            beside: Vec::new(),
            ..self.known(&left)
        }
    }
}

fn there(tenants: &[TenantPlan]) -> HashMap<&TenantId, AtVersion> {
    let there = tenants.iter();
    there
        .filter(|tenant| tenant.action == Action::UpToDate)
        .map(|tenant| (&tenant.tenant.id, at_version(tenant)))
        .collect()
}
