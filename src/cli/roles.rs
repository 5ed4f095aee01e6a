//! `fleet roles`: a role for each tenant that owns the tenant's schema and nothing else.

use std::collections::HashSet;

use clap::{Args, Subcommand};

use super::fleet::{Fleet, Found, Needed};
use super::options::{Global, Selection};
use super::output::Output;
use crate::catalog::{self, ApplyError, Change, Neighbours, Wanted};
use crate::config::Isolation;
use crate::migrator;
use crate::pg::{self, PgError, Pool};
use crate::report::{self, RoleOutcome, RolePlan, RoleResult};
use crate::run::{ExitCode, Failure, FailureClass};
use crate::tenant::TenantId;

const ABOUT: &str = "\
With execution.isolation: role each tenant's migrations run as a role (roles.tenant) that owns the
tenant's schema and nothing else. apply makes these roles, lets fleet's own role take them on, and
gives them the schemas and what is in them. Whoever owned that before keeps what it could do with it:
it gets all privileges on the same objects, and on what later migrations make; existing grants stay as
they are. Indexes, constraints and data are not touched; each table is locked for a moment.

apply needs CREATEROLE and the ownership of what is handed over, or a superuser: fleet roles plan
prints the statements, for somebody else to run.";

/// `fleet roles`.
#[derive(Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct RolesArguments {
    #[command(subcommand)]
    action: RolesAction,
}

/// What to do about roles.
#[derive(Subcommand, Debug)]
enum RolesAction {
    /// Print the SQL that apply would run, tenant by tenant; nothing where all is well
    Plan(RolesSelection),
    /// Give tenants their roles: one transaction each, and nothing where all is well
    Apply(RolesSelection),
}

#[derive(Args, Debug)]
struct RolesSelection {
    /// Which tenants.
    #[command(flatten)]
    selection: Selection,
}

/// Plans or applies.
pub(super) async fn execute(
    global: &Global,
    arguments: &RolesArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let (RolesAction::Plan(chosen) | RolesAction::Apply(chosen)) = &arguments.action;
    let selection = &chosen.selection;
    let fleet = Fleet::open(global, Needed::Tenants(selection), output).await?;
    let done = match arguments.action {
        RolesAction::Plan(_) => plan(&fleet, selection, output).await,
        RolesAction::Apply(_) => apply(&fleet, selection, output).await,
    };
    fleet.close().await?;
    done
}

async fn plan(fleet: &Fleet, selection: &Selection, output: &Output) -> anyhow::Result<ExitCode> {
    let found = fleet.tenants(selection).await?;
    let plans = plans(fleet, &found).await?;
    output.result(
        |out, style, _| report::roles_plan(out, &plans, style),
        &report::roles_plan_document(&plans),
    )?;
    Ok(if plans.iter().any(|plan| !plan.by_hand.is_empty()) {
        ExitCode::Divergent
    } else {
        ExitCode::Done
    })
}

/// What is to be done for each tenant that has not all it should have.
async fn plans(fleet: &Fleet, found: &Found) -> anyhow::Result<Vec<RolePlan>> {
    let unguarded = fleet.unguarded(found).await?;
    let roles = fleet.roles_of(found).await?;
    let mut plans = Vec::new();
    for (id, unguarded) in roles.refused {
        plans.push(RolePlan {
            tenant: id,
            role: unguarded.role,
            changes: Vec::new(),
            by_hand: unguarded.gaps,
            notes: Vec::new(),
        });
    }
    for (config, open) in fleet.needed() {
        let Some(wanted) = roles.wanted.get(&open.name) else {
            continue;
        };
        let near = fleet.neighbours(config, found);
        let client = pg::checkout(&open.pool, &open.name).await?;
        let facts = catalog::read_facts(&client, wanted, &near.shared, &near.schemas).await;
        let asking = || format!("database {}: finding out who owns its tenants", open.name);
        let facts = facts.map_err(|error| PgError::query(asking(), error))?;
        for facts in &facts {
            let tenant = TenantId {
                database: open.name.clone(),
                schema: facts.wanted.schema.clone(),
            };
            let gaps = unguarded.get(&tenant).map_or(&[][..], |found| &found.gaps);
            let by_hand = gaps.iter().filter(|gap| !gap.is_mended_by_fleet());
            plans.push(RolePlan {
                tenant,
                role: facts.wanted.role.to_string(),
                changes: catalog::changes(facts, &near.roles),
                by_hand: by_hand.cloned().collect(),
                notes: facts.notes(),
            });
        }
    }
    plans.retain(|plan| !plan.changes.is_empty() || !plan.by_hand.is_empty());
    plans.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    Ok(plans)
}

async fn apply(fleet: &Fleet, selection: &Selection, output: &Output) -> anyhow::Result<ExitCode> {
    fleet.check_writable().await?;
    let found = fleet.tenants(selection).await?;
    let due: HashSet<TenantId> = plans(fleet, &found)
        .await?
        .into_iter()
        .map(|plan| plan.tenant)
        .collect();
    let roles = fleet.roles_of(&found).await?;
    let mut results = Vec::new();
    for (tenant, unguarded) in roles.refused {
        results.push(RoleResult {
            tenant,
            role: unguarded.role,
            outcome: RoleOutcome::ByHand(unguarded.gaps),
        });
    }
    for (config, open) in fleet.needed() {
        let near = fleet.neighbours(config, &found);
        for wanted in roles.wanted.get(&open.name).into_iter().flatten() {
            let tenant = TenantId {
                database: open.name.clone(),
                schema: wanted.schema.clone(),
            };
            let outcome = if due.contains(&tenant) {
                one_tenant(fleet, &open.pool, &tenant, wanted, &near).await
            } else {
                RoleOutcome::Unchanged
            };
            results.push(RoleResult {
                tenant,
                role: wanted.role.to_string(),
                outcome,
            });
        }
    }
    results.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    output.result(
        |out, style, verbosity| report::roles_applied(out, &results, style, verbosity),
        &report::roles_applied_document(&results),
    )?;
    let has_failed = results.iter().any(|result| !result.outcome.is_well());
    if fleet.config.execution.isolation == Isolation::None && !has_failed {
        output.notice(
            "execution.isolation is none: migrations run as fleet's own role until it is set to role",
        );
    }
    Ok(if has_failed {
        ExitCode::TenantsFailed
    } else {
        ExitCode::Done
    })
}

/// Tries as often as a migration would be tried: a lock that somebody holds is given back.
async fn one_tenant(
    fleet: &Fleet,
    pool: &Pool,
    tenant: &TenantId,
    wanted: &Wanted,
    near: &Neighbours,
) -> RoleOutcome {
    for attempt in 1.. {
        let failure = match attempt_at(pool, tenant, wanted, near).await {
            Ok(changes) if changes.is_empty() => return RoleOutcome::Unchanged,
            Ok(changes) => return RoleOutcome::Done(changes),
            Err(ApplyError::ByHand(gaps)) => return RoleOutcome::ByHand(gaps),
            Err(ApplyError::Failed(failure)) => failure,
        };
        let pause = fleet
            .config
            .execution
            .retry
            .pause_after(attempt, fastrand::f64());
        match pause {
            Some(pause) if failure.class == FailureClass::Transient => {
                tokio::time::sleep(pause).await;
            }
            _ => return RoleOutcome::Failed(failure),
        }
    }
    RoleOutcome::Unchanged
}

async fn attempt_at(
    pool: &Pool,
    tenant: &TenantId,
    wanted: &Wanted,
    near: &Neighbours,
) -> Result<Vec<Change>, ApplyError> {
    let failed = |failure: Failure| ApplyError::Failed(Box::new(failure));
    let client = pg::checkout(pool, &tenant.database).await;
    let mut client = client.map_err(|error| failed(error.failure()))?;
    let key = migrator::lock_key(&wanted.schema);
    let applied = catalog::apply(&mut client, wanted, key, near).await;
    if applied.is_err() {
        // of unknown state
        pg::discard(client);
    }
    applied
}
