//! The shape of a tenant: what its schema holds, with the schema's own name taken out, so that equal tenants have
//! equal shapes. Here are the comparing, the grouping and the words; `catalog` reads shapes.
//!
//! What is no part of a shape, and why:
//!
//! - the order of columns: a column that was added by hand and dropped again, or repaired later than in the others,
//!   would show for ever, and no statement can put it right. Columns are compared by name;
//! - owners: where every tenant has a role of its own they differ by design;
//! - what changes while tenants work or are maintained: values of sequences, statistics, on which index a table was
//!   clustered, whether a materialized view is filled;
//! - names that nobody gave: those of NOT NULL constraints, of triggers behind constraints, of TOAST tables;
//! - members of extensions: the extension itself is one item, with its version;
//! - casts, conversions, text search parsers and templates, operator families without a class, options of TOAST tables:
//!   few schemas have any, and no data depend on them alone.

mod difference;
mod fix;
mod group;
mod item;
mod likeness;
mod own_name;
mod verdict;

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

pub use difference::{Change, Difference, differences};
pub use fix::{Place, fix_plan};
pub use group::{Group, VersionGroups, group};
pub use item::{Item, Kind};
pub use likeness::{Before, Oddity, Outlier, Sight, in_short};
pub use verdict::{Apart, ComparedGroup, ComparedVersion, Standard, Verification, compare};

/// A placeholder in definitions for the name of the tenant's own schema.
pub const OWN_SCHEMA: &str = "{schema}";

/// What two equal shapes have in common: 128 bits of a hash over all items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// All items of one tenant, sorted. Shapes share the items that they have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    items: Vec<Arc<Item>>,
    has_certain_names: bool,
}

impl Shape {
    /// The shape that these items make, in whatever order they come.
    pub fn new(mut items: Vec<Arc<Item>>) -> Self {
        items.sort();
        Self {
            items,
            has_certain_names: false,
        }
    }

    /// The same, of tenants that are called differently: what was taken out of its texts is their own name for
    /// certain, and no letters that all tenants have there.
    pub(super) fn of_several_names(&self) -> Self {
        Self {
            items: self.items.clone(),
            has_certain_names: true,
        }
    }

    /// Whether an item of this shape is like one of another.
    pub(super) fn is_like(&self, own: &Item, (other, of_other): (&Self, &Item)) -> bool {
        own.is_like_in((self.has_certain_names, other.has_certain_names), of_other)
    }

    /// Whether all items are alike.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.items.len() == other.items.len()
            && self.items.iter().zip(&other.items).all(|(own, of_other)| {
                Arc::ptr_eq(own, of_other)
                    || (own.key() == of_other.key() && self.is_like(own, (other, of_other)))
            })
    }

    /// Its items, those of a kind together, by name.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.iter().map(AsRef::as_ref)
    }

    /// The item of a kind and a name.
    pub fn get(&self, kind: Kind, table: Option<&str>, name: &str) -> Option<&Item> {
        let wanted = (kind, table, name);
        let found = self.items.binary_search_by(|item| item.key().cmp(&wanted));
        found.ok().map(|index| self.items[index].as_ref())
    }

    /// Indexes that PostgreSQL does not use, or not yet.
    pub fn invalid_indexes(&self) -> impl Iterator<Item = &Item> {
        self.items().filter(|item| item.is_invalid())
    }

    /// Whether the schema's own name had to be taken out of a text, so that another fingerprint may be no difference.
    pub fn has_names_taken_out(&self) -> bool {
        self.items.iter().any(|item| item.raw.is_some())
    }

    /// The hash over all items; `catalog` has the server compute the same.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut hashes: Vec<_> = self.items().map(Item::hash).collect();
        hashes.sort_unstable();
        let mut all = Sha256::new();
        for hash in hashes {
            all.update(hash);
        }
        let mut short = [0; 16];
        short.copy_from_slice(&all.finalize()[..16]);
        Fingerprint(short)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
