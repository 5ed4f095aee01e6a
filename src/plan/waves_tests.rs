use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::tenant::{DatabaseName, Presence, SchemaName};

fn tenant(name: &str, plan: &str) -> Tenant {
    let labels = BTreeMap::from([("plan".to_owned(), plan.to_owned())]);
    Tenant {
        id: TenantId {
            database: DatabaseName::new("main"),
            schema: SchemaName::parse(name).unwrap(),
        },
        labels: Arc::new(labels),
        presence: Presence::Present,
    }
}

fn ten() -> Vec<Tenant> {
    let plan = |n| if n % 2 == 0 { "free" } else { "team" };
    (0..10).map(|n| tenant(&format!("t{n}"), plan(n))).collect()
}

fn rule(name: &str, selector: WaveSelector) -> WaveRule {
    WaveRule {
        selector,
        terms: WaveTerms::named(name),
    }
}

fn of(tenants: u32) -> WaveSelector {
    WaveSelector {
        size: WaveSize::Tenants(NonZeroU32::new(tenants).unwrap()),
        ..WaveSelector::default()
    }
}

fn shown(tenants: &[Tenant], rules: &[WaveRule]) -> Vec<String> {
    let tenants: Vec<&Tenant> = tenants.iter().collect();
    let waves = divide(&tenants, rules);
    waves
        .iter()
        .map(|wave| {
            let names: Vec<&str> = wave.tenants.iter().map(|id| id.schema.as_str()).collect();
            format!("{} {}: {}", wave.number, wave.terms.name, names.join(" "))
        })
        .collect()
}

#[test]
fn waves_take_by_number_by_name_by_label_and_the_rest_goes_last() {
    let rules = [
        rule("canary", of(2)),
        rule(
            "named",
            WaveSelector {
                tenants: vec![TenantPattern::parse("t[15]").unwrap()],
                ..WaveSelector::default()
            },
        ),
        rule(
            "free",
            WaveSelector {
                labels: vec![("plan".to_owned(), "free".to_owned())],
                size: WaveSize::Percent(25.0),
                ..WaveSelector::default()
            },
        ),
    ];
    assert_eq!(
        shown(&ten(), &rules),
        [
            "1 canary: t0 t1",
            "2 named: t5",
            "3 free: t2 t4 t6",
            "4 rest: t3 t7 t8 t9"
        ]
    );
}

#[test]
fn a_last_wave_without_a_selection_is_the_rest() {
    let rules = [rule("canary", of(1)), rule("all", WaveSelector::default())];
    let waves = shown(&ten()[..3], &rules);
    assert_eq!(waves, ["1 canary: t0", "2 all: t1 t2"]);
    assert_eq!(shown(&ten()[..2], &[]), ["1 rest: t0 t1"]);
}

#[test]
fn a_share_is_one_tenant_at_least_and_never_more_than_there_are() {
    let share = |share| {
        let selector = WaveSelector {
            size: WaveSize::Percent(share),
            ..WaveSelector::default()
        };
        let tenants = ten();
        let tenants: Vec<&Tenant> = tenants.iter().collect();
        divide(&tenants, &[rule("share", selector)])[0]
            .tenants
            .len()
    };
    assert_eq!(share(0.1), 1);
    assert_eq!(share(25.0), 3);
    assert_eq!(share(100.0), 10);
}

#[test]
fn the_same_seed_draws_the_same_tenants_though_others_have_gone() {
    let drawn = |tenants: &[Tenant], seed| {
        let selector = WaveSelector {
            seed: Some(seed),
            ..of(3)
        };
        let tenants: Vec<&Tenant> = tenants.iter().collect();
        divide(&tenants, &[rule("lot", selector)])[0]
            .tenants
            .clone()
    };
    let all = ten();
    let first = drawn(&all, 42);
    assert_eq!(drawn(&all, 42), first);
    assert!((0..20).any(|seed| drawn(&all, seed) != first));
    let without_an_undrawn_one: Vec<Tenant> = {
        let other = all.iter().find(|tenant| !first.contains(&tenant.id));
        let other = other.unwrap().id.clone();
        all.into_iter()
            .filter(|tenant| tenant.id != other)
            .collect()
    };
    assert_eq!(drawn(&without_an_undrawn_one, 42), first);
}

proptest! {
    #[test]
    fn every_tenant_is_in_exactly_one_wave(
        sizes in prop::collection::vec((1..20_u32, prop::option::of(0..9_u64), any::<bool>()), 0..6),
        tenants in 0..60_usize,
    ) {
        let tenants: Vec<Tenant> =
            (0..tenants).map(|n| tenant(&format!("t{n}"), if n % 3 == 0 { "a" } else { "b" })).collect();
        let rules: Vec<WaveRule> = sizes
            .iter()
            .map(|(size, seed, is_labelled)| {
                let labels = is_labelled.then(|| ("plan".to_owned(), "a".to_owned()));
                rule("w", WaveSelector { seed: *seed, labels: labels.into_iter().collect(), ..of(*size) })
            })
            .collect();
        let references: Vec<&Tenant> = tenants.iter().collect();
        let waves = divide(&references, &rules);
        let mut all: Vec<TenantId> = waves.iter().flat_map(|wave| wave.tenants.clone()).collect();
        all.sort();
        let mut expected: Vec<TenantId> = tenants.iter().map(|tenant| tenant.id.clone()).collect();
        expected.sort();
        prop_assert_eq!(all, expected);
    }
}
