//! `fleet doctor`: whether the set-up is what the config asks for. Writes nothing anywhere.

use super::error;
use super::fleet::{Fleet, Found, Needed, OpenDatabase};
use super::options::Global;
use super::output::Output;
use crate::catalog::{self, Standing};
use crate::config::{self, Isolation};
use crate::ledger::ControlState;
use crate::pg::{self, PgError, ServerFacts};
use crate::plan;
use crate::report::{self, Finding, Health};
use crate::run::ExitCode;
use crate::tenant::{Presence, SchemaName, Tenant};

/// The setting by which a server notices that a client has died in the middle of a statement.
const CLIENT_CHECK: &str = "client_connection_check_interval";

/// Looks at everything and tells what it has found.
pub(super) async fn execute(global: &Global, output: &Output) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Whatever, output).await?;
    let findings = look(&fleet).await;
    fleet.close().await?;
    let exit = if findings.iter().any(|found| found.health == Health::Bad) {
        ExitCode::Divergent
    } else {
        ExitCode::Done
    };
    output.result(
        |out, style, verbosity| report::doctor(out, &findings, style, verbosity),
        &report::doctor_document(&findings, exit),
    )?;
    Ok(exit)
}

async fn look(fleet: &Fleet) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = Found {
        selected: Vec::new(),
        others: Vec::new(),
    };
    let mut is_whole = true;
    for (config, open) in fleet.needed() {
        match database(fleet, (config, open), &mut findings).await {
            Ok(tenants) => found.selected.extend(tenants),
            Err(error) => {
                is_whole = false;
                let hint = error::hint(&error);
                findings.push(Finding {
                    hint,
                    ..of(open, "server", Health::Bad, error::message(&error))
                });
            }
        }
    }
    if is_whole {
        findings.push(isolation(fleet, &found).await);
    }
    findings.push(control(fleet).await);
    findings
}

fn of(open: &OpenDatabase, check: &'static str, health: Health, message: String) -> Finding {
    Finding {
        database: Some(open.name.clone()),
        ..about(check, health, message)
    }
}

fn about(check: &'static str, health: Health, message: String) -> Finding {
    Finding {
        check,
        database: None,
        health,
        message,
        hint: None,
        tenants: Vec::new(),
    }
}

/// One database, as far as it answers; its tenants.
async fn database(
    fleet: &Fleet,
    (config, open): (&config::Database, &OpenDatabase),
    findings: &mut Vec<Finding>,
) -> anyhow::Result<Vec<Tenant>> {
    let client = pg::checkout(&open.pool, &open.name).await?;
    let facts = pg::inspect_server(&client).await?;
    findings.push(server(open, &facts));
    findings.push(connections(open, config, &facts));
    let checks_clients = open.pool.transaction_settings().iter();
    if !checks_clients
        .into_iter()
        .any(|setting| setting.starts_with(CLIENT_CHECK))
    {
        findings.push(Finding {
            hint: Some("PostgreSQL 14 or newer on Linux has it".to_owned()),
            ..of(open, "client_check", Health::Doubtful, format!(
                "the server has no {CLIENT_CHECK}: a statement goes on after fleet has died, to its end"
            ))
        });
    }
    drop(client);
    let tenants = fleet.find(config, open).await?;
    let there = tenants
        .iter()
        .filter(|tenant| tenant.presence == Presence::Present);
    let schemas: Vec<SchemaName> = there.map(|tenant| tenant.id.schema.clone()).collect();
    let client = pg::checkout(&open.pool, &open.name).await?;
    let standing = catalog::standing(&client, &schemas).await;
    let standing = standing.map_err(|error| PgError::query("looking at fleet's role", error))?;
    role(
        open,
        &facts,
        &standing,
        fleet.config.execution.isolation,
        findings,
    );
    open_doors(open, &standing, findings);
    indexes(open, &standing, schemas.len(), findings);
    Ok(tenants)
}

fn server(open: &OpenDatabase, facts: &ServerFacts) -> Finding {
    match facts.refusal() {
        Some(why) => of(open, "server", Health::Bad, why),
        None => of(
            open,
            "server",
            Health::Good,
            format!("PostgreSQL {}, writable, answers", facts.version),
        ),
    }
}

fn connections(open: &OpenDatabase, config: &config::Database, facts: &ServerFacts) -> Finding {
    let slots = facts
        .max_connections
        .saturating_sub(facts.superuser_reserved) as usize;
    let ours = config.max_connections.get();
    let message =
        format!("max_connections: fleet may open {ours} of the server's {slots} connections");
    if ours < slots {
        of(open, "connections", Health::Good, message)
    } else {
        Finding {
            hint: Some("leave the application its share: databases[].max_connections".to_owned()),
            ..of(open, "connections", Health::Bad, message)
        }
    }
}

fn role(
    open: &OpenDatabase,
    facts: &ServerFacts,
    standing: &Standing,
    isolation: Isolation,
    findings: &mut Vec<Finding>,
) {
    let user = &facts.current_user;
    let what = match (standing.is_superuser, standing.makes_roles) {
        (true, _) => "is a superuser",
        (false, true) => "may make roles (CREATEROLE)",
        (false, false) => "is neither superuser nor CREATEROLE",
    };
    let mut found = of(
        open,
        "role",
        Health::Good,
        format!("fleet's role {user} {what}"),
    );
    if isolation == Isolation::Role && !standing.makes_roles {
        found.health = Health::Doubtful;
        found.hint = Some(
            "another role has to run fleet roles apply, or what fleet roles plan prints".to_owned(),
        );
    }
    findings.push(found);
    if !standing.sees_sessions {
        let message = format!(
            "{user} does not see what the sessions of others do: throttle.active_sessions counts without them"
        );
        findings.push(Finding {
            hint: Some("GRANT pg_monitor to it".to_owned()),
            ..of(open, "monitor", Health::Doubtful, message)
        });
    }
}

fn open_doors(open: &OpenDatabase, standing: &Standing, findings: &mut Vec<Finding>) {
    if standing.open_schemas.is_empty() {
        return;
    }
    let names = standing.open_schemas.join(", ");
    findings.push(Finding {
        hint: Some(
            "REVOKE CREATE ON SCHEMA … FROM PUBLIC, after a look at who else needs it (before PostgreSQL 15 public is made so)"
                .to_owned(),
        ),
        ..of(open, "public", Health::Doubtful, format!("everybody may create objects in {names}"))
    });
}

fn indexes(open: &OpenDatabase, standing: &Standing, tenants: usize, findings: &mut Vec<Finding>) {
    if standing.invalid_indexes == 0 {
        findings.push(of(
            open,
            "indexes",
            Health::Good,
            format!("no invalid index in its {tenants} tenants"),
        ));
        return;
    }
    let message = format!(
        "{} invalid indexes in tenants, such as {}",
        standing.invalid_indexes,
        standing.examples.join(", ")
    );
    findings.push(Finding {
        hint: Some("a build broke off: every write pays for it, and no query uses it; DROP INDEX CONCURRENTLY and build it anew".to_owned()),
        ..of(open, "indexes", Health::Doubtful, message)
    });
}

/// Whether the database keeps migrations inside of their tenants.
async fn isolation(fleet: &Fleet, found: &Found) -> Finding {
    let there = found
        .selected
        .iter()
        .filter(|tenant| tenant.presence != Presence::Absent);
    let tenants = there.count();
    let unguarded = match fleet.unguarded(found).await {
        Ok(unguarded) => unguarded,
        Err(error) => return about("isolation", Health::Bad, error::message(&error)),
    };
    let guarded = tenants.saturating_sub(unguarded.len());
    if fleet.config.execution.isolation == Isolation::None {
        let message = format!(
            "execution.isolation is none: nothing in the database keeps a migration inside of its tenant \
             ({guarded} of {tenants} tenants have a role that would)"
        );
        return about("isolation", Health::Good, message);
    }
    let message = format!(
        "{guarded} of {tenants} tenants are guarded by the database (execution.isolation: role)"
    );
    let mut unguarded: Vec<_> = unguarded.into_iter().collect();
    unguarded.sort_by(|(a, _), (b, _)| a.cmp(b));
    let hints = plan::hints(unguarded.iter().map(|(_, why)| why));
    let health = if unguarded.is_empty() {
        Health::Good
    } else {
        Health::Bad
    };
    Finding {
        hint: (!hints.is_empty()).then(|| hints.join("; ")),
        tenants: unguarded
            .into_iter()
            .map(|(id, why)| (id, why.to_string()))
            .collect(),
        ..about("isolation", health, message)
    }
}

async fn control(fleet: &Fleet) -> Finding {
    let schema = &fleet.config.control.schema;
    let state = async { anyhow::Ok(fleet.control().await?.state().await?) }.await;
    let message = match state {
        Ok(ControlState::Current) => format!("control schema {schema}: up to date"),
        Ok(ControlState::Older(version)) => {
            format!("control schema {schema}: at V{version}, the next migrate upgrades it")
        }
        Ok(ControlState::Missing) => {
            format!("control schema {schema}: not there yet, the first migrate creates it")
        }
        Err(error) => {
            let hint = error::hint(&error);
            let message = format!("control schema {schema}: {}", error::message(&error));
            return Finding {
                hint,
                ..about("control", Health::Bad, message)
            };
        }
    };
    about("control", Health::Good, message)
}
