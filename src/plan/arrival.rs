//! Whether tenants are at a version: what a gate in front of a program asks.

use super::{HistorySnapshot, version_of};
use crate::migration::Version;
use crate::tenant::{Tenant, TenantId};

/// Where tenants are against a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The version that each of them should have.
    pub minimum: Version,
    /// How many have it, or a later one.
    pub there: usize,
    /// The lowest version of all; None where a tenant has none.
    pub lowest: Option<Version>,
    /// The others, by name.
    pub behind: Vec<Behind>,
}

/// A tenant that is not at the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behind {
    /// Which.
    pub tenant: TenantId,
    /// Where it is, as far as its history says.
    pub version: Option<Version>,
    /// Why nothing is known of a version.
    pub reason: Option<String>,
}

impl Arrival {
    /// Nobody was asked yet.
    pub fn new(minimum: Version) -> Self {
        Self {
            minimum,
            there: 0,
            lowest: None,
            behind: Vec::new(),
        }
    }

    /// All tenants that were asked.
    pub fn tenants(&self) -> usize {
        self.there + self.behind.len()
    }

    /// Whether nobody is behind.
    pub fn is_complete(&self) -> bool {
        self.behind.is_empty()
    }

    /// Takes a tenant in. The version of a tenant is the highest of its history.
    pub fn count(&mut self, tenant: &Tenant, history: &HistorySnapshot) {
        let version = version_of(history);
        let is_first = self.tenants() == 0;
        self.lowest = if is_first {
            version
        } else {
            self.lowest.min(version)
        };
        if version.is_some_and(|version| version >= self.minimum) {
            self.there += 1;
            return;
        }
        self.behind.push(Behind {
            tenant: tenant.id.clone(),
            version,
            reason: reason(history),
        });
    }
}

fn reason(history: &HistorySnapshot) -> Option<String> {
    match history {
        HistorySnapshot::SchemaAbsent => Some("there is no such schema".to_owned()),
        HistorySnapshot::NoTable { .. } => Some("it has no history".to_owned()),
        HistorySnapshot::Rows { rows, .. } if rows.is_empty() => {
            Some("its history is empty".to_owned())
        }
        HistorySnapshot::Rows { .. } => None,
        HistorySnapshot::Corrupt { row, problem } => {
            Some(format!("corrupt history row ({row}): {problem}"))
        }
        HistorySnapshot::Unreadable { message, .. } => {
            Some(format!("its history cannot be read: {message}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::plan::{AppliedRow, VersionColumn};
    use crate::tenant::{DatabaseName, Labels, Presence, SchemaName};

    fn tenant(schema: &str) -> Tenant {
        Tenant {
            id: TenantId {
                database: DatabaseName::new("main"),
                schema: SchemaName::parse(schema).unwrap(),
            },
            labels: Arc::new(Labels::new()),
            presence: Presence::Present,
        }
    }

    fn at(versions: &[Version]) -> HistorySnapshot {
        let row = |version: &Version| AppliedRow {
            version: *version,
            name: "x".to_owned(),
            checksum: 1,
        };
        HistorySnapshot::Rows {
            column: VersionColumn::Int4,
            rows: versions.iter().map(row).collect(),
            steps: [].into(),
        }
    }

    #[test]
    fn who_has_a_later_version_is_there_too() {
        let mut arrival = Arrival::new(5);
        arrival.count(&tenant("a"), &at(&[1, 5]));
        arrival.count(&tenant("b"), &at(&[1, 5, 9]));
        assert!(arrival.is_complete());
        assert_eq!((arrival.tenants(), arrival.lowest), (2, Some(5)));
        arrival.count(&tenant("c"), &at(&[1, 4]));
        assert_eq!(arrival.lowest, Some(4));
        let behind = Behind {
            tenant: tenant("c").id,
            version: Some(4),
            reason: None,
        };
        assert_eq!(arrival.behind, [behind]);
    }

    #[test]
    fn what_has_no_version_is_not_there_for_a_reason() {
        let mut arrival = Arrival::new(1);
        let without = [
            HistorySnapshot::SchemaAbsent,
            HistorySnapshot::NoTable { relations: 0 },
            at(&[]),
            HistorySnapshot::Unreadable {
                message: "permission denied".to_owned(),
                sqlstate: None,
            },
        ];
        arrival.count(&tenant("there"), &at(&[1]));
        for history in &without {
            arrival.count(&tenant("x"), history);
        }
        assert_eq!(arrival.lowest, None);
        assert_eq!(arrival.behind.len(), without.len());
        assert!(arrival.behind.iter().all(|behind| behind.reason.is_some()));
    }
}
