//! What of one tenant reaches another: the words of a finding, and what memberships of roles come to. Pure.

mod cause;
mod standing;

pub use cause::causes;
pub use standing::{Membership, Principal, RoleFacts, Standing, Standings};

use std::fmt;
use std::sync::Arc;

use crate::tenant::{DatabaseName, SchemaName};

/// How many objects of a finding are named.
pub const NAMED_OBJECTS: usize = 3;

/// A finding, and the database that it was made in.
pub type Found = (DatabaseName, Reach);

/// Something by which somebody reaches a tenant that is not theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Who, or where from.
    pub from: Origin,
    /// Whom; None is every tenant of the database.
    pub to: Option<SchemaName>,
    /// Of what kind.
    pub kind: ReachKind,
    /// What would have to be changed: the object that reaches, or the objects that are granted or owned, the
    /// first [`NAMED_OBJECTS`] of them.
    pub objects: Vec<String>,
    /// How many objects there are in all.
    pub count: u64,
    /// How it reaches: goes on after the objects.
    pub how: String,
    /// The statement that ends it, where that is plain.
    pub remedy: Option<String>,
}

/// Who reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// PUBLIC: every role that can connect.
    Everyone,
    /// A role of the application that all tenants share.
    Application(String),
    /// A role that several tenants can act as; the one that is reached may be among them.
    Tenants(Arc<[SchemaName]>, String),
    /// One tenant: a role of it, or without one an object in its schema.
    Tenant(SchemaName, Option<String>),
    /// An object in a schema that is no tenant's.
    Shared(String),
    /// An object of the database that is in no schema.
    Database,
}

/// Kinds of reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReachKind {
    /// A role that no grant stops: a superuser and the like.
    Role,
    /// A role of a tenant that is a member of another tenant's.
    Membership,
    /// An object of a tenant that belongs to somebody else's role.
    Ownership,
    /// A grant.
    Grant,
    /// A grant to come, on objects that are yet to be created.
    DefaultPrivilege,
    /// A view or materialized view.
    View,
    /// A rule on a table.
    Rule,
    /// A foreign key.
    ForeignKey,
    /// Any other constraint.
    Constraint,
    /// A column's default, or how it is generated.
    Default,
    /// An index.
    Index,
    /// A trigger.
    Trigger,
    /// An event trigger.
    EventTrigger,
    /// A policy of row security.
    Policy,
    /// A table that inherits from another, or is a partition of it.
    Inheritance,
    /// A type: of a column, or one that is made of another.
    Type,
    /// A function: its arguments, its result, or a body that PostgreSQL has parsed.
    Function,
    /// A function whose body is a text that names another tenant.
    FunctionText,
    /// A function with another tenant in its `search_path`.
    SearchPath,
}

impl ReachKind {
    const NAMES: [(Self, &'static str); 19] = [
        (Self::Role, "role"),
        (Self::Membership, "membership"),
        (Self::Ownership, "ownership"),
        (Self::Grant, "grant"),
        (Self::DefaultPrivilege, "default_privilege"),
        (Self::View, "view"),
        (Self::Rule, "rule"),
        (Self::ForeignKey, "foreign_key"),
        (Self::Constraint, "constraint"),
        (Self::Default, "default"),
        (Self::Index, "index"),
        (Self::Trigger, "trigger"),
        (Self::EventTrigger, "event_trigger"),
        (Self::Policy, "policy"),
        (Self::Inheritance, "inheritance"),
        (Self::Type, "type"),
        (Self::Function, "function"),
        (Self::FunctionText, "function_text"),
        (Self::SearchPath, "search_path"),
    ];

    /// Its name in documents.
    pub fn as_str(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(kind, _)| *kind == self);
        found.map_or("reach", |(_, name)| name)
    }

    /// The kind of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(_, known)| *known == name);
        found.map(|(kind, _)| *kind)
    }
}

impl fmt::Display for ReachKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.as_str().replace('_', " "))
    }
}

impl Origin {
    /// Those who can act as a role that reaches a tenant.
    pub fn of_role(role: &str, tenants: &Arc<[SchemaName]>, reached: Option<&SchemaName>) -> Self {
        let mut others = tenants.iter().filter(|tenant| Some(*tenant) != reached);
        match (others.next(), others.next()) {
            (Some(one), None) => Self::Tenant(one.clone(), Some(role.to_owned())),
            // shared, for there may be thousands of both
            _ => Self::Tenants(Arc::clone(tenants), role.to_owned()),
        }
    }

    /// The tenants that it stands for.
    pub fn tenants(&self) -> &[SchemaName] {
        match self {
            Self::Tenant(tenant, _) => std::slice::from_ref(tenant),
            Self::Tenants(tenants, _) => tenants,
            Self::Everyone | Self::Application(_) | Self::Shared(_) | Self::Database => &[],
        }
    }
}

impl Reach {
    /// Whether it is about one of these tenants, from either side.
    pub fn concerns(&self, is_meant: impl Fn(&SchemaName) -> bool) -> bool {
        match &self.to {
            None => true,
            Some(to) => is_meant(to) || self.from.tenants().iter().any(is_meant),
        }
    }
}
