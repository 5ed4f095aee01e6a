//! Whether the database keeps each tenant's migrations inside of their tenant, where the config asks for that.

use std::collections::{BTreeMap, HashMap};

use super::error::Refusal;
use super::fleet::{Fleet, Found, OpenDatabase};
use crate::catalog::{self, Neighbours, Wanted};
use crate::config::{self, Isolation};
use crate::inventory::DatabaseIdentity;
use crate::pg::{self, PgError};
use crate::plan::{self, Gap, Plan, Unguarded};
use crate::tenant::{DatabaseName, Presence, RoleName, RoleTemplate, SchemaName, Tenant, TenantId};

/// How many tenants a refusal names.
const NAMED: usize = 3;

/// The roles that tenants are to have, by database, and those that cannot be.
pub(super) struct Roles {
    /// A tenant's role, by database.
    pub(super) wanted: HashMap<DatabaseName, Vec<Wanted>>,
    /// Tenants whose role can have no such name.
    pub(super) refused: HashMap<TenantId, Unguarded>,
}

impl Fleet {
    /// How the roles of tenants are called.
    pub(super) fn role_template(&self) -> &RoleTemplate {
        &self.config.roles.tenant
    }

    /// The roles that migrations run as; None where all run as fleet's own.
    pub(super) fn isolating_roles(&self) -> Option<RoleTemplate> {
        match self.config.execution.isolation {
            Isolation::Role => Some(self.role_template().clone()),
            Isolation::None => None,
        }
    }

    /// Names the roles of these tenants. One that no schema is there for, nor will be, has none.
    pub(super) async fn roles_of(&self, found: &Found) -> anyhow::Result<Roles> {
        let template = self.role_template();
        let all: Vec<&Tenant> = found.selected.iter().chain(&found.others).collect();
        let shared = self.sharing(template, &all).await?;
        let mut roles = Roles {
            wanted: HashMap::new(),
            refused: HashMap::new(),
        };
        for tenant in &found.selected {
            if tenant.presence == Presence::Absent {
                continue;
            }
            let name = template.role_of(&tenant.id);
            let problem = match &name {
                Err(problem) => Some(problem.to_string()),
                Ok(_) => shared.get(&tenant.id).map(|other| {
                    format!("{other} would have the same role: put {{database}} into roles.tenant")
                }),
            };
            match (name, problem) {
                (Ok(role), None) => {
                    let of_database = roles.wanted.entry(tenant.id.database.clone()).or_default();
                    let schema = tenant.id.schema.clone();
                    of_database.push(Wanted { schema, role });
                }
                (name, problem) => {
                    let unguarded = Unguarded {
                        role: name.map_or_else(|_| template.to_string(), |role| role.to_string()),
                        gaps: vec![Gap::BadName(problem.unwrap_or_default())],
                    };
                    roles.refused.insert(tenant.id.clone(), unguarded);
                }
            }
        }
        Ok(roles)
    }

    /// Tenants of one server that would share a role, with another one that has it.
    async fn sharing(
        &self,
        template: &RoleTemplate,
        all: &[&Tenant],
    ) -> anyhow::Result<HashMap<TenantId, TenantId>> {
        let mut by_role: BTreeMap<RoleName, Vec<&TenantId>> = BTreeMap::new();
        for tenant in all {
            if let Ok(role) = template.role_of(&tenant.id) {
                by_role.entry(role).or_default().push(&tenant.id);
            }
        }
        by_role.retain(|_, tenants| tenants.len() > 1);
        let mut shared = HashMap::new();
        if by_role.is_empty() {
            return Ok(shared);
        }
        let servers: HashMap<&DatabaseName, DatabaseIdentity> =
            self.identities().await?.into_iter().collect();
        let same = |a: &TenantId, b: &TenantId| {
            let (a, b) = (servers.get(&a.database), servers.get(&b.database));
            a.zip(b).is_some_and(|(a, b)| a.is_same_server(b))
        };
        for tenants in by_role.values() {
            for one in tenants {
                let mut others = tenants.iter().filter(|other| *other != one);
                if let Some(other) = others.find(|other| same(one, other)) {
                    shared.insert((*one).clone(), (*other).clone());
                }
            }
        }
        Ok(shared)
    }

    /// What the roles of a database's tenants have to do with each other.
    pub(super) fn neighbours(&self, config: &config::Database, found: &Found) -> Neighbours {
        let all = found.selected.iter().chain(&found.others);
        let of_database: Vec<&Tenant> = all.filter(|t| t.id.database == config.name).collect();
        let roles = of_database
            .iter()
            .filter_map(|tenant| self.role_template().role_of(&tenant.id).ok());
        Neighbours {
            shared: config.search_path.clone(),
            roles: roles.map(|role| role.as_str().to_owned()).collect(),
            schemas: of_database.iter().map(|t| t.id.schema.clone()).collect(),
        }
    }

    /// Those of these tenants that the database does not guard, whether the config asks for it or not.
    pub(super) async fn unguarded(
        &self,
        found: &Found,
    ) -> anyhow::Result<HashMap<TenantId, Unguarded>> {
        let Roles { wanted, refused } = self.roles_of(found).await?;
        let mut unguarded = refused;
        for (config, open) in self.needed() {
            let Some(wanted) = wanted.get(&open.name) else {
                continue;
            };
            let mut gaps = read_gaps(open, wanted, &config.search_path).await?;
            for Wanted { schema, role } in wanted {
                if let Some(gaps) = gaps.remove(schema) {
                    let id = TenantId {
                        database: open.name.clone(),
                        schema: schema.clone(),
                    };
                    let role = role.to_string();
                    unguarded.insert(id, Unguarded { role, gaps });
                }
            }
        }
        Ok(unguarded)
    }

    /// Refuses tenants that the database does not guard, where the config says that it does.
    pub(super) async fn check_guarded(&self, found: &Found) -> anyhow::Result<()> {
        if self.config.execution.isolation == Isolation::None {
            return Ok(());
        }
        let unguarded = self.unguarded(found).await?;
        if unguarded.is_empty() {
            return Ok(());
        }
        Err(refusal(&unguarded, found.selected.len()).into())
    }

    /// The plan, in the light of what the database guards where the config asks for that.
    pub(super) async fn with_guards(&self, plan: Plan, found: &Found) -> anyhow::Result<Plan> {
        match self.config.execution.isolation {
            Isolation::None => Ok(plan),
            Isolation::Role => Ok(plan.without_unguarded(self.unguarded(found).await?)),
        }
    }
}

async fn read_gaps(
    open: &OpenDatabase,
    wanted: &[Wanted],
    shared: &[String],
) -> anyhow::Result<HashMap<SchemaName, Vec<Gap>>> {
    let client = pg::checkout(&open.pool, &open.name).await?;
    let gaps = catalog::read_gaps(&client, wanted, shared).await;
    let asking = || format!("database {}: finding out who owns its tenants", open.name);
    Ok(gaps.map_err(|error| PgError::query(asking(), error))?)
}

fn refusal(unguarded: &HashMap<TenantId, Unguarded>, of: usize) -> Refusal {
    let mut sorted: Vec<_> = unguarded.iter().collect();
    sorted.sort_by_key(|(id, _)| *id);
    let some = sorted.iter().take(NAMED);
    let mut names: Vec<String> = some.map(|(id, why)| format!("{id}: {why}")).collect();
    if sorted.len() > NAMED {
        names.push(format!(
            "and {} more (fleet doctor -v)",
            sorted.len() - NAMED
        ));
    }
    Refusal::Unguarded {
        unguarded: sorted.len(),
        of,
        names: names.join("\n  "),
        hint: plan::hints(unguarded.values()).join("; "),
    }
}
