//! `fleet init` and `fleet reconcile`: the control schema itself.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use serde::Serialize;

use super::fleet::{Fleet, Needed};
use super::lease;
use super::options::{Global, ReconcileArguments};
use super::output::Output;
use crate::ledger::{ControlState, Disagreement, LastSeen};
use crate::plan::HistorySnapshot;
use crate::run::ExitCode;
use crate::tenant::TenantId;

#[derive(Serialize)]
struct Initialised<'a> {
    schema: &'a str,
    action: &'a str,
}

/// Creates or upgrades the control schema.
pub(super) async fn init(global: &Global, output: &Output) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Control, output).await?;
    let before = async {
        let mut control = fleet.control().await?;
        anyhow::Ok(control.ensure().await?)
    }
    .await;
    let schema = fleet.config.control.schema.clone();
    fleet.close().await?;
    let action = match before? {
        ControlState::Missing => "created",
        ControlState::Older(_) => "upgraded",
        ControlState::Current => "already up to date",
    };
    let document = Initialised {
        schema: schema.as_str(),
        action,
    };
    output.result(
        |out, _, _| writeln!(out, "Control schema {schema}: {action}"),
        &document,
    )?;
    Ok(ExitCode::Done)
}

#[derive(Serialize)]
struct Reconciled<'a> {
    tenants: usize,
    disagreements: Vec<DisagreementRow<'a>>,
    unreadable: Vec<UnreadableRow<'a>>,
}

#[derive(Serialize)]
struct DisagreementRow<'a> {
    database: &'a str,
    schema: &'a str,
    ledger: LastSeen,
    history: LastSeen,
    gone: bool,
}

#[derive(Serialize)]
struct UnreadableRow<'a> {
    database: &'a str,
    schema: &'a str,
    reason: &'a str,
}

/// Rebuilds the ledger from the histories.
pub(super) async fn reconcile(
    global: &Global,
    arguments: &ReconcileArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Tenants(&arguments.selection), output).await?;
    let reconciled = read_and_compare(&fleet, arguments, output).await;
    fleet.close().await?;
    let reconciled = reconciled?;
    output.result(|out, _, _| reconciled.write(out), &reconciled.document())?;
    Ok(if reconciled.unreadable.is_empty() {
        ExitCode::Done
    } else {
        ExitCode::TenantsFailed
    })
}

struct Outcome {
    tenants: usize,
    disagreements: Vec<Disagreement>,
    unreadable: Vec<(TenantId, String)>,
}

async fn read_and_compare(
    fleet: &Fleet,
    arguments: &ReconcileArguments,
    output: &Output,
) -> anyhow::Result<Outcome> {
    fleet.check_writable().await?;
    let lease = lease::take(fleet, arguments.wait, None, output).await?;
    let set = fleet.read_set()?;
    let tenants = fleet.tenants(&arguments.selection).await?;
    let plan = fleet.plan(&set, set.head(), tenants).await?;
    let mut histories: HashMap<TenantId, LastSeen> = HashMap::new();
    let mut unreadable = Vec::new();
    for tenant in &plan.tenants {
        let id = tenant.tenant.id.clone();
        match &tenant.history {
            HistorySnapshot::Rows { .. } | HistorySnapshot::NoTable { .. } => {
                histories.insert(id, tenant.from);
            }
            HistorySnapshot::SchemaAbsent => {}
            HistorySnapshot::Corrupt { row, problem } => {
                unreadable.push((id, format!("{row}: {problem}")));
            }
            HistorySnapshot::Unreadable { message, .. } => unreadable.push((id, message.clone())),
        }
    }
    let whole_fleet = arguments.selection.typed().is_none();
    // what cannot be read is not known to be gone
    let skipped: HashSet<&TenantId> = unreadable.iter().map(|(id, _)| id).collect();
    let disagreements = lease.reconcile(&histories, &skipped, whole_fleet).await?;
    Ok(Outcome {
        tenants: histories.len(),
        disagreements,
        unreadable,
    })
}

impl Outcome {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "{} histories read, {} disagreed with the ledger, which now says what they say",
            self.tenants,
            self.disagreements.len()
        )?;
        for found in &self.disagreements {
            let ledger = version(found.ledger);
            match found.history {
                Some(history) => writeln!(
                    out,
                    "  {}: the ledger said {ledger}, the history says {}",
                    found.tenant,
                    version(history)
                )?,
                None => writeln!(
                    out,
                    "  {}: the ledger said {ledger}, the config finds no such tenant any more",
                    found.tenant
                )?,
            }
        }
        for (tenant, reason) in &self.unreadable {
            writeln!(out, "  {tenant}: its history cannot be read: {reason}")?;
        }
        Ok(())
    }

    fn document(&self) -> impl Serialize + '_ {
        Reconciled {
            tenants: self.tenants,
            disagreements: self
                .disagreements
                .iter()
                .map(|found| DisagreementRow {
                    database: found.tenant.database.as_str(),
                    schema: found.tenant.schema.as_str(),
                    ledger: found.ledger,
                    history: found.history.flatten(),
                    gone: found.history.is_none(),
                })
                .collect(),
            unreadable: self
                .unreadable
                .iter()
                .map(|(tenant, reason)| UnreadableRow {
                    database: tenant.database.as_str(),
                    schema: tenant.schema.as_str(),
                    reason,
                })
                .collect(),
        }
    }
}

fn version(version: LastSeen) -> String {
    version.map_or_else(|| "no version".to_owned(), |version| format!("V{version}"))
}
