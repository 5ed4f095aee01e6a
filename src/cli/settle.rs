//! `fleet settle`: what a person has found out about a statement in doubt.

use std::io::{self, Write};

use serde::Serialize;

use super::error::Refusal;
use super::fleet::{Fleet, Needed};
use super::options::{Global, SettleArguments, SettleVerdict};
use super::output::Output;
use crate::migrator::{self, Settled, Verdict};
use crate::run::ExitCode;

#[derive(Serialize)]
struct Document<'a> {
    settled: Vec<Row<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    database: &'a str,
    schema: &'a str,
    version: i64,
    statement: u32,
    text: &'a str,
    begun_at: &'a str,
    verdict: &'a str,
}

/// Notes the verdict in each selected tenant that is in doubt.
pub(super) async fn execute(
    global: &Global,
    arguments: &SettleArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if arguments.selection.typed().is_none() {
        return Err(Refusal::NothingSelected.into());
    }
    let fleet = Fleet::open(global, Needed::Tenants(&arguments.selection), output).await?;
    let mut settled = Vec::new();
    let done = settle(&fleet, arguments, &mut settled).await;
    fleet.close().await?;
    if settled.is_empty() {
        done?;
        return Err(Refusal::NothingInDoubt.into());
    }
    let word = match arguments.verdict {
        SettleVerdict::Done => "done",
        SettleVerdict::Again => "again",
    };
    let document = Document {
        settled: settled.iter().map(|settled| row(settled, word)).collect(),
    };
    output.result(|out, _, _| write(out, &settled, word), &document)?;
    match done {
        Ok(()) => Ok(ExitCode::Done),
        // what was settled before is told
        Err(error) => Ok(output.complain(&error).0),
    }
}

async fn settle(
    fleet: &Fleet,
    arguments: &SettleArguments,
    settled: &mut Vec<Settled>,
) -> anyhow::Result<()> {
    fleet.check_writable().await?;
    let tenants = fleet.tenants(&arguments.selection).await?;
    let verdict = match arguments.verdict {
        SettleVerdict::Done => Verdict::Done,
        SettleVerdict::Again => Verdict::Again,
    };
    for tenant in &tenants.selected {
        let Some(pool) = fleet.pool(&tenant.id.database) else {
            continue;
        };
        settled.extend(migrator::settle_by_hand(pool, &tenant.id, verdict).await?);
    }
    Ok(())
}

fn row<'a>(settled: &'a Settled, verdict: &'a str) -> Row<'a> {
    Row {
        database: settled.tenant.database.as_str(),
        schema: settled.tenant.schema.as_str(),
        version: settled.version,
        statement: settled.step,
        text: &settled.statement,
        begun_at: &settled.begun_at,
        verdict,
    }
}

fn write(out: &mut dyn Write, all: &[Settled], verdict: &str) -> io::Result<()> {
    for settled in all {
        let statement: String = settled.statement.chars().take(80).collect();
        writeln!(
            out,
            "{}: V{} statement {} (begun {}): {}: {}",
            settled.tenant,
            settled.version,
            settled.step,
            settled.begun_at,
            match verdict {
                "done" => "noted as done",
                _ => "will run again",
            },
            statement.escape_debug()
        )?;
    }
    writeln!(out, "Next: fleet resume")
}
