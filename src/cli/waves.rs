//! Which tenants of a run go together: by the config and the command line, or as the run has it that is carried on.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::{NonZeroU32, NonZeroUsize};

use super::error::Refusal;
use super::fleet::{Fleet, Found};
use super::options::WaveArguments;
use super::output::Output;
use crate::check::{CheckedDatabase, WaveChecker};
use crate::config;
use crate::ledger::{Control, LedgerError, LeftWave, NewRunWave, RunRecord};
use crate::migration::Version;
use crate::plan::{self, Action, Plan, Wave, WaveRule, WaveSelector, WaveSize};
use crate::rollout::{Checker, Likeness, RolloutWave};
use crate::run::{RunId, WaveGate, WaveNumber, WaveState, WaveTerms};
use crate::tenant::{Tenant, TenantId};

/// A run over no more tenants than that has no canary of its own accord.
const SMALL_RUN: usize = 20;

/// So many tenants of a canary go one after the other.
const FEW: u32 = 3;

/// The name of a first wave that only has a size.
const CANARY: &str = "canary";

/// Where the waves of a run come from.
pub(super) enum WaveSource {
    /// There are none: all tenants go together.
    Nowhere,
    /// From the config and the command line; or from an earlier run that has come to no end, where its waves were
    /// the same, or it has found its tenants unlike each other and no waves are asked for now: nobody must pass by
    /// what has not been looked at.
    Asked(WaveArguments, Option<Earlier>),
    /// From the run that is carried on.
    Left(Vec<LeftWave>),
}

/// The waves of an earlier run that has come to no end.
#[derive(Clone, Debug)]
pub(super) struct Earlier {
    run: RunId,
    waves: Vec<LeftWave>,
    /// Whether it halted since the shapes of its tenants differ.
    has_unlike: bool,
}

impl Earlier {
    /// Those of the last run that came to no end, where it was to that target and had any.
    pub(super) async fn of(
        control: &Control,
        unfinished: Option<&RunRecord>,
        target: Option<Version>,
    ) -> Result<Option<Self>, LedgerError> {
        let Some(run) = unfinished.filter(|run| run.target == target) else {
            return Ok(None);
        };
        let waves = control.left_waves(&run.id).await?;
        Ok((!waves.is_empty()).then_some(Self {
            run: run.id.clone(),
            waves,
            has_unlike: run.halt.as_ref().is_some_and(|halt| halt.by == "shapes"),
        }))
    }

    /// Whether what is asked for goes on with these waves.
    fn is_gone_on_with(&self, config: &config::Rollout, arguments: &WaveArguments) -> bool {
        let asks_for_none =
            arguments.canary.is_none() && !arguments.no_canary && arguments.waves.is_empty();
        self.has_unlike && asks_for_none || self.has_the_same(&rules(config, arguments, usize::MAX))
    }

    /// Whether the waves that are asked for are these.
    fn has_the_same(&self, rules: &[WaveRule]) -> bool {
        let rest = WaveTerms::named(plan::REST);
        let is_complete = rules
            .last()
            .is_some_and(|rule| rule.selector.takes_the_rest());
        let rest = (!is_complete).then_some(&rest);
        let asked = rules.iter().map(|rule| &rule.terms).chain(rest);
        !rules.is_empty() && asked.eq(self.waves.iter().map(|wave| &wave.record.terms))
    }
}

/// The waves of a run, and whose they were.
pub(super) struct Divided {
    /// In order; none where all tenants go together.
    pub(super) waves: Vec<RolloutWave>,
    /// The earlier run that they are gone on with.
    pub(super) of: Option<RunId>,
    /// Waves that nobody is migrated in, since all of their tenants are held.
    held: Vec<String>,
}

impl Divided {
    /// Says what is not seen of the waves themselves.
    pub(super) fn tell(&self, output: &Output) {
        if let Some(run) = &self.of {
            output.notice(&format!("goes on with the waves of run {run}"));
        }
        for wave in &self.held {
            output.notice(&format!(
                "all tenants of wave {wave} are held: the next ones follow without its having been tried"
            ));
        }
    }
}

impl WaveSource {
    /// Divides a plan. None where all tenants go together.
    pub(super) fn divide(&self, fleet: &Fleet, plan: &Plan) -> Divided {
        let config = &fleet.config.rollout;
        let waves = match self {
            Self::Nowhere => Vec::new(),
            Self::Asked(arguments, Some(earlier)) if earlier.is_gone_on_with(config, arguments) => {
                let (waves, of) = (carried_on(&earlier.waves, plan), Some(&earlier.run));
                return divided(waves, of, plan);
            }
            Self::Asked(arguments, _) => asked(config, arguments, plan),
            Self::Left(left) => carried_on(left, plan),
        };
        divided(waves, None, plan)
    }

    /// A wave that nobody of the fleet can ever be in is a typo, and a canary that nobody is in lets all others
    /// through. What the command line leaves out is nobody's mistake.
    pub(super) fn check(
        &self,
        config: &config::Rollout,
        found: &Found,
        is_whole: bool,
    ) -> Result<(), Refusal> {
        let Self::Asked(arguments, _) = self else {
            return Ok(());
        };
        let rules = rules(config, arguments, 0);
        for (index, rule) in rules.iter().enumerate() {
            let name = &rule.terms.name;
            if rules[..index].iter().any(|other| other.terms.name == *name) {
                return Err(Refusal::SameWave(name.clone()));
            }
            if rule.selector.takes_the_rest() && index + 1 < rules.len() {
                return Err(Refusal::EndlessWave(name.clone()));
            }
        }
        if !is_whole {
            return Ok(());
        }
        let all = || found.selected.iter().chain(&found.others);
        for rule in rules {
            if !all().any(|tenant| rule.selector.admits(tenant)) {
                return Err(Refusal::EmptyWave(rule.terms.name));
            }
        }
        Ok(())
    }
}

/// The waves as they are asked for.
fn rules(config: &config::Rollout, arguments: &WaveArguments, to_migrate: usize) -> Vec<WaveRule> {
    let mut rules = if arguments.waves.is_empty() {
        config.waves.clone()
    } else {
        arguments.waves.clone()
    };
    let of_itself = config
        .canary
        .filter(|_| rules.is_empty() && !arguments.no_canary && to_migrate > SMALL_RUN);
    if let Some(tenants) = arguments.canary.or(of_itself) {
        rules.insert(0, canary(tenants));
    }
    for (index, rule) in rules.iter_mut().enumerate() {
        if rule.terms.name.is_empty() {
            rule.terms.name = format!("wave-{}", index + 1);
        }
    }
    rules
}

fn canary(tenants: NonZeroU32) -> WaveRule {
    WaveRule {
        selector: WaveSelector {
            size: WaveSize::Tenants(tenants),
            ..WaveSelector::default()
        },
        terms: WaveTerms {
            // what one tenant leaves must be there for the next
            concurrency: NonZeroUsize::new(1).filter(|_| tenants.get() <= FEW),
            ..WaveTerms::named(CANARY)
        },
    }
}

fn to_migrate(plan: &Plan) -> Vec<&Tenant> {
    let pending = plan.tenants.iter();
    let pending = pending.filter(|tenant| matches!(tenant.action, Action::Migrate(_)));
    pending.map(|tenant| &tenant.tenant).collect()
}

/// The waves of an earlier run that the same command goes on with, as far as there is anything left of them, and
/// which run it is.
pub(super) fn left<'a>(
    earlier: &'a Earlier,
    config: &config::Rollout,
    arguments: &WaveArguments,
    plan: &Plan,
) -> Option<(Vec<Wave>, &'a RunId)> {
    if !earlier.is_gone_on_with(config, arguments) {
        return None;
    }
    let waves = carried_on(&earlier.waves, plan).into_iter();
    let is_left = |wave: &RolloutWave| wave.state != WaveState::Passed || !wave.tenants.is_empty();
    let left = waves.filter(is_left).map(|wave| Wave {
        number: wave.number,
        terms: wave.terms,
        tenants: wave.tenants,
    });
    Some((left.collect(), &earlier.run))
}

/// The waves of a plan, as they are asked for.
pub(super) fn planned(
    config: &config::Rollout,
    arguments: &WaveArguments,
    plan: &Plan,
) -> Vec<Wave> {
    let tenants = to_migrate(plan);
    let rules = rules(config, arguments, tenants.len());
    if rules.is_empty() || tenants.is_empty() {
        return Vec::new();
    }
    plan::divide(&tenants, &rules)
}

/// A wave whose tenants are all held keeps its gate: whoever is to open it has not looked at it yet.
fn divided(mut waves: Vec<RolloutWave>, of: Option<&RunId>, plan: &Plan) -> Divided {
    let holds = plan.tenants.iter();
    let holds = holds.filter(|tenant| matches!(tenant.action, Action::Hold(_)));
    let held: HashSet<&TenantId> = holds.map(|tenant| &tenant.tenant.id).collect();
    let is_held = |wave: &RolloutWave| {
        let mut members = wave.members.iter();
        wave.tenants.is_empty() && members.any(|member| held.contains(member))
    };
    let mut names = Vec::new();
    for wave in waves.iter_mut().filter(|wave| is_held(wave)) {
        names.push(wave.terms.name.clone());
        if wave.terms.gate == WaveGate::Manual && wave.state == WaveState::Pending {
            wave.state = WaveState::Checking;
            wave.members.clear();
        }
    }
    Divided {
        waves,
        of: of.cloned(),
        held: names,
    }
}

fn asked(config: &config::Rollout, arguments: &WaveArguments, plan: &Plan) -> Vec<RolloutWave> {
    let rules = rules(config, arguments, to_migrate(plan).len());
    let holds = plan.tenants.iter();
    let holds = holds.filter(|tenant| matches!(tenant.action, Action::Hold(_)));
    let holds: Vec<&Tenant> = holds.map(|tenant| &tenant.tenant).collect();
    let admitted = |wave: &Wave| -> Vec<TenantId> {
        let rule = rules.iter().find(|rule| rule.terms.name == wave.terms.name);
        let admits = |tenant: &&&Tenant| rule.is_some_and(|rule| rule.selector.admits(tenant));
        let of_rule = holds.iter().filter(admits);
        of_rule.map(|tenant| tenant.id.clone()).collect()
    };
    let waves = planned(config, arguments, plan).into_iter();
    let waves = waves.map(|wave| RolloutWave {
        number: wave.number,
        members: if wave.tenants.is_empty() {
            admitted(&wave)
        } else {
            wave.tenants.clone()
        },
        terms: wave.terms,
        tenants: wave.tenants,
        likeness: Likeness::default(),
        state: WaveState::Pending,
        approved_by: None,
    });
    waves.collect()
}

/// The waves of an earlier run, with those of their tenants that are left.
fn carried_on(left: &[LeftWave], plan: &Plan) -> Vec<RolloutWave> {
    let mut pending: BTreeSet<TenantId> = to_migrate(plan)
        .into_iter()
        .map(|tenant| tenant.id.clone())
        .collect();
    let mut waves: Vec<RolloutWave> = left
        .iter()
        .map(|wave| RolloutWave {
            number: wave.record.wave,
            terms: wave.record.terms.clone(),
            tenants: wave
                .members
                .iter()
                .filter(|tenant| pending.remove(tenant))
                .cloned()
                .collect(),
            members: wave.members.clone(),
            likeness: Likeness::default(),
            state: wave.record.state,
            approved_by: wave.record.approved_by.clone(),
        })
        .collect();
    // tenants that the earlier run had not to migrate go with the last
    if let Some(last) = waves.last_mut() {
        last.tenants.extend(pending.iter().cloned());
        last.members.extend(pending);
    }
    waves
}

/// What is written down of the waves of a new run.
pub(super) fn records(waves: &[RolloutWave]) -> Vec<NewRunWave> {
    let records = waves.iter().map(|wave| NewRunWave {
        wave: wave.number,
        terms: wave.terms.clone(),
        state: wave.state,
        approved_by: wave.approved_by.clone(),
    });
    records.collect()
}

/// In which wave each tenant is.
pub(super) fn numbers(waves: &[RolloutWave]) -> HashMap<&TenantId, WaveNumber> {
    let mut numbers = HashMap::new();
    for wave in waves {
        let there = wave.likeness.there.iter().map(|(tenant, _)| tenant);
        let members = wave.tenants.iter().chain(there);
        numbers.extend(members.map(|tenant| (tenant, wave.number)));
    }
    numbers
}

impl Fleet {
    /// Finds out whether a wave is well.
    pub(super) fn checker(&self) -> Checker {
        let databases = self.config.databases.iter();
        let databases = databases.filter_map(|database| {
            let checked = CheckedDatabase {
                pool: self.pool(&database.name)?.clone(),
                search_path: database.search_path.clone(),
            };
            Some((database.name.clone(), checked))
        });
        let checker = WaveChecker::new(databases.collect());
        Box::new(move |order| {
            let checker = checker.clone();
            Box::pin(async move {
                checker
                    .check(&order.wave, &order.check, &order.members)
                    .await
            })
        })
    }
}
