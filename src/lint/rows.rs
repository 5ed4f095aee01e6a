//! Tables that tenants share, with a column that says whose a row is: what each of them must have when the whole set
//! is applied.

use std::collections::BTreeMap;
use std::ops::Range;

use super::finding::Found;
use super::syntax::{Change, TableChange};

/// Where something stands: the number of the file, and bytes in it.
type Where = (usize, Range<usize>);

/// The tables of a set as its files leave them.
pub(super) struct Tables<'a> {
    column: Option<&'a str>,
    tables: BTreeMap<String, Table>,
}

/// A table.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
#[derive(Clone, Default)]
struct Table {
    made: Option<Where>,
    is_partition: bool,
    has_column: bool,
    is_enabled: bool,
    is_forced: bool,
    policies: BTreeMap<String, bool>,
    /// The first column of each index.
    leading: Vec<String>,
    /// Unique over columns of which the tenant's is not the first.
    unique: Vec<(Where, Vec<String>)>,
    /// Foreign keys without it.
    references: Vec<(Where, String)>,
}

impl<'a> Tables<'a> {
    /// None yet.
    pub(super) fn new(column: Option<&'a str>) -> Self {
        Self {
            column,
            tables: BTreeMap::new(),
        }
    }

    /// What the next file does.
    pub(super) fn take(&mut self, file: usize, changes: Vec<TableChange>) {
        let Some(column) = self.column else { return };
        for change in changes {
            match &change.change {
                Change::Dropped => {
                    self.tables.remove(&change.table);
                }
                Change::Renamed(name) => {
                    if let Some(table) = self.tables.remove(&change.table) {
                        self.tables.insert(name.clone(), table);
                    }
                }
                _ => {
                    let place = (file, change.range);
                    let table = self.tables.entry(change.table).or_default();
                    table.take(column, place, change.change);
                }
            }
        }
    }

    /// What is missing at the end.
    pub(super) fn findings(&self) -> Vec<(usize, Found)> {
        let Some(column) = self.column else {
            return Vec::new();
        };
        let shared = self.tables.iter().filter(|(_, table)| table.has_column);
        let mut findings = Vec::new();
        for (name, table) in shared {
            if let Some((file, place)) = &table.made
                && !table.is_partition
            {
                let missing = table.missing(name, column);
                findings.extend(
                    missing.map(|(rule, what)| (*file, Found::new(rule, place.clone(), what))),
                );
            }
            for ((file, place), columns) in &table.unique {
                let columns = columns.join(", ");
                let what =
                    format!("unique over ({columns}) of {name}, which {column} does not lead");
                let found = Found::new("unique-not-per-tenant", place.clone(), what);
                findings.push((*file, found));
            }
            for ((file, place), to) in &table.references {
                if self.tables.get(to).is_some_and(|table| table.has_column) {
                    let what = format!("the foreign key from {name} to {to} is without {column}");
                    let found = Found::new("reference-not-per-tenant", place.clone(), what);
                    findings.push((*file, found));
                }
            }
        }
        findings
    }
}

impl Table {
    fn take(&mut self, column: &str, place: Where, change: Change) {
        match change {
            Change::Created { is_partition } => {
                self.made.get_or_insert(place);
                self.is_partition = is_partition;
            }
            Change::Column(name) if name == column => self.has_column = true,
            Change::DroppedColumn(name) if name == column => self.has_column = false,
            Change::Enabled(is) => self.is_enabled = is,
            Change::Forced(is) => self.is_forced = is,
            Change::Policy { name, words } => {
                let uses_it = words.iter().any(|word| word == column);
                self.policies.insert(name, uses_it);
            }
            Change::DroppedPolicy(name) => {
                self.policies.remove(&name);
            }
            Change::Index { columns, is_unique } => {
                let leads = columns.first().is_some_and(|first| first == column);
                self.leading.extend(columns.first().cloned());
                if is_unique && !leads {
                    self.unique.push((place, columns));
                }
            }
            Change::Reference { columns, to } if !columns.iter().any(|name| name == column) => {
                self.references.push((place, to));
            }
            _ => {}
        }
    }

    fn missing(&self, name: &str, column: &str) -> impl Iterator<Item = (&'static str, String)> {
        let checks = [
            (
                "row-security-missing",
                self.is_enabled,
                format!("{name} has {column} and no row security"),
            ),
            (
                "row-security-not-forced",
                self.is_forced || !self.is_enabled,
                format!("the row security of {name} is not forced"),
            ),
            (
                "policy-missing",
                self.policies.values().any(|uses_it| *uses_it),
                format!("no policy of {name} looks at {column}"),
            ),
            (
                "tenant-index-missing",
                self.leading.iter().any(|first| first == column),
                format!("no index of {name} begins with {column}"),
            ),
        ];
        checks
            .into_iter()
            .filter(|(_, is_there, _)| !is_there)
            .map(|(rule, _, what)| (rule, what))
    }
}
