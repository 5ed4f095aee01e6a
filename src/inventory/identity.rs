//! Tells whether two configured databases are one in reality, so that no tenant is reached twice.
//!
//! Names and addresses do not tell: one server has many. A tenant that is reached through two
//! databases of the config would be two tenants to a plan, and be counted and migrated twice.

use std::collections::HashSet;
use std::fmt;

use tokio_postgres::Client;

use crate::tenant::{DatabaseName, SchemaName, Tenant};

/// How many schemas an overlap shows.
const SHOWN: usize = 5;

/// Which database of which running server a connection reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatabaseIdentity {
    /// Given when the cluster was made, and kept by its physical copies. None where the server does
    /// not show it to this role, as some managed ones do not.
    pub system_identifier: Option<String>,
    /// When the server started, to the microsecond in UTC, and on which port: tells a cluster from
    /// its physical copies (a shard that was split off by copying keeps all other numbers), and
    /// stands in for the system identifier where that is hidden.
    pub server_start: String,
    /// The database inside of the cluster.
    pub database_oid: u32,
}

impl DatabaseIdentity {
    /// Whether both are one database. Two roles may see one server differently, so a hidden
    /// system identifier is no difference.
    pub fn is_same_database(&self, other: &Self) -> bool {
        self.is_same_server(other) && self.database_oid == other.database_oid
    }

    /// Whether both are on one server.
    pub fn is_same_server(&self, other: &Self) -> bool {
        let agree = match (&self.system_identifier, &other.system_identifier) {
            (Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        };
        agree && self.server_start == other.server_start
    }
}

/// Asks a server which one it is. The client must not be in a transaction: a refused question
/// would abort it.
///
/// # Errors
/// The server's, but for a system identifier that it does not show.
pub async fn identify(client: &Client) -> Result<DatabaseIdentity, tokio_postgres::Error> {
    let row = client
        .query_one(
            "SELECT d.oid, pg_catalog.to_char(
                        pg_catalog.pg_postmaster_start_time() AT TIME ZONE 'UTC',
                        'YYYY-MM-DD HH24:MI:SS.US')
                    || ' port ' || pg_catalog.current_setting('port')
             FROM pg_catalog.pg_database d
             WHERE d.datname = pg_catalog.current_database()",
            &[],
        )
        .await?;
    let control = client
        .query_one(
            "SELECT c.system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system() c",
            &[],
        )
        .await;
    let system_identifier = match control {
        Ok(row) => row.try_get(0)?,
        Err(error) if error.as_db_error().is_some() => None,
        Err(error) => return Err(error),
    };
    Ok(DatabaseIdentity {
        system_identifier,
        server_start: row.try_get(1)?,
        database_oid: row.try_get(0)?,
    })
}

/// Two databases of the config that are one, and the tenants that both hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlap {
    /// The one that the config names first.
    pub first: DatabaseName,
    /// The other.
    pub second: DatabaseName,
    /// What both hold, by name. Never empty.
    pub schemas: Vec<SchemaName>,
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<String> = self
            .schemas
            .iter()
            .take(SHOWN)
            .map(ToString::to_string)
            .collect();
        let names = shown.join(", ");
        match (self.schemas.len(), self.schemas.len() - shown.len()) {
            (1, _) => write!(f, "tenant {names} is")?,
            (_, 0) => write!(f, "tenants {names} are")?,
            (_, more) => write!(f, "tenants {names} and {more} more are")?,
        }
        write!(
            f,
            " reached through both `{}` and `{}`, which are the same database",
            self.first, self.second
        )
    }
}

/// Finds tenants that two configured databases both hold because they are one. One real database
/// under two names whose tenants are disjoint is fine: that is how one gives groups of tenants
/// different settings.
pub fn overlaps(found: &[(DatabaseIdentity, Vec<Tenant>)]) -> Vec<Overlap> {
    let mut overlaps = Vec::new();
    for (index, (identity, tenants)) in found.iter().enumerate() {
        let same = found[index + 1..]
            .iter()
            .filter(|(other, _)| identity.is_same_database(other));
        for (_, others) in same {
            overlaps.extend(overlap(tenants, others));
        }
    }
    overlaps
}

fn overlap(tenants: &[Tenant], others: &[Tenant]) -> Option<Overlap> {
    let held: HashSet<&SchemaName> = others.iter().map(|tenant| &tenant.id.schema).collect();
    let mut schemas: Vec<SchemaName> = tenants
        .iter()
        .map(|tenant| &tenant.id.schema)
        .filter(|schema| held.contains(schema))
        .cloned()
        .collect();
    schemas.sort_unstable();
    let first = tenants.first()?.id.database.clone();
    let second = others.first()?.id.database.clone();
    (!schemas.is_empty()).then_some(Overlap {
        first,
        second,
        schemas,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tenant::{Presence, TenantId};

    fn identity(system: Option<&str>, start: &str, oid: u32) -> DatabaseIdentity {
        DatabaseIdentity {
            system_identifier: system.map(str::to_owned),
            server_start: start.to_owned(),
            database_oid: oid,
        }
    }

    fn tenants(database: &str, schemas: &[&str]) -> Vec<Tenant> {
        let tenant = |schema: &&str| Tenant {
            id: TenantId {
                database: DatabaseName::new(database),
                schema: SchemaName::parse(schema).unwrap(),
            },
            labels: Arc::default(),
            presence: Presence::Present,
        };
        schemas.iter().map(tenant).collect()
    }

    fn shown(found: &[(DatabaseIdentity, Vec<Tenant>)]) -> Vec<String> {
        overlaps(found).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_database_under_two_names_must_not_hold_a_tenant_twice() {
        let here = identity(Some("7"), "noon", 16384);
        let found = [
            (here.clone(), tenants("a", &["acme", "globex"])),
            (here.clone(), tenants("b", &["initech", "acme"])),
            (here, tenants("c", &["umbrella"])),
        ];
        assert_eq!(
            shown(&found),
            ["tenant acme is reached through both `a` and `b`, which are the same database"]
        );
    }

    #[test]
    fn many_are_counted() {
        let names = ["s1", "s2", "s3", "s4", "s5", "s6", "s7"];
        let here = identity(Some("7"), "noon", 16384);
        let found = [
            (here.clone(), tenants("a", &names)),
            (here, tenants("b", &names)),
        ];
        assert_eq!(
            shown(&found),
            [
                "tenants s1, s2, s3, s4, s5 and 2 more are reached through both `a` and `b`, which are the same database"
            ]
        );
    }

    #[test]
    fn copies_and_neighbours_are_other_databases() {
        let here = identity(Some("7"), "noon", 16384);
        let copy = identity(Some("7"), "one", 16384);
        let neighbour = identity(Some("7"), "noon", 16385);
        let found = [
            (here.clone(), tenants("a", &["acme"])),
            (copy, tenants("b", &["acme"])),
            (neighbour, tenants("c", &["acme"])),
        ];
        assert!(overlaps(&found).is_empty());
        assert!(here.is_same_database(&identity(None, "noon", 16384)));
    }
}
