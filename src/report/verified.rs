//! What `verify` has found of the tenants that were asked for, and beside whom they were seen.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use crate::migration::Version;
use crate::shape::{ComparedVersion, Fingerprint, Standard, Verification};
use crate::tenant::TenantId;

/// Who is asked for is compared with all tenants: a selection says of whom it is told, not what is right.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Of the tenants that were asked for.
    pub asked: Verification,
    whole: BTreeMap<Version, Whole>,
    /// Whether others were looked at too.
    pub(super) is_part: bool,
}

/// All tenants of a version.
#[derive(Clone, Debug, Default)]
pub(super) struct Whole {
    /// How many have each shape, the most first.
    pub(super) sizes: Vec<usize>,
    /// The first of those that are the most.
    pub(super) first: Option<TenantId>,
    majority: Option<Fingerprint>,
}

impl Verified {
    /// Where all were asked for.
    pub fn of_all(verification: Verification) -> Self {
        let whole = verification.versions.iter();
        Self {
            whole: whole.map(|of| (of.version, Whole::of(of))).collect(),
            asked: verification,
            is_part: false,
        }
    }

    /// Where some were asked for.
    pub fn of_some(verification: Verification, asked: &HashSet<TenantId>) -> Self {
        let mut verified = Self::of_all(verification);
        let part = &mut verified.asked;
        for version in &mut part.versions {
            for group in &mut version.groups {
                group.group.tenants.retain(|id| asked.contains(id));
            }
            let groups = &mut version.groups;
            groups.retain(|group| !group.group.tenants.is_empty());
        }
        part.versions.retain(|version| !version.groups.is_empty());
        part.apart.retain(|apart| asked.contains(&apart.tenant));
        part.excluded.retain(|tenant| asked.contains(tenant));
        verified.is_part = true;
        verified
    }

    /// Whether there is anything that somebody has to look at.
    pub fn has_findings(&self) -> bool {
        self.asked.has_findings() || self.is_vacuous() || self.undecided() > 0
    }

    /// Whether tenants were asked for, and none of them could be compared.
    pub fn is_vacuous(&self) -> bool {
        let (apart, excluded) = (&self.asked.apart, &self.asked.excluded);
        self.asked.compared() == 0 && !(apart.is_empty() && excluded.is_empty())
    }

    /// All tenants of a version.
    pub(super) fn whole(&self, version: Version) -> &Whole {
        const NONE: &Whole = &Whole {
            sizes: Vec::new(),
            first: None,
            majority: None,
        };
        self.whole.get(&version).unwrap_or(NONE)
    }

    /// With how many others they were compared.
    pub(super) fn others(&self) -> usize {
        let versions = self.asked.versions.iter();
        let all = versions.map(|of| self.whole(of.version).tenants());
        all.sum::<usize>() - self.asked.compared()
    }

    /// How many indexes are invalid, whoever has them.
    pub(super) fn invalid_indexes(&self) -> usize {
        let versions = self.asked.versions.iter();
        let names: BTreeSet<String> = versions
            .flat_map(|version| version.invalid_indexes().into_keys())
            .collect();
        names.len()
    }

    /// How many tenants could not be compared, and ought to have been.
    pub(super) fn missed(&self) -> usize {
        let apart = self.asked.apart.iter();
        apart.filter(|apart| apart.is_finding).count()
    }

    /// How many versions have no shape that is that of most, where it is not told of all their tenants: somebody differs,
    /// and nobody knows who.
    pub(super) fn undecided(&self) -> usize {
        let versions = self.asked.versions.iter().filter(|_| self.is_part);
        let is_open = |version: &&ComparedVersion| {
            version.standard == Standard::Largest && self.whole(version.version).sizes.len() > 1
        };
        versions.filter(is_open).count()
    }

    /// How many versions lack the reference that was asked for.
    pub(super) fn without_reference(&self) -> usize {
        let versions = self.asked.versions.iter();
        versions
            .filter(|version| version.standard == Standard::NoReference)
            .count()
    }
}

impl Whole {
    fn of(version: &ComparedVersion) -> Self {
        let sizes = version.groups.iter().map(|of| of.group.tenants.len());
        let all = version.tenants();
        let first = version.groups.first().map(|of| &of.group);
        Self {
            sizes: sizes.collect(),
            first: first.and_then(|group| group.tenants.first().cloned()),
            majority: first
                .filter(|group| group.tenants.len() * 2 > all)
                .map(|group| group.fingerprint),
        }
    }

    /// How many there are.
    pub(super) fn tenants(&self) -> usize {
        self.sizes.iter().sum()
    }

    /// Whether more than half of them have this shape.
    pub(super) fn is_majority(&self, fingerprint: Fingerprint) -> bool {
        self.majority == Some(fingerprint)
    }
}
