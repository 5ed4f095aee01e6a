//! What lacks for the database to keep a tenant's migrations inside of their tenant, where each is to run as a role
//! that owns the tenant's schema and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;

use super::{Action, Plan, Refusal};
use crate::tenant::TenantId;

/// One thing that lacks, or is too much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gap {
    /// The role would have a name that PostgreSQL does not keep, or that another tenant's has too.
    BadName(String),
    /// There is no such role.
    RoleMissing,
    /// fleet's own role may not take it on.
    NotMember {
        /// fleet's role.
        user: String,
    },
    /// fleet's own role has not what it owns, so that it could not read the history.
    NotInheriting {
        /// fleet's role.
        user: String,
    },
    /// The schema is somebody else's.
    SchemaOwner(String),
    /// Objects of the schema are.
    Objects {
        /// How many.
        count: u64,
        /// One of them, such as `table tenant_0001.t1`.
        example: String,
        /// Whose that one is.
        owner: String,
    },
    /// Everybody may create objects in the schema.
    OpenToAll,
    /// It may not use schemas of the search path.
    SharedSchemas(Vec<String>),
    /// It has attributes that no schema bounds, such as SUPERUSER.
    Attributes(Vec<String>),
    /// It is a member of roles of PostgreSQL's own.
    Memberships(Vec<String>),
    /// It owns other schemas, or is a member of a role that does.
    OwnsSchemas(Vec<String>),
    /// It owns something that is not in the schema, such as a table, or is a member of a role that does.
    OwnsOutside(Vec<String>),
    /// It owns objects in other databases of the server.
    OtherDatabases(Vec<String>),
    /// It may create objects in other schemas.
    MayCreateIn(Vec<String>),
    /// It may, because everybody may.
    AllMayCreateIn(Vec<String>),
    /// It may create schemas.
    MayCreateSchemas,
}

impl Gap {
    /// Whether `fleet roles apply` closes it. The rest is for a person: it may be meant, or the application may
    /// live on it.
    pub fn is_mended_by_fleet(&self) -> bool {
        match self {
            Self::RoleMissing
            | Self::NotMember { .. }
            | Self::SchemaOwner(_)
            | Self::Objects { .. }
            | Self::OpenToAll
            | Self::SharedSchemas(_) => true,
            Self::BadName(_)
            | Self::NotInheriting { .. }
            | Self::Attributes(_)
            | Self::Memberships(_)
            | Self::OwnsSchemas(_)
            | Self::OwnsOutside(_)
            | Self::OtherDatabases(_)
            | Self::MayCreateIn(_)
            | Self::AllMayCreateIn(_)
            | Self::MayCreateSchemas => false,
        }
    }

    /// What helps, in one sentence.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::BadName(_) => "change roles.tenant",
            Self::NotInheriting { .. } => {
                "ALTER ROLE … INHERIT for fleet's role (PostgreSQL 16 on: GRANT the tenant's role to it WITH INHERIT TRUE)"
            }
            Self::Attributes(_) => {
                "ALTER ROLE … NOSUPERUSER NOCREATEROLE NOCREATEDB NOBYPASSRLS NOREPLICATION"
            }
            Self::Memberships(_) => "REVOKE these roles from it",
            Self::OwnsSchemas(_) | Self::OwnsOutside(_) => {
                "give what is not the tenant's another owner; where the tenant's role has it through another role, REVOKE that role from it"
            }
            Self::OtherDatabases(_) => {
                "roles are of the whole server: put {database} into roles.tenant"
            }
            Self::MayCreateIn(_) => {
                "REVOKE CREATE ON SCHEMA … FROM the role, or from the role that it is a member of"
            }
            Self::AllMayCreateIn(_) => {
                "REVOKE CREATE ON SCHEMA … FROM PUBLIC, after a look at who else needs it"
            }
            Self::MayCreateSchemas => "REVOKE CREATE ON DATABASE … FROM the role, or from PUBLIC",
            _ => "fleet roles plan shows what lacks, fleet roles apply does it",
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName(why) => f.write_str(why),
            Self::RoleMissing => f.write_str("the role does not exist"),
            Self::NotMember { user } => write!(f, "{user} may not SET ROLE to it"),
            Self::NotInheriting { user } => write!(f, "{user} does not inherit its rights"),
            Self::SchemaOwner(owner) => write!(f, "the schema belongs to {owner}"),
            Self::Objects {
                count: 1,
                example,
                owner,
            } => write!(f, "{example} belongs to {owner}"),
            Self::Objects {
                count,
                example,
                owner,
            } => write!(
                f,
                "{count} objects of the schema belong to somebody else, such as {example} to {owner}"
            ),
            Self::OpenToAll => f.write_str("everybody may create objects in the schema (PUBLIC)"),
            Self::SharedSchemas(names) => {
                write!(f, "it may not use {} of the search_path", list(names))
            }
            Self::Attributes(names) => write!(f, "it is {}", list(names)),
            Self::Memberships(names) => write!(f, "it is a member of {}", list(names)),
            Self::OwnsSchemas(names) => write!(f, "it also owns the schema {}", list(names)),
            Self::OwnsOutside(names) => write!(f, "it also owns {}", list(names)),
            Self::OtherDatabases(names) => {
                write!(f, "it owns objects in another database: {}", list(names))
            }
            Self::MayCreateIn(names) => write!(f, "it may create objects in {}", list(names)),
            Self::AllMayCreateIn(names) => write!(
                f,
                "it may create objects in {}, as everybody may (PUBLIC)",
                list(names)
            ),
            Self::MayCreateSchemas => f.write_str("it may create schemas"),
        }
    }
}

/// A tenant that the database does not keep its migrations inside of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unguarded {
    /// The role that they are to run as.
    pub role: String,
    /// What lacks. Never empty.
    pub gaps: Vec<Gap>,
}

impl Unguarded {
    /// What helps first: what only a person can do, else `fleet roles apply`.
    pub fn hint(&self) -> &'static str {
        // whoever is a superuser has all other rights as well
        let is_all = |gap: &&Gap| matches!(gap, Gap::Attributes(_));
        let all = self.gaps.iter().find(is_all);
        let by_hand = self.gaps.iter().find(|gap| !gap.is_mended_by_fleet());
        all.or(by_hand).or(self.gaps.first()).map_or("", Gap::hint)
    }
}

/// What helps these tenants: what most of them need first.
pub fn hints<'a>(unguarded: impl Iterator<Item = &'a Unguarded>) -> Vec<&'static str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for tenant in unguarded {
        *counts.entry(tenant.hint()).or_default() += 1;
    }
    let mut hints: Vec<_> = counts.into_iter().collect();
    hints.sort_by_key(|(_, tenants)| Reverse(*tenants));
    hints.into_iter().map(|(hint, _)| hint).collect()
}

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gaps: Vec<String> = self.gaps.iter().map(ToString::to_string).collect();
        write!(f, "role {}: {}", self.role, gaps.join("; "))
    }
}

impl Plan {
    /// The same plan, in which tenants that the database does not guard are refused.
    #[must_use]
    pub fn without_unguarded(mut self, mut unguarded: HashMap<TenantId, Unguarded>) -> Self {
        for tenant in &mut self.tenants {
            if let Some(found) = unguarded.remove(&tenant.tenant.id)
                && !matches!(tenant.action, Action::Refuse(_))
            {
                tenant.action = Action::Refuse(Refusal::Unguarded(found));
            }
        }
        self
    }

    /// Whether nobody may be touched, for a tenant is not guarded.
    pub fn has_unguarded(&self) -> bool {
        let mut tenants = self.tenants.iter();
        tenants.any(|tenant| matches!(tenant.action, Action::Refuse(Refusal::Unguarded(_))))
    }
}

/// `a, b`, cut after a few.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = names[..names.len().min(SHOWN)].join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
