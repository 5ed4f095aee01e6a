//! Whose a role is: what memberships come to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::{Origin, Reach, ReachKind};
use crate::tenant::{RoleName, SchemaName, quote_identifier};

/// PostgreSQL's own roles that pass by the grants of tables.
const ALL_REACHING: [&str; 5] = [
    "pg_read_all_data",
    "pg_write_all_data",
    "pg_execute_server_program",
    "pg_read_server_files",
    "pg_write_server_files",
];

/// What the server says of a role.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "attributes that a role has or has not, in any combination"
)]
pub struct RoleFacts {
    /// Its number.
    pub oid: u32,
    /// Its name.
    pub name: String,
    /// Nothing is denied to it.
    pub is_superuser: bool,
    /// Row security does not count for it.
    pub bypasses_row_security: bool,
    /// It can make itself a member of any role; from PostgreSQL 16 on nobody can.
    pub can_become_any: bool,
    /// It owns the database.
    pub owns_database: bool,
}

/// A role that has, or can take on, what another one has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The role that has it.
    pub role: u32,
    /// The role that gets it.
    pub member: u32,
}

/// A role that belongs to one tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Its name.
    pub role: RoleName,
    /// Whose it is.
    pub tenant: SchemaName,
    /// Whether it is the application's role rather than the owner of the schema.
    pub is_application: bool,
}

/// Whose a role is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its name.
    pub name: String,
    /// The one tenant that it may reach; None where several can act as it.
    pub mine: Option<SchemaName>,
    /// The tenants that can act as it.
    pub tenants: Arc<[SchemaName]>,
    /// A role of the application, shared by all tenants, that can act as it.
    pub application: Option<String>,
}

/// Whose all roles are that a tenant or the application can act as.
#[derive(Debug, Default)]
pub struct Standings {
    /// By number.
    pub roles: BTreeMap<u32, Standing>,
    /// Whether any tenant has a role of its own.
    pub has_tenants: bool,
    /// What the roles by themselves reach.
    pub reaches: Vec<Reach>,
}

/// Who is whose member, by number.
struct Graph<'a> {
    facts: HashMap<u32, &'a RoleFacts>,
    roles_of: HashMap<u32, Vec<u32>>,
    members_of: HashMap<u32, Vec<u32>>,
    homes: HashMap<u32, BTreeSet<&'a SchemaName>>,
}

impl Standings {
    /// Follows the memberships up from these roles.
    pub fn of(
        facts: &[RoleFacts],
        memberships: &[Membership],
        principals: &[Principal],
        applications: &[RoleName],
    ) -> Self {
        let numbers: HashMap<&str, u32> = facts.iter().map(|f| (f.name.as_str(), f.oid)).collect();
        let mut graph = Graph::new(facts, memberships);
        let mut of_application = HashSet::new();
        for principal in principals {
            if let Some(oid) = numbers.get(principal.role.as_str()) {
                graph
                    .homes
                    .entry(*oid)
                    .or_default()
                    .insert(&principal.tenant);
                if principal.is_application {
                    of_application.insert(*oid);
                }
            }
        }
        let mut standings = Self {
            has_tenants: !graph.homes.is_empty(),
            ..Self::default()
        };
        let of_tenants: Vec<u32> = graph.homes.keys().copied().collect();
        for oid in closure(&graph.roles_of, of_tenants) {
            standings.add_tenants(&graph, oid);
        }
        for application in applications {
            let start: Vec<u32> = numbers
                .get(application.as_str())
                .copied()
                .into_iter()
                .collect();
            for oid in closure(&graph.roles_of, start) {
                // the application becomes a tenant's role on purpose
                if !of_application.contains(&oid) {
                    standings.add_application(&graph, oid, application.as_str());
                }
            }
        }
        standings
    }

    fn add_tenants(&mut self, graph: &Graph<'_>, oid: u32) {
        let Some(facts) = graph.facts.get(&oid) else {
            return;
        };
        let tenants: Arc<[SchemaName]> = graph.tenants_of(oid).into_iter().cloned().collect();
        let home = graph.homes.get(&oid).and_then(only);
        let mine = home.or(match &tenants[..] {
            [one] => Some(one),
            _ => None,
        });
        if let Some(home) = home
            && tenants.iter().any(|tenant| tenant != home)
        {
            self.reaches.push(membership(graph, facts, home, &tenants));
        }
        let origin = Origin::of_role(&facts.name, &tenants, None);
        self.reaches.extend(unstopped(facts, &origin));
        let standing = Standing {
            name: facts.name.clone(),
            mine: mine.cloned(),
            tenants,
            application: None,
        };
        self.roles.insert(oid, standing);
    }

    fn add_application(&mut self, graph: &Graph<'_>, oid: u32, application: &str) {
        let Some(facts) = graph.facts.get(&oid) else {
            return;
        };
        let known = self.roles.entry(oid).or_insert_with(|| Standing {
            name: facts.name.clone(),
            mine: None,
            tenants: Arc::default(),
            application: None,
        });
        if known.application.is_none() {
            known.application = Some(application.to_owned());
            let origin = Origin::Application(application.to_owned());
            self.reaches.extend(unstopped(facts, &origin));
        }
    }
}

impl<'a> Graph<'a> {
    fn new(facts: &'a [RoleFacts], memberships: &[Membership]) -> Self {
        let mut graph = Self {
            facts: facts.iter().map(|facts| (facts.oid, facts)).collect(),
            roles_of: HashMap::new(),
            members_of: HashMap::new(),
            homes: HashMap::new(),
        };
        for Membership { role, member } in memberships {
            graph.roles_of.entry(*member).or_default().push(*role);
            graph.members_of.entry(*role).or_default().push(*member);
        }
        graph
    }

    /// The tenants whose roles are this one or can act as it.
    fn tenants_of(&self, oid: u32) -> BTreeSet<&'a SchemaName> {
        let members = closure(&self.members_of, vec![oid]);
        let homes = members.iter().filter_map(|member| self.homes.get(member));
        homes.flatten().copied().collect()
    }
}

/// These, and all that they lead to.
fn closure(edges: &HashMap<u32, Vec<u32>>, start: Vec<u32>) -> BTreeSet<u32> {
    let mut reached: BTreeSet<u32> = start.iter().copied().collect();
    let mut todo = start;
    while let Some(next) = todo.pop() {
        for found in edges.get(&next).into_iter().flatten() {
            if reached.insert(*found) {
                todo.push(*found);
            }
        }
    }
    reached
}

fn only<'a>(homes: &BTreeSet<&'a SchemaName>) -> Option<&'a SchemaName> {
    (homes.len() == 1).then(|| homes.first().copied()).flatten()
}

/// Others can act as a tenant's own role. One statement ends it where one membership lets all of them in.
fn membership(
    graph: &Graph<'_>,
    facts: &RoleFacts,
    home: &SchemaName,
    tenants: &Arc<[SchemaName]>,
) -> Reach {
    let direct = graph.members_of.get(&facts.oid).into_iter().flatten();
    let through: BTreeSet<&str> = direct
        .filter(|member| graph.tenants_of(**member).iter().any(|t| *t != home))
        .filter_map(|member| Some(graph.facts.get(member)?.name.as_str()))
        .collect();
    let remedy = match through.iter().collect::<Vec<_>>()[..] {
        [member] => Some(format!(
            "REVOKE {} FROM {}",
            quote_identifier(&facts.name),
            quote_identifier(member)
        )),
        _ => None,
    };
    let names: Vec<&str> = through.into_iter().collect();
    Reach {
        from: Origin::of_role(&facts.name, tenants, Some(home)),
        to: Some(home.clone()),
        kind: ReachKind::Membership,
        objects: vec![format!("role {}", facts.name)],
        count: 1,
        how: format!("has {} as a member", names.join(", ")),
        remedy,
    }
}

/// What a role may do that no grant would stop.
fn unstopped(facts: &RoleFacts, origin: &Origin) -> Vec<Reach> {
    let alter = |option: &str| {
        Some(format!(
            "ALTER ROLE {} {option}",
            quote_identifier(&facts.name)
        ))
    };
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    if facts.is_superuser {
        found.push(("is a superuser".to_owned(), alter("NOSUPERUSER")));
    } else {
        if facts.bypasses_row_security {
            found.push(("passes by row security".to_owned(), alter("NOBYPASSRLS")));
        }
        if facts.can_become_any {
            found.push((
                "can make itself a member of any role".to_owned(),
                alter("NOCREATEROLE"),
            ));
        }
    }
    if facts.owns_database {
        found.push(("owns the database and can drop it".to_owned(), None));
    }
    if ALL_REACHING.contains(&facts.name.as_str()) {
        found.push(("reaches what was never granted".to_owned(), None));
    }
    found
        .into_iter()
        .map(|(how, remedy)| Reach {
            from: origin.clone(),
            to: None,
            kind: ReachKind::Role,
            objects: vec![format!("role {}", facts.name)],
            count: 1,
            how,
            remedy,
        })
        .collect()
}

#[cfg(test)]
#[path = "standing_tests.rs"]
mod tests;
