//! Tests of comparing, grouping and hashing.

use std::collections::HashMap;
use std::sync::Arc;

use super::*;
use crate::tenant::{DatabaseName, SchemaName, TenantId};

fn item(kind: Kind, table: Option<&str>, name: &str, definition: &str) -> Item {
    Item {
        kind,
        table: table.map(str::to_owned),
        name: name.to_owned(),
        definition: definition.to_owned(),
        raw: None,
    }
}

fn shape(items: &[Item]) -> Shape {
    Shape::new(items.iter().cloned().map(Arc::new).collect())
}

fn customers() -> Vec<Item> {
    vec![
        item(Kind::Table, None, "customers", ""),
        item(
            Kind::Column,
            Some("customers"),
            "customers.id",
            "integer not null",
        ),
        item(Kind::Column, Some("customers"), "customers.email", "text"),
        item(
            Kind::Constraint,
            Some("customers"),
            "customers_pkey",
            "PRIMARY KEY (id)",
        ),
        item(
            Kind::Comment,
            None,
            "column customers.email",
            "where to write to",
        ),
    ]
}

fn texts(differences: &[Difference]) -> Vec<String> {
    differences.iter().map(ToString::to_string).collect()
}

fn tenant(schema: &str) -> TenantId {
    TenantId {
        database: DatabaseName::new("main"),
        schema: SchemaName::parse(schema).unwrap(),
    }
}

#[test]
fn a_fingerprint_does_not_know_the_order_of_its_items() {
    let mut backwards = customers();
    backwards.reverse();
    let fingerprint = shape(&customers()).fingerprint();
    assert_eq!(shape(&backwards).fingerprint(), fingerprint);
    backwards.pop();
    assert_ne!(shape(&backwards).fingerprint(), fingerprint);
}

#[test]
fn what_is_missing_additional_and_different_is_told_apart() {
    let mut other = customers();
    other[2] = item(
        Kind::Column,
        Some("customers"),
        "customers.email",
        "text not null",
    );
    other[3] = item(
        Kind::Index,
        Some("customers"),
        "customers_email",
        "CREATE INDEX …",
    );
    let differences = differences(&shape(&other), &shape(&customers()));
    assert_eq!(
        texts(&differences),
        [
            "column customers.email is different",
            "constraint customers_pkey on customers is missing",
            "index customers_email on customers is additional",
        ]
    );
    assert_eq!(differences[0].expected.as_deref(), Some("text"));
    assert_eq!(differences[0].found.as_deref(), Some("text not null"));
}

#[test]
fn nothing_is_said_of_what_belongs_to_a_table_that_is_missing() {
    let none = shape(&[]);
    let all = shape(&customers());
    assert_eq!(
        texts(&differences(&none, &all)),
        ["table customers is missing"]
    );
    assert_eq!(
        texts(&differences(&all, &none)),
        ["table customers is additional"]
    );
    let without_column = shape(&[&customers()[..2], &customers()[3..4]].concat());
    assert_eq!(
        texts(&differences(&without_column, &all)),
        ["column customers.email is missing"]
    );
}

#[test]
fn nothing_is_said_of_comments_on_what_is_missing() {
    let all = shape(&[
        item(Kind::Domain, None, "email", "as text"),
        item(Kind::Statistics, Some("customers"), "st", "ON a, b"),
        item(Kind::Comment, None, "constraint c on domain email", "an @"),
        item(Kind::Comment, None, "statistics st", "they go together"),
    ]);
    assert_eq!(
        texts(&differences(&shape(&[]), &all)),
        [
            "domain email is missing",
            "statistics st on customers is missing"
        ]
    );
}

#[test]
fn an_own_name_and_the_same_letters_are_no_difference() {
    let body = |definition: &str, raw: Option<&str>| Item {
        raw: raw.map(str::to_owned),
        ..item(Kind::Function, None, "touch()", definition)
    };
    let of_api = body(
        "set search_path to {schema} as '{schema}.example.com'",
        Some("set search_path to api as 'api.example.com'"),
    );
    let of_acme = body(
        "set search_path to {schema} as 'api.example.com'",
        Some("set search_path to acme as 'api.example.com'"),
    );
    let of_zeta = body(
        "set search_path to {schema} as 'app.example.com'",
        Some("set search_path to zeta as 'app.example.com'"),
    );
    assert!(of_api.is_like(&of_acme) && of_acme.is_like(&of_api));
    assert!(!of_api.is_like(&of_zeta) && !of_zeta.is_like(&of_acme));
    let at_the_end = body("as {schema}", Some("as api"));
    assert!(at_the_end.is_like(&body("as api", None)));
    assert!(!at_the_end.is_like(&body("as apis", None)));
}

/// A policy that was copied from another tenant with its name.
#[test]
fn the_name_of_another_tenant_is_a_difference_where_several_have_their_own() {
    let policy = |definition: &str, raw: Option<&str>| {
        let item = Item {
            raw: raw.map(str::to_owned),
            ..item(Kind::Policy, Some("t"), "p", definition)
        };
        Arc::new(Shape::new(vec![Arc::new(item)]))
    };
    let own = policy("x = '{schema}'", Some("x = 't_1'"));
    let copied = policy("x = 't_1'", None);
    let of = |tenants: &[(&str, &Arc<Shape>)]| {
        let tenants: Vec<_> = tenants
            .iter()
            .map(|(name, shape)| (tenant(name), 1, shape.fingerprint()))
            .collect();
        let shapes = [&own, &copied].map(|shape| (shape.fingerprint(), Arc::clone(shape)));
        let shapes = HashMap::from(shapes);
        let versions = group(tenants, |fingerprint| shapes.get(&fingerprint).cloned());
        versions[0].groups.len()
    };
    assert_eq!(of(&[("t_1", &own), ("t_2", &copied), ("t_3", &own)]), 2);
    // all of them may say the same word, of which one tenant has the name
    assert_eq!(of(&[("t_1", &own), ("t_2", &copied), ("t_3", &copied)]), 1);
}

#[test]
fn tenants_are_grouped_by_shape_within_a_version() {
    let shapes: HashMap<Fingerprint, Arc<Shape>> = [shape(&customers()), shape(&[])]
        .into_iter()
        .map(|shape| (shape.fingerprint(), Arc::new(shape)))
        .collect();
    let (full, empty) = (shape(&customers()).fingerprint(), shape(&[]).fingerprint());
    let tenants = [
        ("a", 1, empty),
        ("b", 2, full),
        ("c", 2, empty),
        ("d", 2, full),
    ];
    let versions = group(
        tenants.map(|(name, version, fingerprint)| (tenant(name), version, fingerprint)),
        |fingerprint| shapes.get(&fingerprint).cloned(),
    );
    let sizes: Vec<_> = versions
        .iter()
        .map(|version| {
            let sizes: Vec<usize> = version.groups.iter().map(|g| g.tenants.len()).collect();
            (version.version, sizes)
        })
        .collect();
    assert_eq!(sizes, [(1, vec![1]), (2, vec![2, 1])]);
    assert_eq!(versions[1].majority().unwrap().fingerprint, full);
}

#[test]
fn half_of_the_tenants_are_no_majority() {
    let (one, other) = (Fingerprint([1; 16]), Fingerprint([2; 16]));
    let versions = group([(tenant("b"), 1, one), (tenant("a"), 1, other)], |_| None);
    assert!(versions[0].majority().is_none());
    assert_eq!(
        versions[0].groups[0].fingerprint, other,
        "the first tenant's comes first"
    );
}

#[test]
fn every_word_of_a_kind_is_its_own() {
    for kind in Kind::ALL {
        assert_eq!(Kind::of_word(kind.word()), Some(*kind));
    }
}
