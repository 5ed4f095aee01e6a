//! `fleet verify --isolation`: whether anything of one tenant reaches another. Reads only; all tenants of a database
//! are looked at together, for a selected one may be reached from any other.

use std::collections::HashSet;

use futures_util::future::try_join_all;

use super::fleet::{Fleet, Found, Needed};
use super::options::{Global, Selection};
use super::output::Output;
use crate::catalog::{self, ReachAnswer, ReachQuestion};
use crate::config::Roles;
use crate::reach::Principal;
use crate::report::{self, Isolation};
use crate::run::ExitCode;
use crate::tenant::{
    ApplicationRole, DatabaseName, Presence, RoleName, RoleTemplate, SchemaName, TenantId,
};

/// Looks through each database, and says what was found.
pub(super) async fn execute(
    global: &Global,
    selection: &Selection,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Glance(selection), output).await?;
    let looked = look(&fleet, selection).await;
    fleet.close().await?;
    let isolation = looked?;
    let exit = if isolation.is_proved() {
        ExitCode::Done
    } else {
        ExitCode::Divergent
    };
    output.result(
        |out, style, verbosity| report::isolation(out, &isolation, style, verbosity),
        &report::isolation_document(&isolation, exit),
    )?;
    Ok(exit)
}

async fn look(fleet: &Fleet, selection: &Selection) -> anyhow::Result<Isolation> {
    let found = fleet.tenants(selection).await?;
    let roles = &fleet.config.roles;
    let mut isolation = Isolation::default();
    if roles.applications.is_empty() {
        let text =
            "no role of the application is configured (roles.applications): what those may do";
        isolation.not_looked_at.push(text.to_owned());
    }
    let asking = fleet.pools().map(|(database, pool)| {
        let asked = Asked::of(database, &found, roles);
        async move {
            let answer = catalog::read_reaches(pool, database, &asked.question).await?;
            anyhow::Ok((asked, answer))
        }
    });
    let answers = try_join_all(asking).await?;
    let selected = found.selected.into_iter().map(|tenant| tenant.id);
    isolation.tenants = selected.collect();
    let meant: HashSet<&TenantId> = isolation.tenants.iter().collect();
    for (asked, answer) in answers {
        asked.tell(
            roles,
            &answer,
            &mut isolation.not_looked_at,
            &mut isolation.faults,
        );
        let is_meant = |schema: &SchemaName| {
            meant.contains(&TenantId {
                database: asked.database.clone(),
                schema: schema.clone(),
            })
        };
        let reaches = answer.reaches.into_iter();
        isolation.reaches.extend(
            reaches
                .filter(|reach| reach.concerns(is_meant))
                .map(|reach| (asked.database.clone(), reach)),
        );
    }
    Ok(isolation)
}

/// What one database is asked.
struct Asked {
    database: DatabaseName,
    question: ReachQuestion,
    tenants: Vec<TenantId>,
}

impl Asked {
    fn of(database: &DatabaseName, found: &Found, roles: &Roles) -> Self {
        let all = found.selected.iter().chain(&found.others);
        let tenants: Vec<TenantId> = all
            .filter(|tenant| tenant.id.database == *database)
            .filter(|tenant| tenant.presence == Presence::Present)
            .map(|tenant| tenant.id.clone())
            .collect();
        let mut principals = principals(&roles.tenant, &tenants, false);
        let mut applications = Vec::new();
        for role in &roles.applications {
            match role {
                ApplicationRole::Shared(name) => applications.push(name.clone()),
                ApplicationRole::OfTenant(template) => {
                    principals.extend(self::principals(template, &tenants, true));
                }
            }
        }
        Self {
            database: database.clone(),
            question: ReachQuestion {
                tenants: tenants.iter().map(|id| id.schema.clone()).collect(),
                principals,
                applications,
            },
            tenants,
        }
    }

    /// Says what there was nothing to look at of: a typo in a role must not look like proof.
    fn tell(
        &self,
        roles: &Roles,
        answer: &ReachAnswer,
        not_looked_at: &mut Vec<String>,
        faults: &mut Vec<String>,
    ) {
        let (database, missing) = (&self.database, &answer.missing);
        let of_tenants = self.without(&roles.tenant, missing);
        if of_tenants > 0 {
            let text = format!(
                "{of_tenants} of {} tenants of database {database} have no role {} (roles.tenant): what those may do",
                self.tenants.len(),
                roles.tenant
            );
            not_looked_at.push(text);
        }
        for role in &roles.applications {
            match role {
                ApplicationRole::Shared(name) if missing.contains(name) => {
                    let text = format!(
                        "database {database}: there is no role {name} (roles.applications)"
                    );
                    faults.push(text);
                }
                ApplicationRole::Shared(_) => {}
                ApplicationRole::OfTenant(template) => {
                    let without = self.without(template, missing);
                    let text = format!(
                        "{without} of {} tenants of database {database} have no role {template} (roles.applications)",
                        self.tenants.len(),
                    );
                    if without > 0 && without == self.tenants.len() {
                        faults.push(text);
                    } else if without > 0 {
                        not_looked_at.push(format!("{text}: what those may do"));
                    }
                }
            }
        }
    }

    /// How many tenants have no role of this template, or could have none.
    fn without(&self, template: &RoleTemplate, missing: &HashSet<RoleName>) -> usize {
        let is_missing = |tenant: &&TenantId| {
            let role = template.role_of(tenant);
            role.map_or(true, |role| missing.contains(&role))
        };
        self.tenants.iter().filter(is_missing).count()
    }
}

fn principals(
    template: &RoleTemplate,
    tenants: &[TenantId],
    is_application: bool,
) -> Vec<Principal> {
    let of_tenant = |tenant: &TenantId| {
        Some(Principal {
            role: template.role_of(tenant).ok()?,
            tenant: tenant.schema.clone(),
            is_application,
        })
    };
    tenants.iter().filter_map(of_tenant).collect()
}
