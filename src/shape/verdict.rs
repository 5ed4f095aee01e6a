//! What comes out when tenants are compared: who is as he ought to be, who is not, and who could not be looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Difference, Group, Shape, VersionGroups, differences};
use crate::migration::Version;
use crate::tenant::TenantId;

/// All that a comparison has found.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// The versions that tenants are at.
    pub versions: Vec<ComparedVersion>,
    /// Tenants that were not compared.
    pub apart: Vec<Apart>,
    /// Tenants that may differ, and were not looked at.
    pub excluded: Vec<TenantId>,
}

/// The tenants of one version.
#[derive(Clone, Debug)]
pub struct ComparedVersion {
    /// Which version.
    pub version: Version,
    /// What they were compared with.
    pub standard: Standard,
    /// The shape that they ought to have.
    pub expected: Arc<Shape>,
    /// Tenants of one shape, the largest group first.
    pub groups: Vec<ComparedGroup>,
}

/// What the tenants of a version are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standard {
    /// The shape that more than half of them have.
    Majority,
    /// The shape that most of them have, which are half of them or fewer; of several the one with the first tenant.
    Largest,
    /// The set, applied to an empty schema.
    Reference,
    /// The set ought to have been it, and does not hold the version: the largest group.
    NoReference,
}

/// Tenants of one shape, and how it differs from the one that they ought to have.
#[derive(Clone, Debug)]
pub struct ComparedGroup {
    /// The tenants.
    pub group: Group,
    /// None where they are as they ought to be.
    pub differences: Vec<Difference>,
}

/// A tenant that was not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apart {
    /// Which one.
    pub tenant: TenantId,
    /// Why.
    pub reason: String,
    /// Whether somebody has to look at it. A tenant that is still to be created has nothing to be compared.
    pub is_finding: bool,
}

impl ComparedVersion {
    /// How many tenants are at this version.
    pub fn tenants(&self) -> usize {
        self.groups
            .iter()
            .map(|group| group.group.tenants.len())
            .sum()
    }

    /// Groups that are not as they ought to be.
    pub fn outliers(&self) -> impl Iterator<Item = &ComparedGroup> {
        self.groups
            .iter()
            .filter(|group| !group.differences.is_empty())
    }

    /// Invalid indexes, each with its tenants.
    pub fn invalid_indexes(&self) -> BTreeMap<String, Vec<&TenantId>> {
        let mut invalid: BTreeMap<String, Vec<&TenantId>> = BTreeMap::new();
        for ComparedGroup { group, .. } in &self.groups {
            for index in group.shape.invalid_indexes() {
                let tenants = invalid.entry(index.to_string()).or_default();
                tenants.extend(&group.tenants);
            }
        }
        invalid
    }
}

impl Verification {
    /// Tenants that were compared.
    pub fn compared(&self) -> usize {
        self.versions.iter().map(ComparedVersion::tenants).sum()
    }

    /// Tenants that are not as they ought to be.
    pub fn differing(&self) -> usize {
        let outliers = self.versions.iter().flat_map(ComparedVersion::outliers);
        outliers.map(|group| group.group.tenants.len()).sum()
    }

    /// Whether there is anything that somebody has to look at.
    pub fn has_findings(&self) -> bool {
        self.differing() > 0
            || self.apart.iter().any(|apart| apart.is_finding)
            || self.versions.iter().any(|version| {
                version.standard == Standard::NoReference || !version.invalid_indexes().is_empty()
            })
    }
}

/// Compares the groups of each version with the reference, where there is one, and else with the largest of them.
pub fn compare(
    versions: Vec<VersionGroups<Version>>,
    reference: Option<&BTreeMap<Version, Arc<Shape>>>,
) -> Vec<ComparedVersion> {
    let compared = versions.into_iter().map(|version| {
        let largest = version.groups.first().map(|group| Arc::clone(&group.shape));
        let largest = largest.unwrap_or_default();
        let (standard, expected) = match reference.map(|shapes| shapes.get(&version.version)) {
            Some(Some(shape)) => (Standard::Reference, Arc::clone(shape)),
            Some(None) => (Standard::NoReference, largest),
            None if version.majority().is_some() => (Standard::Majority, largest),
            None => (Standard::Largest, largest),
        };
        let groups = version.groups.into_iter().map(|group| ComparedGroup {
            differences: differences(&group.shape, &expected),
            group,
        });
        ComparedVersion {
            version: version.version,
            standard,
            groups: groups.collect(),
            expected,
        }
    });
    compared.collect()
}
