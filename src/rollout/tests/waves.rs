//! One wave after the other, and what keeps the next one from beginning.

use std::time::Duration;

use super::*;
use crate::run::{
    CheckKind, Halt, WaveCheck, WaveGate, WaveNumber, WaveState, WaveSummary, WaveTerms,
};

impl Script {
    /// A wave of tenants that are there already.
    pub(super) fn wave(
        mut self,
        name: &str,
        tenants: &[&str],
        change: impl FnOnce(&mut RolloutWave),
    ) -> Self {
        let ids: Vec<TenantId> = tenants.iter().map(|name| id(name)).collect();
        let mut wave = RolloutWave {
            number: WaveNumber::try_from(self.waves.len() + 1).unwrap(),
            terms: WaveTerms::named(name),
            members: ids.clone(),
            tenants: ids,
            likeness: Likeness::default(),
            state: WaveState::Pending,
            approved_by: None,
        };
        change(&mut wave);
        self.waves.push(wave);
        self
    }

    pub(super) fn tenants(mut self, names: &[&str], does: &[Does]) -> Self {
        for name in names {
            self = self.tenant(name, None, does);
        }
        self
    }
}

pub(super) fn id(name: &str) -> TenantId {
    TenantId {
        database: DatabaseName::new("a"),
        schema: SchemaName::parse(name).unwrap(),
    }
}

pub(super) fn plain(_: &mut RolloutWave) {}

pub(super) fn checked(wave: &mut RolloutWave) {
    wave.terms.check = Some(WaveCheck {
        kind: CheckKind::Command("true".to_owned()),
        timeout: Duration::from_secs(1),
    });
}

fn manual(wave: &mut RolloutWave) {
    wave.terms.gate = WaveGate::Manual;
}

impl Told {
    pub(super) fn waves(&self) -> Vec<String> {
        let shown = |wave: &WaveSummary| format!("{} {}", wave.name, wave.state.as_str());
        self.end.summary.waves.iter().map(shown).collect()
    }

    /// The tenants that were started before the first of a wave had been.
    fn started_before(&self, name: &str) -> Vec<String> {
        let started = self.started();
        let first = started.iter().position(|tenant| tenant == name);
        started[..first.unwrap_or(started.len())].to_vec()
    }
}

/// Two waves: a canary of two, and three others.
pub(super) fn two_waves(change: impl FnOnce(&mut RolloutWave)) -> Script {
    Script::new(8)
        .wave("canary", &["a", "b"], change)
        .wave("rest", &["c", "d", "e"], plain)
}

#[tokio::test(start_paused = true)]
async fn a_wave_begins_when_the_one_before_is_done_and_has_soaked() {
    let soak = Duration::from_mins(10);
    let script = two_waves(|wave| wave.terms.soak = soak);
    let script = script.tenants(&["a", "b", "c", "d", "e"], &[Does::Work(100)]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 0);
    assert_eq!(told.started_before("c"), ["a", "b"]);
    assert_eq!(told.waves(), ["canary passed", "rest passed"]);
    assert!(told.took >= soak && told.took < soak + Duration::from_secs(2));
    let states: Vec<WaveState> = told.waves.iter().map(|entry| entry.state).collect();
    let states: Vec<&str> = states.into_iter().map(WaveState::as_str).collect();
    assert_eq!(
        states,
        ["running", "soaking", "passed", "running", "passed"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_altogether_lets_nobody_through() {
    let script = two_waves(plain)
        .tenants(&["a", "b"], &[Does::Fail(10)])
        .tenants(&["c", "d", "e"], &[Does::Work(10)]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.started(), ["a", "b"]);
    assert_eq!(told.waves(), ["canary halted", "rest pending"]);
    let outcomes = [
        "a failed",
        "b failed",
        "c skipped",
        "d skipped",
        "e skipped",
    ];
    assert_eq!(told.outcomes(), outcomes);
    let reason = told.end.summary.tenants[2].reason.clone().unwrap();
    assert_eq!(
        reason,
        "not attempted: 2 of 2 tenants of wave canary failed"
    );
    assert_eq!(told.closing.halt.unwrap().as_str(), "wave_budget");
}

#[tokio::test(start_paused = true)]
async fn one_odd_tenant_in_the_canary_is_not_the_end() {
    let script = two_waves(plain)
        .tenants(&["a"], &[Does::Fail(10)])
        .tenants(&["b", "c", "d", "e"], &[Does::Work(10)]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 4);
    assert_eq!(told.started().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_a_wave_halts_in_the_middle_of_it() {
    let one = Some(FailureBudget::Tenants(NonZeroU32::MIN));
    let script = Script::new(1)
        .wave("first", &["a", "b", "c"], |wave| {
            wave.terms.max_failures = one;
        })
        .wave("rest", &["d"], plain)
        .tenants(&["a"], &[Does::Fail(10)])
        .tenants(&["b", "c", "d"], &[Does::Work(10)]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.started(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_wave_has_its_own_concurrency() {
    let one = NonZeroUsize::new(1);
    let script = two_waves(|wave| wave.terms.concurrency = one);
    let script = script.tenants(&["a", "b", "c", "d", "e"], &[Does::Work(1000)]);
    let told = script.run().await;
    // one after the other, then three together
    assert!(told.took >= Duration::from_secs(3) && told.took < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn a_wave_that_is_not_well_halts_the_run_even_after_the_last() {
    let all = ["a", "b", "c", "d", "e"];
    let mut script = two_waves(checked).tenants(&all, &[Does::Work(10)]);
    script.unwell = vec!["canary"];
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.started(), ["a", "b"]);
    let halt = told.end.summary.halt.clone().unwrap();
    assert_eq!(halt.to_string(), "the check of wave canary failed: unwell");

    let mut script = Script::new(8).wave("all", &all, checked);
    script = script.tenants(&all, &[Does::Work(10)]);
    script.unwell = vec!["all"];
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.end.summary.totals.succeeded, 5);
}

#[tokio::test(start_paused = true)]
async fn nobody_at_a_manual_gate_ends_the_run_there() {
    let script = two_waves(manual).tenants(&["a", "b", "c", "d", "e"], &[Does::Work(10)]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.started(), ["a", "b"]);
    assert_eq!(told.waves(), ["canary awaiting", "rest pending"]);
    assert!(matches!(told.closing.halt, Some(Halt::Gate { .. })));
}

#[tokio::test(start_paused = true)]
async fn somebody_at_a_manual_gate_waits_until_it_is_approved() {
    let mut script = two_waves(manual).tenants(&["a", "b", "c", "d", "e"], &[Does::Work(10)]);
    script.operator = Operator::Present;
    script.memory.0.lock().unwrap().approves_after = Some(60);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 0);
    assert!(told.took >= Duration::from_secs(59));
    let canary = &told.end.summary.waves[0];
    assert_eq!(canary.approved_by.as_deref(), Some("on-call"));
}

#[tokio::test(start_paused = true)]
async fn a_wave_that_was_approved_is_not_asked_for_again() {
    let script = Script::new(8)
        .wave("canary", &[], |wave| {
            manual(wave);
            wave.state = WaveState::Awaiting;
            wave.approved_by = Some("on-call".to_owned());
        })
        .wave("rest", &["c"], plain)
        .tenants(&["c"], &[Does::Work(10)]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 0);
    assert_eq!(told.waves(), ["canary passed", "rest passed"]);
}

#[tokio::test(start_paused = true)]
async fn a_wave_whose_check_was_interrupted_is_checked_before_the_next() {
    let carried_on = || {
        Script::new(8)
            .wave("canary", &[], |wave| {
                checked(wave);
                wave.state = WaveState::Checking;
            })
            .wave("rest", &["c"], plain)
            .tenants(&["c"], &[Does::Work(10)])
    };
    let mut script = carried_on();
    script.unwell = vec!["canary"];
    assert_eq!(script.run().await.started(), [""; 0]);
    assert_eq!(carried_on().run().await.started(), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_not_soaked_away() {
    let script = two_waves(|wave| wave.terms.soak = Duration::from_mins(10));
    let script = script
        .tenants(&["a", "b", "c", "d", "e"], &[Does::Work(180_000)])
        .deadline(Duration::from_mins(12));
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 8);
    assert_eq!(told.waves(), ["canary soaking", "rest pending"]);
    // the first of the canary goes alone
    assert!(told.took < Duration::from_mins(7));
}

#[tokio::test(start_paused = true)]
async fn a_soak_longer_than_the_deadline_needs_somebody() {
    let script = two_waves(|wave| wave.terms.soak = Duration::from_mins(10));
    let script = script
        .tenants(&["a", "b", "c", "d", "e"], &[Does::Work(100)])
        .deadline(Duration::from_mins(5));
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 4);
    assert!(told.took < Duration::from_secs(10));
}
