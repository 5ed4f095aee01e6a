//! Tenants grouped by shape, among those of one version.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Fingerprint, Shape};
use crate::tenant::TenantId;

/// Tenants of one shape.
#[derive(Clone, Debug)]
pub struct Group {
    /// What their shapes have in common.
    pub fingerprint: Fingerprint,
    /// The shape.
    pub shape: Arc<Shape>,
    /// The tenants, sorted.
    pub tenants: Vec<TenantId>,
}

/// The tenants of one version.
#[derive(Clone, Debug)]
pub struct VersionGroups<V> {
    /// Which version.
    pub version: V,
    /// Groups, the largest first; of groups of one size the one with the first tenant.
    pub groups: Vec<Group>,
}

impl<V> VersionGroups<V> {
    /// The shape that more than half of the tenants have. One tenant alone is no majority of anything, and needs none.
    pub fn majority(&self) -> Option<&Group> {
        let all: usize = self.groups.iter().map(|group| group.tenants.len()).sum();
        self.groups
            .first()
            .filter(|group| group.tenants.len() * 2 > all)
    }
}

/// Groups tenants by version and shape. Shapes whose fingerprints differ and that differ in no item (see
/// [`super::Item::is_like`]) are one.
pub fn group<V: Ord + Clone>(
    tenants: impl IntoIterator<Item = (TenantId, V, Fingerprint)>,
    shape_of: impl Fn(Fingerprint) -> Option<Arc<Shape>>,
) -> Vec<VersionGroups<V>> {
    let mut versions: BTreeMap<V, BTreeMap<Fingerprint, Vec<TenantId>>> = BTreeMap::new();
    for (tenant, version, fingerprint) in tenants {
        let of_version = versions.entry(version).or_default();
        of_version.entry(fingerprint).or_default().push(tenant);
    }
    let with_shape = |(fingerprint, mut tenants): (Fingerprint, Vec<TenantId>)| {
        tenants.sort();
        let mut shape = shape_of(fingerprint).unwrap_or_default();
        if shape.has_names_taken_out() && has_several_names(&tenants) {
            shape = Arc::new(shape.of_several_names());
        }
        Group {
            fingerprint,
            shape,
            tenants,
        }
    };
    let versions = versions.into_iter().map(|(version, groups)| {
        let mut groups: Vec<Group> = groups.into_iter().map(with_shape).collect();
        sort(&mut groups);
        VersionGroups {
            version,
            groups: merged(groups),
        }
    });
    versions.collect()
}

/// Whether the tenants have not all one name, each in a database of its own.
fn has_several_names(tenants: &[TenantId]) -> bool {
    let first = tenants.first().map(|tenant| &tenant.schema);
    tenants.iter().any(|tenant| Some(&tenant.schema) != first)
}

fn sort(groups: &mut [Group]) {
    groups.sort_by(|a, b| {
        let by_size = b.tenants.len().cmp(&a.tenants.len());
        by_size.then_with(|| a.tenants.first().cmp(&b.tenants.first()))
    });
}

/// Makes one group of those that differ in no item.
fn merged(groups: Vec<Group>) -> Vec<Group> {
    let mut merged: Vec<Group> = Vec::with_capacity(groups.len());
    for group in groups {
        let has_texts = group.shape.has_names_taken_out();
        let is_same = |other: &&mut Group| {
            (has_texts || other.shape.has_names_taken_out()) && group.shape.is_same(&other.shape)
        };
        match merged.iter_mut().find(is_same) {
            Some(same) => {
                same.tenants.extend(group.tenants);
                same.tenants.sort();
            }
            None => merged.push(group),
        }
    }
    sort(&mut merged);
    merged
}
