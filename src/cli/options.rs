//! What can be typed.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::act_options::{
    AcceptArguments, BaselineArguments, RepairArguments, SkipArguments, parse_reason,
};
use super::failures::FailuresArguments;
use super::gate::GateArguments;
use super::hold::{HoldArguments, PinArguments, ReleaseArguments};
use super::lint::LintArguments;
use super::listed::Listed;
use super::rehearse::RehearseArguments;
use super::roles::RolesArguments;
use super::run_options::{RunArguments, parse_wait};
use super::verify::VerifyArguments;
use super::watch::WatchArguments;
use crate::config;
use crate::migration::Version;
use crate::plan::WaveRule;
use crate::report::shell_word;
use crate::tenant::{DatabaseName, TenantFilter, TenantPattern};

const EXIT_CODES: &str = "\
Exit codes:
  0  everything asked for is done (also: nothing was pending)
  1  unexpected error                       2  usage
  3  config or migration set refused, nothing touched
  4  some tenants failed                    5  stopped by a gate, a check or the failure budget
  6  another run holds the lease            7  divergent or missing tenants found,
                                           or, for gate, tenants that are not there,
                                           or, for doctor, not as the config asks,
                                           or, for verify, that differ or reach others
  8  deadline reached or not stable, work remains: the same command again carries on
  130/143  interrupted by SIGINT/SIGTERM, resumable

Progress and notices go to stderr, results to stdout.";

/// Migrates every tenant schema of a schema-per-tenant PostgreSQL system, or says exactly which it
/// did not migrate and why.
#[derive(Parser, Debug)]
#[command(name = "fleet", version, after_help = EXIT_CODES, max_term_width = 100)]
pub(super) struct Options {
    /// What applies to every command.
    #[command(flatten)]
    pub(super) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Where the config is looked for.
pub(super) const DEFAULT_CONFIG: &str = "fleet.yaml";

/// What applies to every command.
#[derive(Args, Debug, Clone)]
pub(super) struct Global {
    /// The config file
    #[arg(
        short,
        long,
        global = true,
        default_value = DEFAULT_CONFIG,
        value_name = "FILE"
    )]
    pub(super) config: PathBuf,

    /// How results are written to stdout
    #[arg(short, long, global = true, value_enum, default_value_t = OutputFormat::Human, value_name = "FORMAT")]
    pub(super) output: OutputFormat,

    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    pub(super) color: Color,

    /// Every tenant by name
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(super) verbose: bool,

    /// No progress, and no summary where all is well
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Text for people
    Human,
    /// One JSON document at the end
    Json,
    /// One JSON event a line as it happens, the document as the last line
    Ndjson,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    /// On a terminal, unless `NO_COLOR` is set or TERM is dumb
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// Whether a command line that does not parse asks for one of the machine formats all the same.
pub(super) fn asks_for_a_document(arguments: impl Iterator<Item = String>) -> bool {
    let mut value_follows = false;
    for argument in arguments {
        let value = if value_follows {
            argument.as_str()
        } else {
            argument
                .strip_prefix("--output=")
                .or_else(|| argument.strip_prefix("-o"))
                .unwrap_or_default()
        };
        if matches!(value.trim_start_matches('='), "json" | "ndjson") {
            return true;
        }
        value_follows = matches!(argument.as_str(), "-o" | "--output");
    }
    false
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Plan, then migrate every tenant that has pending migrations
    Migrate(MigrateArguments),
    /// Show what migrate would do, tenant by tenant; writes nothing anywhere
    Plan(PlanArguments),
    /// Run what is pending in real tenants and roll it back: who would fail, what it locks, how long it takes
    Rehearse(RehearseArguments),
    /// Judge migration files before any database is touched: what leaves a tenant's schema, what locks it
    Lint(LintArguments),
    /// Show where every tenant is: versions, pending, failed, in progress, held
    Status(StatusArguments),
    /// Carry on the last unfinished run: tenants not yet done, interrupted or failed
    Resume(ResumeArguments),
    /// Let the next wave of a run begin that waits for it (gate: manual)
    Approve(ApproveArguments),
    /// List past runs
    Runs(RunsArguments),
    /// Show one run: its tenants, attempts and failures by cause
    Show(ShowArguments),
    /// Show what went wrong in a run by cause, with the statement and what usually helps
    Failures(FailuresArguments),
    /// Follow a run that another process executes, to its end
    Watch(WatchArguments),
    /// Say whether every tenant is at a version, for a program that must not start before
    Gate(GateArguments),
    /// Say whether tenants are equal, or prove that none reaches another
    Verify(VerifyArguments),
    /// List the tenants that the config finds
    Tenants(TenantsArguments),
    /// Rebuild the ledger from the tenants' histories and report where they disagreed
    Reconcile(ReconcileArguments),
    /// Say what became of a statement that an interruption has left in doubt
    Settle(SettleArguments),
    /// Run SQL once in tenants, then migrate them, in one transaction
    Repair(RepairArguments),
    /// Record a pending migration of tenants as applied, without running it
    Skip(SkipArguments),
    /// Give tenants a history that have tables and none, without running anything
    Baseline(BaselineArguments),
    /// Take files as they are now that were edited after tenants had applied them
    AcceptDivergent(AcceptArguments),
    /// Leave tenants alone, until a time or until they are released
    Hold(HoldArguments),
    /// Take tenants no further than a version, until a time or until they are released
    Pin(PinArguments),
    /// End holds and pins of tenants
    Release(ReleaseArguments),
    /// Give each tenant a role that owns its schema and nothing else (execution.isolation: role)
    Roles(RolesArguments),
    /// Look whether databases, roles and limits are what the config asks for; writes nothing anywhere
    Doctor,
    /// Create or upgrade the control schema (migrate does it too)
    Init,
    /// The private local PostgreSQL server behind `url: embedded`
    Embedded(EmbeddedArguments),
}

/// Which tenants are meant. Nothing means all of them; a selection that matches none is an error.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct Selection {
    /// Only tenants whose schema (or database/schema) matches; may be given several times
    #[arg(long = "tenant", value_name = "GLOB", value_parser = parse_pattern)]
    pub(super) tenants: Vec<TenantPattern>,

    /// Only tenants of this database of the config; may be given several times
    #[arg(long = "database", value_name = "NAME")]
    pub(super) databases: Vec<String>,

    /// Only tenants with this label; may be given several times, all must match
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub(super) labels: Vec<(String, String)>,

    /// Tenants that are named one by one.
    #[command(flatten)]
    pub(super) listed: Listed,
}

impl Selection {
    /// The selection as a filter.
    pub(super) fn filter(&self) -> TenantFilter {
        TenantFilter {
            tenants: self.tenants.clone(),
            exactly: self.listed.tenants(),
            databases: self
                .databases
                .iter()
                .map(|name| DatabaseName::new(name))
                .collect(),
            labels: self.labels.clone(),
        }
    }

    /// The selection as it can be typed; None for the whole fleet.
    pub(super) fn typed(&self) -> Option<String> {
        let tenants = self
            .tenants
            .iter()
            .map(|p| format!("--tenant {}", shell_word(p.as_str())));
        let databases = self.databases.iter().map(|d| format!("--database {d}"));
        let labels = self
            .labels
            .iter()
            .map(|(k, v)| format!("--label {}", shell_word(&format!("{k}={v}"))));
        let named = tenants.chain(databases).chain(labels);
        // the last: --only takes all words behind it
        let typed: Vec<String> = named.chain(self.listed.typed()).collect();
        (!typed.is_empty()).then(|| typed.join(" "))
    }
}

pub(super) fn parse_pattern(text: &str) -> Result<TenantPattern, String> {
    TenantPattern::parse(text).map_err(|error| error.kind().to_string())
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| "write it as KEY=VALUE".to_owned())
}

/// `fleet migrate`.
#[expect(clippy::struct_excessive_bools, reason = "flags that are typed")]
#[derive(Args, Debug)]
pub(super) struct MigrateArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Migrate up to this version instead of the newest
    #[arg(long, value_name = "VERSION")]
    pub(super) to: Option<Version>,

    /// Only show the plan
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Who goes first.
    #[command(flatten)]
    pub(super) waves: WaveArguments,
    /// Rehearse first, as fleet rehearse does, and migrate nobody where somebody would fail
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) rehearse: bool,

    /// Go on with tenants that have come meanwhile, until none has come, five runs at most
    #[arg(long, conflicts_with = "dry_run")]
    pub(super) until_stable: bool,

    /// Do not wait for the windows of rollout.windows
    #[arg(long)]
    pub(super) ignore_windows: bool,

    /// How it is run.
    #[command(flatten)]
    pub(super) running: RunArguments,
}

/// Who goes first.
#[derive(Args, Debug, Clone, Default)]
pub(super) struct WaveArguments {
    /// So many tenants go first, as a wave of their own
    #[arg(long, value_name = "N", conflicts_with = "no_canary")]
    pub(super) canary: Option<NonZeroU32>,

    /// No canary where there are no waves
    #[arg(long)]
    pub(super) no_canary: bool,

    /// A wave instead of those of the config; may be given several times, in order. 5, 10%, or pairs such as
    /// name=beta,label=plan:free,count=5%,random=7,soak=10m,gate=manual,check=SELECT …
    #[arg(long = "wave", value_name = "WAVE", value_parser = config::parse_wave)]
    pub(super) waves: Vec<WaveRule>,
}

/// `fleet approve`.
#[derive(Args, Debug)]
pub(super) struct ApproveArguments {
    /// The run, or the beginning of its name; the last one that waits if left out
    #[arg(value_name = "RUN")]
    pub(super) run: Option<String>,
}

/// `fleet resume`.
#[derive(Args, Debug)]
pub(super) struct ResumeArguments {
    /// The run to carry on, or the beginning of its name; the last unfinished one if left out
    #[arg(value_name = "RUN")]
    pub(super) run: Option<String>,

    /// Which tenants of it.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// What has changed since the run was halted; needed where the migration files have not
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    pub(super) what_changed: Option<String>,

    /// Do not wait for the windows of rollout.windows
    #[arg(long)]
    pub(super) ignore_windows: bool,

    /// How it is run.
    #[command(flatten)]
    pub(super) running: RunArguments,
}

/// `fleet plan`.
#[derive(Args, Debug)]
pub(super) struct PlanArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// Plan up to this version instead of the newest
    #[arg(long, value_name = "VERSION")]
    pub(super) to: Option<Version>,

    /// Who would go first.
    #[command(flatten)]
    pub(super) waves: WaveArguments,

    /// Do not wait for the windows of rollout.windows
    #[arg(long)]
    pub(super) ignore_windows: bool,
}

/// `fleet status`.
#[derive(Args, Debug)]
pub(super) struct StatusArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,
}

/// `fleet tenants`.
#[derive(Args, Debug)]
pub(super) struct TenantsArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,
}

/// `fleet reconcile`.
#[derive(Args, Debug)]
pub(super) struct ReconcileArguments {
    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// How long to wait for another run to end, instead of control.wait (such as 10m; 0 not at all)
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    pub(super) wait: Option<Duration>,
}

/// `fleet settle`.
#[derive(Args, Debug)]
pub(super) struct SettleArguments {
    /// What you have found out
    #[arg(value_enum, value_name = "VERDICT")]
    pub(super) verdict: SettleVerdict,

    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,
}

/// What somebody has found out about a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum SettleVerdict {
    /// It is done: go on behind it
    Done,
    /// It is not done, or may be run once more: run it again
    Again,
}

/// `fleet runs`.
#[derive(Args, Debug)]
pub(super) struct RunsArguments {
    /// How many, the newest first
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: u32,
}

/// `fleet show`.
#[derive(Args, Debug)]
pub(super) struct ShowArguments {
    /// The run, or the beginning of its name; the last one if left out
    #[arg(value_name = "RUN")]
    pub(super) run: Option<String>,
}

/// `fleet embedded`.
#[derive(Args, Debug)]
pub(super) struct EmbeddedArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub(super) action: EmbeddedAction,
}

/// What to do with the embedded server.
#[derive(Subcommand, Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EmbeddedAction {
    /// Start it and keep it running
    Start,
    /// Stop it
    Stop,
    /// Print its URL; it must be running
    Url,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_command_line_still_tells_its_format() {
        let asks = |line: &str| asks_for_a_document(line.split(' ').map(str::to_owned));
        assert!(asks("fleet migrate -o json --tennant x"));
        assert!(asks("fleet --output=ndjson migrat"));
        assert!(asks("fleet -ojson migrat"));
        assert!(!asks("fleet migrate --tennant json"));
        assert!(!asks("fleet -o human migrat"));
    }

    #[test]
    fn the_command_line_is_well_formed() {
        use clap::CommandFactory;
        Options::command().debug_assert();
    }
}
