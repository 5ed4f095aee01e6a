//! What can be typed to put single tenants right.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::options::{Selection, parse_pattern};
use super::run_options::{RunArguments, parse_wait};
use crate::migration::Version;
use crate::tenant::TenantPattern;

/// Tenants by name, and by whatever else selects them.
#[derive(Args, Debug)]
pub(super) struct Named {
    /// The tenants: schema, database/schema, or a pattern; one that matches nothing is an error
    #[arg(value_name = "TENANT", value_parser = parse_pattern)]
    names: Vec<TenantPattern>,

    /// The same as for other commands.
    #[command(flatten)]
    selection: Selection,
}

impl Named {
    /// All of it as one selection.
    pub(super) fn selection(&self) -> Selection {
        let mut selection = self.selection.clone();
        selection.tenants.splice(0..0, self.names.iter().cloned());
        selection
    }
}

/// `fleet repair`.
#[derive(Args, Debug)]
pub(super) struct RepairArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) named: Named,

    /// The SQL to run once in each of them. What is pending follows in the same transaction
    #[arg(long, value_name = "FILE")]
    pub(super) sql: PathBuf,

    /// Why, for those who read fleet show later
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(super) reason: Option<String>,

    /// Run the SQL and no migration; tenants that would be refused for their history are repaired too
    #[arg(long)]
    pub(super) no_migrate: bool,

    /// Migrate up to this version instead of the newest
    #[arg(long, value_name = "VERSION", conflicts_with = "no_migrate")]
    pub(super) to: Option<Version>,

    /// Run the SQL also where this very file was run before
    #[arg(long)]
    pub(super) again: bool,

    /// Only show what would be done
    #[arg(long)]
    pub(super) dry_run: bool,

    /// How it is run.
    #[command(flatten)]
    pub(super) running: RunArguments,
}

/// What the acts have in common that write into histories.
#[derive(Args, Debug)]
pub(super) struct EntryArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) named: Named,

    /// Why, for those who read fleet show later
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(super) reason: String,

    /// Only show what would be done
    #[arg(long)]
    pub(super) dry_run: bool,

    /// How long to wait for another run to end, instead of control.wait (such as 10m; 0 not at all)
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    pub(super) wait: Option<Duration>,
}

/// `fleet skip`.
#[derive(Args, Debug)]
pub(super) struct SkipArguments {
    /// The migration, which must be the next one of each tenant
    #[arg(value_name = "VERSION")]
    pub(super) version: Version,

    /// Where and why.
    #[command(flatten)]
    pub(super) entry: EntryArguments,
}

/// `fleet baseline`.
#[derive(Args, Debug)]
pub(super) struct BaselineArguments {
    /// The version that the tenants' tables are at
    #[arg(long, value_name = "VERSION")]
    pub(super) at: Version,

    /// Where and why.
    #[command(flatten)]
    pub(super) entry: EntryArguments,
}

/// `fleet accept-divergent`.
#[derive(Args, Debug)]
pub(super) struct AcceptArguments {
    /// Only this version, instead of every file that was edited
    #[arg(long, value_name = "VERSION")]
    pub(super) version: Option<Version>,

    /// Where and why.
    #[command(flatten)]
    pub(super) entry: EntryArguments,
}

pub(super) fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.contains('\0') {
        Err("say why in a few words".to_owned())
    } else {
        Ok(text.to_owned())
    }
}
