//! Which of some tenants are unlike the others of their version, and in what they were so before.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

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
    /// A hash of the definition that the tenant had.
    found: Option<String>,
    /// A hash of the one that the others had.
    expected: Option<String>,
}

impl Oddity {
    fn of(difference: &Difference) -> Self {
        Self {
            change: difference.change.word().to_owned(),
            kind: difference.kind.word().to_owned(),
            table: difference.table.clone(),
            name: difference.name.clone(),
            found: hash_of(difference.found.as_deref()),
            expected: hash_of(difference.expected.as_deref()),
        }
    }

    fn is_about(&self, difference: &Difference) -> bool {
        self.name == difference.name
            && self.table == difference.table
            && self.kind == difference.kind.word()
    }

    /// Whether a difference in the same thing is this one still: what one had alone, or lacked alone, and what since
    /// then both sides have changed, or neither. What one side alone has changed, the other one ought to have changed too.
    fn is_still(&self, difference: &Difference) -> bool {
        let has_changed = hash_of(difference.found.as_deref()) != self.found;
        let have_changed = hash_of(difference.expected.as_deref()) != self.expected;
        let is_of_one_side = difference.change != Change::Different;
        self.change == difference.change.word() && (is_of_one_side || has_changed == have_changed)
    }

    /// Whether a difference is this one under another name, where its table was renamed, or it was itself.
    fn was_renamed_to(&self, difference: &Difference) -> bool {
        let other = Self::of(difference);
        let is_defined_so = (&self.found, &self.expected) == (&other.found, &other.expected);
        let is_the_thing = if self.table == other.table {
            is_defined_so
        } else {
            local(&self.name) == local(&other.name)
        };
        (&self.kind, &self.change) == (&other.kind, &other.change) && is_the_thing
    }
}

/// So much of a definition as tells it from another one.
fn hash_of(definition: Option<&str>) -> Option<String> {
    let hash = Sha256::digest(definition?);
    Some(hash[..8].iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// A name without that of its table.
fn local(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, local)| local)
}

/// In what tenants differed from the others before they were migrated.
pub type Before = HashMap<TenantId, Vec<Oddity>>;

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

    /// The versions that there are.
    pub fn versions(&self) -> BTreeSet<V> {
        let versions = self.tenants.iter();
        versions.map(|(_, version, _)| version.clone()).collect()
    }

    /// The tenants that nobody else can be compared with.
    pub fn alone(&self) -> Vec<TenantId> {
        let groups = self.groups().into_iter().filter_map(|of| {
            let tenants = of.groups.into_iter().flat_map(|group| group.tenants);
            let tenants: Vec<TenantId> = tenants.collect();
            (tenants.len() == 1).then_some(tenants)
        });
        groups.flatten().collect()
    }

    /// The tenants that have the shape of a majority, of more than themselves.
    pub fn proven(&self) -> HashSet<TenantId> {
        let groups = self.groups();
        let majorities = groups.iter().filter_map(VersionGroups::majority);
        let majorities = majorities.filter(|group| group.tenants.len() > 1);
        majorities
            .flat_map(|group| group.tenants.iter().cloned())
            .collect()
    }

    /// Takes tenants out.
    pub fn forget(&mut self, is_out: impl Fn(&TenantId) -> bool) {
        self.tenants.retain(|(tenant, ..)| !is_out(tenant));
    }

    /// The same with others.
    pub fn add(&mut self, others: Self) {
        self.tenants.extend(others.tenants);
        self.shapes.extend(others.shapes);
    }

    /// In what tenants differ from most others of their version. Where there is no majority, one that differs from
    /// the others says something of each of them as well.
    pub fn oddities(&self) -> Before {
        let mut odd = Before::new();
        for of in self.groups() {
            for (group, other) in of.unlike() {
                let found = differences(&group.shape, &other.shape);
                let found: Vec<Oddity> = found.iter().map(Oddity::of).collect();
                let tenants = group.tenants.iter();
                odd.extend(tenants.map(|tenant| (tenant.clone(), found.clone())));
            }
        }
        odd
    }

    /// The tenants that are unlike the others: those outside of a majority, and all where there is none. A difference
    /// that the others had before is theirs alone.
    pub fn outliers(&self, before: &Before) -> Vec<Outlier<V>> {
        let mut outliers = Vec::new();
        for of in self.groups() {
            for (group, other) in of.unlike() {
                let found = differences(&group.shape, &other.shape);
                let of_others = known_of_all(other, before, &found);
                for tenant in &group.tenants {
                    let (mut new, mut old) = (Vec::new(), Vec::new());
                    let mut known = Known::of(before.get(tenant), &found);
                    for (difference, is_of_others) in found.iter().zip(&of_others) {
                        if known.has(difference) {
                            old.push(difference.clone());
                        } else if !is_of_others {
                            new.push(difference.clone());
                        }
                    }
                    if !new.is_empty() || !old.is_empty() {
                        outliers.push(Outlier {
                            tenant: tenant.clone(),
                            version: of.version.clone(),
                            new,
                            old,
                        });
                    }
                }
            }
        }
        outliers
    }
}

/// What is known of one tenant from before.
struct Known<'a> {
    odd: &'a [Oddity],
    /// Of these there is no difference any more, unless under another name.
    gone: Vec<&'a Oddity>,
}

impl<'a> Known<'a> {
    fn of(odd: Option<&'a Vec<Oddity>>, found: &[Difference]) -> Self {
        let odd = odd.map_or(&[][..], Vec::as_slice);
        let is_gone = |odd: &&Oddity| !found.iter().any(|difference| odd.is_about(difference));
        Self {
            odd,
            gone: odd.iter().filter(is_gone).collect(),
        }
    }

    /// Whether a difference was there before. One that has another name now is taken for one difference only.
    fn has(&mut self, difference: &Difference) -> bool {
        if let Some(odd) = self.odd.iter().find(|odd| odd.is_about(difference)) {
            return odd.is_still(difference);
        }
        let renamed = self
            .gone
            .iter()
            .position(|odd| odd.was_renamed_to(difference));
        renamed.map(|index| self.gone.remove(index)).is_some()
    }
}

/// By which of these differences all tenants of the other side have differed before.
fn known_of_all(others: &Group, before: &Before, found: &[Difference]) -> Vec<bool> {
    let mirrored: Vec<Difference> = found.iter().map(Difference::mirrored).collect();
    let mut of_all = vec![true; found.len()];
    for tenant in &others.tenants {
        if !of_all.contains(&true) {
            break;
        }
        let mut known = Known::of(before.get(tenant), &mirrored);
        for (is_known, difference) in of_all.iter_mut().zip(&mirrored) {
            *is_known &= known.has(difference);
        }
    }
    of_all
}

impl<V> VersionGroups<V> {
    /// The groups that are not as they ought to be, as far as that is known, each with one that it is compared with:
    /// the majority, or where there is none the largest of the others.
    fn unlike(&self) -> impl Iterator<Item = (&Group, &Group)> {
        let majority = self.majority();
        let groups = self.groups.iter().enumerate();
        groups.filter_map(move |(index, group)| {
            let other = match majority {
                Some(_) if index == 0 => None,
                Some(majority) => Some(majority),
                None => self.groups.get(usize::from(index == 0)),
            };
            Some((group, other?))
        })
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

    /// Tenants with their version and their columns, `x` or `t.x numeric`.
    fn sight(tenants: &[(&str, u64, &[&str])]) -> Sight<u64> {
        let mut sight = Sight::default();
        for (name, version, columns) in tenants {
            let columns = columns.iter().map(|column| {
                let (name, definition) = column.split_once(' ').unwrap_or((column, "integer"));
                let (table, name) = name.split_once('.').unwrap_or(("t", name));
                Item {
                    kind: Kind::Column,
                    table: Some(table.to_owned()),
                    name: format!("{table}.{name}"),
                    definition: definition.to_owned(),
                    raw: None,
                }
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

    /// What is told of tenants a, b and c, which have these columns before and after.
    fn told_of(before: [&[&str]; 3], after: [&[&str]; 3]) -> Vec<String> {
        let [a, b, c] = before;
        let past = sight(&[("a", 1, a), ("b", 1, b), ("c", 1, c)]);
        let [a, b, c] = after;
        let now = sight(&[("a", 2, a), ("b", 2, b), ("c", 2, c)]);
        told(&now, &past.oddities())
    }

    #[test]
    fn who_is_not_with_the_majority_is_an_outlier() {
        let found = told_of([&[], &[], &[]], [&["x"], &[], &["x"]]);
        assert_eq!(found, ["b: t.x missing / "]);
        assert!(told_of([&[], &[], &[]], [&["x"], &["x"], &["x"]]).is_empty());
    }

    #[test]
    fn in_a_tie_nobody_is_right_unless_others_tell() {
        let mut after = sight(&[("a", 2, &["x"]), ("b", 2, &[])]);
        let tied = ["a: t.x additional / ", "b: t.x missing / "];
        assert_eq!(told(&after, &Before::default()), tied);
        after.add(sight(&[("c", 2, &["x"])]));
        assert_eq!(told(&after, &Before::default()), ["b: t.x missing / "]);
        after.forget(|tenant| *tenant == id("a"));
        assert_eq!(told(&after, &Before::default()).len(), 2);
    }

    #[test]
    fn what_was_so_before_is_old() {
        let found = told_of([&["own"], &[], &[]], [&["own", "x"], &["x"], &["x"]]);
        assert_eq!(found, ["a:  / t.own additional"]);
    }

    #[test]
    fn what_one_had_before_is_no_difference_of_the_other() {
        let past = sight(&[("a", 1, &["own"]), ("b", 1, &[]), ("c", 1, &[])]).oddities();
        let after = sight(&[("a", 2, &["own", "x"]), ("b", 2, &["x"])]);
        assert_eq!(told(&after, &past), ["a:  / t.own additional"]);
        let after = sight(&[("a", 2, &["own"]), ("b", 2, &["x"])]);
        let tied = ["a: t.x missing / t.own additional", "b: t.x additional / "];
        assert_eq!(told(&after, &past), tied);
        // who of two is right was not known before either
        let past = sight(&[("a", 1, &["own"]), ("b", 1, &[])]).oddities();
        let after = sight(&[("a", 2, &["own"]), ("b", 2, &[])]);
        let tied = ["a:  / t.own additional", "b:  / t.own missing"];
        assert_eq!(told(&after, &past), tied);
    }

    #[test]
    fn what_the_others_have_got_is_new_though_one_had_it_before() {
        let found = told_of([&["x"], &[], &[]], [&["x"], &["x"], &[]]);
        assert_eq!(found, ["c: t.x missing / "]);
        let found = told_of([&["x text"], &[], &[]], [&["x text"], &["x"], &["x"]]);
        assert_eq!(found, ["a: t.x different / "]);
    }

    #[test]
    fn what_only_the_others_have_changed_is_new_though_it_differed_before() {
        let past = [
            &["x numeric"][..],
            &["x numeric not null"],
            &["x numeric not null"],
        ];
        let others = &["x bigint not null"][..];
        let found = told_of(past, [&["x numeric"], others, others]);
        assert_eq!(found, ["a: t.x different / "]);
        let found = told_of(past, [&["x bigint"], others, others]);
        assert_eq!(found, ["a:  / t.x different"]);
        let found = told_of(past, [&["x bigint"], past[1], past[2]]);
        assert_eq!(found, ["a: t.x different / "]);
    }

    #[test]
    fn what_one_has_alone_is_as_old_as_it_was_whatever_it_stands_on() {
        let found = told_of([&["i (balance)"], &[], &[]], [&["i (saldo)"], &[], &[]]);
        assert_eq!(found, ["a:  / t.i additional"]);
        let (before, after) = (&["i (balance)"][..], &["i (saldo)"][..]);
        let found = told_of([&[], before, before], [&[], after, after]);
        assert_eq!(found, ["a:  / t.i missing"]);
    }

    #[test]
    fn who_has_nobody_to_be_compared_with_is_alone() {
        let seen = sight(&[
            ("a", 2, &["x"]),
            ("b", 1, &[]),
            ("c", 1, &[]),
            ("d", 1, &["x"]),
        ]);
        assert_eq!(seen.alone(), [id("a")]);
        assert_eq!(seen.proven(), HashSet::from([id("b"), id("c")]));
    }

    #[test]
    fn what_was_renamed_is_as_old_as_it_was() {
        let found = told_of(
            [&["t.own", "t.x"], &["t.x"], &["t.x"]],
            [&["u.own", "u.x"], &["u.x"], &["u.x"]],
        );
        assert_eq!(found, ["a:  / u.own additional"]);
        let (drifted, others) = (&["x text"][..], &["x integer"][..]);
        let found = told_of([drifted, others, others], [&["y text"], &["y"], &["y"]]);
        assert_eq!(found, ["a:  / t.y different"]);
        // one difference becomes one, not two
        let found = told_of([&["own"], &[], &[]], [&["y", "z"], &[], &[]]);
        assert_eq!(found, ["a: t.z additional / t.y additional"]);
    }

    #[test]
    fn an_oddity_is_remembered_as_json() {
        let past = sight(&[("a", 1, &["own"]), ("b", 1, &[]), ("c", 1, &[])]).oddities();
        let kept = serde_json::to_value(&past[&id("a")]).unwrap();
        let hash = hash_of(Some("integer")).unwrap();
        assert_eq!(
            kept,
            serde_json::json!([{
                "change": "additional", "kind": "column", "table": "t", "name": "t.own", "found": hash, "expected": null
            }])
        );
        let again: Vec<Oddity> = serde_json::from_value(kept).unwrap();
        assert_eq!(again, past[&id("a")]);
    }
}
