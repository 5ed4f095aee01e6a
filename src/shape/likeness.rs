//! Which of some tenants are unlike the others of their version, and in what they were so before.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Change, Difference, Fingerprint, Group, Shape, VersionGroups, differences, group};
use crate::tenant::TenantId;

/// Tenants as they were seen at one moment, with their versions.
#[derive(Clone, Debug)]
pub struct Sight<V> {
    /// Each with its version and its shape.
    pub tenants: Vec<(TenantId, V, Fingerprint)>,
    /// The shapes.
    pub shapes: HashMap<Fingerprint, Arc<Shape>>,
}

impl<V> Default for Sight<V> {
    fn default() -> Self {
        Self {
            tenants: Vec::new(),
            shapes: HashMap::new(),
        }
    }
}

/// One thing in which a tenant differed from others, as it is remembered from run to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Oddity {
    change: String,
    kind: String,
    table: Option<String>,
    name: String,
}

impl Oddity {
    fn of(difference: &Difference) -> Self {
        Self {
            change: difference.change.word().to_owned(),
            kind: difference.kind.word().to_owned(),
            table: difference.table.clone(),
            name: difference.name.clone(),
        }
    }

    fn is_about(&self, difference: &Difference) -> bool {
        self.name == difference.name
            && self.table == difference.table
            && self.kind == difference.kind.word()
            && self.change == difference.change.word()
    }
}

/// What is known of tenants from before they were migrated.
#[derive(Clone, Debug, Default)]
pub struct Before {
    /// In what a tenant differed from the others.
    pub odd: HashMap<TenantId, Vec<Oddity>>,
    /// Its shape, as far as this process has seen it.
    pub shapes: HashMap<TenantId, Arc<Shape>>,
}

/// A tenant that is unlike the others.
#[derive(Clone, Debug)]
pub struct Outlier<V> {
    /// Which one.
    pub tenant: TenantId,
    /// Its version.
    pub version: V,
    /// In what it was not so before.
    pub new: Vec<Difference>,
    /// In what it was so before.
    pub old: Vec<Difference>,
}

impl<V: Ord + Clone> Sight<V> {
    fn groups(&self) -> Vec<VersionGroups<V>> {
        let shape = |print| self.shapes.get(&print).cloned();
        group(self.tenants.iter().cloned(), shape)
    }

    /// The versions whose tenants alone do not tell what is right: there is one tenant, or no majority.
    pub fn undecided(&self) -> Vec<V> {
        let groups = self.groups().into_iter();
        let groups = groups.filter(|of| of.tenants() < 2 || of.majority().is_none());
        groups.map(|of| of.version).collect()
    }

    /// The shape of each.
    pub fn by_tenant(&self) -> HashMap<TenantId, Arc<Shape>> {
        let tenants = self.tenants.iter();
        let shapes = tenants.filter_map(|(id, _, print)| {
            let shape = self.shapes.get(print)?;
            Some((id.clone(), Arc::clone(shape)))
        });
        shapes.collect()
    }

    /// The same with others.
    pub fn add(&mut self, others: Self) {
        self.tenants.extend(others.tenants);
        self.shapes.extend(others.shapes);
    }

    /// In what tenants differ from most others of their version. Where all others are alike, one that differs from
    /// them says something of each of them as well.
    pub fn oddities(&self) -> HashMap<TenantId, Vec<Oddity>> {
        let mut odd = HashMap::new();
        for of in self.groups() {
            for (index, group) in of.groups.iter().enumerate() {
                let Some(other) = of.other_than(index) else {
                    continue;
                };
                let found = differences(&group.shape, &other.shape);
                let found: Vec<Oddity> = found.iter().map(Oddity::of).collect();
                let tenants = group.tenants.iter();
                odd.extend(tenants.map(|tenant| (tenant.clone(), found.clone())));
            }
        }
        odd
    }

    /// The tenants that are unlike the others: those outside of a majority, and all where there is none.
    pub fn outliers(&self, before: &Before) -> Vec<Outlier<V>> {
        let mut outliers = Vec::new();
        for of in self.groups() {
            let has_majority = of.majority().is_some();
            for (index, group) in of.groups.iter().enumerate() {
                // the majority is the first
                let is_right = has_majority && index == 0;
                let Some(other) = of.other_than(index).filter(|_| !is_right) else {
                    continue;
                };
                let found = differences(&group.shape, &other.shape);
                if found.is_empty() {
                    // a name of its own in one text was plain letters in the other
                    continue;
                }
                for tenant in &group.tenants {
                    let odd = before.odd.get(tenant).map_or(&[][..], Vec::as_slice);
                    let is_old = |difference: &Difference| {
                        odd.iter().any(|odd| odd.is_about(difference))
                            && !before.has_changed(other, difference)
                    };
                    let (old, new) = found.iter().cloned().partition(is_old);
                    outliers.push(Outlier {
                        tenant: tenant.clone(),
                        version: of.version.clone(),
                        new,
                        old,
                    });
                }
            }
        }
        outliers
    }
}

impl Before {
    /// Whether a difference comes from a change of the others: they have got, or lost, what the tenant has not, or has.
    fn has_changed(&self, others: &Group, difference: &Difference) -> bool {
        let others = others.tenants.iter();
        let mut seen = others.filter_map(|tenant| self.shapes.get(tenant));
        let table = difference.table.as_deref();
        let had = |shape: &Arc<Shape>| {
            let item = shape.get(difference.kind, table, &difference.name);
            item.is_some()
        };
        match difference.change {
            Change::Missing => seen.any(|shape| !had(shape)),
            Change::Additional => seen.any(had),
            Change::Different => false,
        }
    }
}

impl<V> VersionGroups<V> {
    fn tenants(&self) -> usize {
        self.groups.iter().map(|group| group.tenants.len()).sum()
    }

    /// The largest group but this one.
    fn other_than(&self, index: usize) -> Option<&Group> {
        let mut groups = self.groups.iter().enumerate();
        groups.find(|(other, _)| *other != index).map(|(_, g)| g)
    }
}

/// `constraint orders_check on orders is missing (and 2 more)`.
pub fn in_short(differences: &[Difference]) -> String {
    let Some(first) = differences.first() else {
        return String::new();
    };
    match differences.len() - 1 {
        0 => first.to_string(),
        more => format!("{first} (and {more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Item, Kind};
    use super::*;
    use crate::tenant::{DatabaseName, SchemaName};

    fn id(name: &str) -> TenantId {
        TenantId {
            database: DatabaseName::new("main"),
            schema: SchemaName::parse(name).unwrap(),
        }
    }

    /// Tenants with their version and the names of their columns.
    fn sight(tenants: &[(&str, u64, &[&str])]) -> Sight<u64> {
        let mut sight = Sight::default();
        for (name, version, columns) in tenants {
            let columns = columns.iter().map(|column| Item {
                kind: Kind::Column,
                table: Some("t".to_owned()),
                name: format!("t.{column}"),
                definition: "integer".to_owned(),
                raw: None,
            });
            let shape = Shape::new(columns.map(Arc::new).collect());
            let fingerprint = shape.fingerprint();
            sight.shapes.insert(fingerprint, Arc::new(shape));
            sight.tenants.push((id(name), *version, fingerprint));
        }
        sight
    }

    /// `tenant: new / old`.
    fn told(sight: &Sight<u64>, before: &Before) -> Vec<String> {
        let names = |found: &[Difference]| {
            let names: Vec<String> = found
                .iter()
                .map(|d| format!("{} {}", d.name, d.change.word()))
                .collect();
            names.join(", ")
        };
        let shown = |outlier: &Outlier<u64>| {
            let (new, old) = (names(&outlier.new), names(&outlier.old));
            format!("{}: {new} / {old}", outlier.tenant.schema)
        };
        sight.outliers(before).iter().map(shown).collect()
    }

    fn before(sight: &Sight<u64>) -> Before {
        Before {
            odd: sight.oddities(),
            shapes: sight.by_tenant(),
        }
    }

    #[test]
    fn who_is_not_with_the_majority_is_an_outlier() {
        let after = sight(&[("a", 2, &["x"]), ("b", 2, &[]), ("c", 2, &["x"])]);
        assert_eq!(told(&after, &Before::default()), ["b: t.x missing / "]);
        assert!(after.undecided().is_empty());
        let equal = sight(&[("a", 2, &["x"]), ("b", 2, &["x"]), ("c", 1, &[])]);
        assert!(told(&equal, &Before::default()).is_empty());
        assert_eq!(equal.undecided(), [1]);
    }

    #[test]
    fn in_a_tie_nobody_is_right_unless_others_tell() {
        let mut after = sight(&[("a", 2, &["x"]), ("b", 2, &[])]);
        assert_eq!(after.undecided(), [2]);
        let tied = ["a: t.x additional / ", "b: t.x missing / "];
        assert_eq!(told(&after, &Before::default()), tied);
        after.add(sight(&[("c", 2, &["x"])]));
        assert_eq!(told(&after, &Before::default()), ["b: t.x missing / "]);
    }

    #[test]
    fn what_was_so_before_is_old_also_for_those_who_were_right() {
        let past = sight(&[("a", 1, &["own"]), ("b", 1, &[]), ("c", 1, &[])]);
        let past = before(&past);
        let after = sight(&[("a", 2, &["own", "x"]), ("b", 2, &["x"]), ("c", 2, &["x"])]);
        assert_eq!(told(&after, &past), ["a:  / t.own additional"]);
        // c was not migrated, and who is right is not known any more
        let after = sight(&[("a", 2, &["own", "x"]), ("b", 2, &["x"])]);
        let tied = ["a:  / t.own additional", "b:  / t.own missing"];
        assert_eq!(told(&after, &past), tied);
    }

    #[test]
    fn what_the_others_have_got_is_new_though_one_had_it_before() {
        let past = sight(&[
            ("a", 1, &["x"]),
            ("b", 1, &[]),
            ("c", 1, &[]),
            ("d", 1, &[]),
        ]);
        let past = before(&past);
        let after = sight(&[
            ("a", 2, &["x"]),
            ("b", 2, &["x"]),
            ("c", 2, &[]),
            ("d", 2, &["x"]),
        ]);
        assert_eq!(told(&after, &past), ["c: t.x missing / "]);
    }

    #[test]
    fn an_oddity_is_remembered_as_json() {
        let past = sight(&[("a", 1, &["own"]), ("b", 1, &[]), ("c", 1, &[])]).oddities();
        let kept = serde_json::to_value(&past[&id("a")]).unwrap();
        assert_eq!(
            kept.to_string(),
            r#"[{"change":"additional","kind":"column","name":"t.own","table":"t"}]"#
        );
        let again: Vec<Oddity> = serde_json::from_value(kept).unwrap();
        assert_eq!(again, past[&id("a")]);
    }
}
