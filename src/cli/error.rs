//! From an error to an exit code and a second line that says what to do.

use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::compare;
use super::linting::{LintRefused, REFUSED_HINT};
use crate::catalog::CatalogError;
use crate::config::ConfigError;
use crate::history::HistoryError;
use crate::inventory::InventoryError;
use crate::ledger::LedgerError;
use crate::migrator::SettleError;
use crate::pg::{self, EmbeddedError, PgError, UrlError};
use crate::plan::UnknownTarget;
use crate::report;
use crate::run::{ExitCode, FailureClass, RunOutcome, StopSignal};
use crate::source::SourceError;

/// What fleet's role needs for its own records.
const CONTROL_PRIVILEGES: &str = "GRANT CREATE ON DATABASE to fleet's role, or CREATE SCHEMA for it with AUTHORIZATION, or name another control.url";

/// The histories are the truth, and what is lost with the ledger is the record of past runs.
const CONTROL_DAMAGED: &str = "the control schema is damaged: DROP SCHEMA … CASCADE on it, then fleet migrate (or fleet reconcile) rebuilds it from the histories; holds and pins are lost with it";

/// What the command line itself refuses.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// A typo must not look like success.
    #[error("the selection matches no tenant: {selection} (the config finds {found})")]
    EmptySelection {
        /// As typed.
        selection: String,
        /// How many tenants there are.
        found: usize,
    },
    /// Tenants that are named and not there.
    #[error("no tenant is called {names} (the config finds {found})")]
    UnknownTenants {
        /// Some of them.
        names: String,
        /// How many tenants there are.
        found: usize,
    },
    /// The set could not be applied to an empty schema.
    #[error("database {database}: there is no reference: {problem}")]
    NoReference {
        /// Where it was to be built.
        database: String,
        /// Why it is not there.
        problem: String,
    },
    /// A server that says nothing, for all the time that there was.
    #[error("a database has not answered within {}", report::duration(*.0))]
    NoAnswer(Duration),
    /// `watch` where there is nothing to watch.
    #[error("no run is under way")]
    NothingRuns,
    /// A cause that a run does not have.
    #[error("no cause is called {typed}: {known}")]
    NoSuchCause {
        /// As typed.
        typed: String,
        /// Those that there are.
        known: String,
    },
    /// None of what a run left is there.
    #[error(
        "nothing of run {run} can be carried on: {names} not selected, or not found by the config now"
    )]
    NothingLeftHere {
        /// Which run.
        run: String,
        /// What it left.
        names: String,
    },
    /// `--database` names none of the config.
    #[error("no database of the config is called {name}; there is {known}")]
    UnknownDatabase {
        /// As typed.
        name: String,
        /// Those of the config.
        known: String,
    },
    /// Patterns that find nothing.
    #[error("no tenants found: {0}")]
    NoTenants(String),
    /// A server that must not be migrated.
    #[error("database {database}: {reason}")]
    Server {
        /// Which.
        database: String,
        /// Why.
        reason: String,
    },
    /// A tenant that would be migrated twice.
    #[error("{0}")]
    Overlap(String),
    /// `settle` without a word about whom.
    #[error(
        "name the tenants whose statement you have looked at: --tenant GLOB, --database or --label"
    )]
    NothingSelected,
    /// An act without a word about whom.
    #[error("name the tenants to {0}: TENANT…, --database or --label ('*' for all of them)")]
    NobodyNamed(&'static str),
    /// A run that is typed again instead.
    #[error("run {run} is a {command}, which is not carried on")]
    NotResumable {
        /// Which run.
        run: String,
        /// Its command.
        command: String,
    },
    /// `settle` where nothing is in doubt.
    #[error("no selected tenant has a statement in doubt")]
    NothingInDoubt,
    /// `release` of what is not held.
    #[error("no tenant is held or pinned that the selection matches: {selection}")]
    NothingHeld {
        /// As typed.
        selection: String,
    },
    /// A hold that would be over at once.
    #[error("--until {until} is past: it is {now} by the control database's clock")]
    UntilIsPast {
        /// As understood.
        until: String,
        /// What time it is.
        now: String,
    },
    /// A hold beyond all time.
    #[error("--until is too far away; leave it out to hold the tenant until it is released")]
    UntilTooFar,
    /// Nothing is embedded.
    #[error("no database of {config} has url: embedded")]
    NotEmbedded {
        /// The config file.
        config: String,
    },
    /// Tenants that the database does not guard, though the config says that it does.
    #[error(
        "{unguarded} of {of} tenants are not guarded by the database (execution.isolation: role):\n  {names}"
    )]
    Unguarded {
        /// How many.
        unguarded: usize,
        /// Of how many.
        of: usize,
        /// Some of them, and what they lack.
        names: String,
        /// What helps them.
        hint: String,
    },
    /// A wave that selects nobody: the canary would let everybody through.
    #[error("wave {0} selects no tenant of the fleet")]
    EmptyWave(String),
    /// A file or folder to judge that is not there.
    #[error("there is no file or folder {0}")]
    NoSuchFile(String),
    /// Two waves of the command line with one name.
    #[error("there are two waves called {0}")]
    SameWave(String),
    /// A wave of the command line that leaves nobody to those behind it.
    #[error(
        "wave {0} takes all tenants, and others follow it: say whom it takes (tenant, label, count)"
    )]
    EndlessWave(String),
    /// `approve` where no run waits for it.
    #[error("no run waits for an approval")]
    NobodyWaits,
    /// `approve` of a run that does not wait for it.
    #[error("run {0} waits for no approval")]
    NotWaiting(String),
    /// `resume` before the approval.
    #[error("run {run} waits for an approval: no wave follows {wave} before it is given")]
    NotApproved {
        /// Which run.
        run: String,
        /// After which wave.
        wave: String,
    },
    /// `resume` of a run that was halted, with the same files.
    #[error("run {run} was halted, and the migration files are the same since: {reason}")]
    NothingChanged {
        /// Which run.
        run: String,
        /// Why.
        reason: String,
    },
    /// A signal came before anything was touched.
    #[error("stopped by {} before any tenant was touched", signal_name(*.0))]
    Stopped(StopSignal),
    /// The deadline came before a run was recorded.
    #[error("the deadline was reached before any tenant was touched")]
    Deadline,
    /// `embedded url` without a server.
    #[error("the embedded server is not running")]
    NotRunning,
}

impl Refusal {
    fn exit(&self) -> ExitCode {
        match self {
            Self::EmptySelection { .. }
            | Self::UnknownTenants { .. }
            | Self::NothingLeftHere { .. }
            | Self::NoSuchCause { .. }
            | Self::NothingRuns
            | Self::NothingSelected
            | Self::NothingInDoubt
            | Self::NothingHeld { .. }
            | Self::UntilIsPast { .. }
            | Self::UntilTooFar
            | Self::NobodyWaits
            | Self::NotWaiting(_)
            | Self::SameWave(_)
            | Self::EndlessWave(_)
            | Self::NobodyNamed(_)
            | Self::NoSuchFile(_)
            | Self::NotResumable { .. }
            | Self::UnknownDatabase { .. } => ExitCode::Usage,
            Self::NotApproved { .. } | Self::NothingChanged { .. } => ExitCode::Halted,
            Self::NoTenants(_)
            | Self::EmptyWave(_)
            | Self::Unguarded { .. }
            | Self::Server { .. }
            | Self::Overlap(_)
            | Self::NoReference { .. }
            | Self::NotEmbedded { .. } => ExitCode::Refused,
            Self::Stopped(StopSignal::Interrupt) => ExitCode::Interrupted,
            Self::Stopped(StopSignal::Terminate) => ExitCode::Terminated,
            Self::Deadline => ExitCode::Deadline,
            Self::NotRunning | Self::NoAnswer(_) => ExitCode::Unexpected,
        }
    }

    fn hint(&self) -> Option<&str> {
        match self {
            Self::EmptySelection { .. }
            | Self::UnknownTenants { .. }
            | Self::NothingLeftHere { .. } => Some("fleet tenants lists what the config finds"),
            Self::Deadline => Some(
                "no run was recorded that could be resumed: type the same command again, with more time",
            ),
            Self::NoReference { .. } => Some(
                "the set is applied to an empty schema of its own, which takes CREATE on the database; without --reference tenants are compared with their majority",
            ),
            Self::NothingHeld { .. } => Some("fleet status names those that are"),
            Self::Unguarded { hint, .. } => Some(hint),
            Self::EmptyWave(_) => Some(
                "fleet tenants lists the names and labels that there are; a wave that takes nobody would let everybody through",
            ),
            Self::NobodyWaits | Self::NotWaiting(_) => {
                Some("fleet show has where the waves of a run are")
            }
            Self::NotApproved { .. } => {
                Some("fleet approve gives it, from any machine; then fleet resume goes on")
            }
            Self::NothingChanged { .. } => Some(
                "mend the file, or mend the tenants and say so: fleet resume --what-changed 'TEXT'",
            ),
            Self::NothingRuns => {
                Some("fleet runs lists the past ones; fleet show RUN says how one has ended")
            }
            Self::NotRunning => Some("fleet embedded start starts it and keeps it running"),
            Self::NoTenants(_) => Some(
                "if that is right, as before the first customer, say tenants.allow_empty: true",
            ),
            Self::NotResumable { .. } => Some(
                "type the command again: what is done is left out; fleet resume without a name carries on the last migrate",
            ),
            Self::UnknownDatabase { .. }
            | Self::NoSuchCause { .. }
            | Self::NoAnswer(_)
            | Self::Server { .. }
            | Self::Overlap(_)
            | Self::NobodyNamed(_)
            | Self::NoSuchFile(_)
            | Self::NothingSelected
            | Self::SameWave(_)
            | Self::EndlessWave(_)
            | Self::NothingInDoubt
            | Self::UntilIsPast { .. }
            | Self::UntilTooFar
            | Self::Stopped(_)
            | Self::NotEmbedded { .. } => None,
        }
    }
}

fn signal_name(signal: StopSignal) -> &'static str {
    match signal {
        StopSignal::Interrupt => "SIGINT",
        StopSignal::Terminate => "SIGTERM",
    }
}

/// What a command that ended in an error amounts to.
pub(super) fn outcome(exit: ExitCode) -> RunOutcome {
    match exit {
        ExitCode::Interrupted | ExitCode::Terminated | ExitCode::Deadline => {
            RunOutcome::Interrupted
        }
        ExitCode::Unexpected => RunOutcome::Failed,
        ExitCode::Done
        | ExitCode::Usage
        | ExitCode::Refused
        | ExitCode::TenantsFailed
        | ExitCode::Halted
        | ExitCode::LeaseHeld
        | ExitCode::Divergent => RunOutcome::Refused,
    }
}

/// What an error means for the caller.
pub(super) fn exit_code(error: &anyhow::Error) -> ExitCode {
    error
        .chain()
        .find_map(|cause| {
            if let Some(refusal) = cause.downcast_ref::<Refusal>() {
                return Some(refusal.exit());
            }
            if let Some(ledger) = cause.downcast_ref::<LedgerError>() {
                return Some(ledger_exit(ledger));
            }
            if let Some(pg) = cause.downcast_ref::<PgError>() {
                return Some(pg_exit(pg));
            }
            match cause.downcast_ref::<SettleError>() {
                Some(SettleError::Pg(pg)) => return Some(pg_exit(pg)),
                Some(SettleError::Busy { .. }) => return Some(ExitCode::LeaseHeld),
                Some(SettleError::Contradicted { .. }) => return Some(ExitCode::Usage),
                None => {}
            }
            if let Some(HistoryError::Connect(pg)) = cause.downcast_ref::<HistoryError>() {
                return Some(pg_exit(pg));
            }
            if cause.is::<UnknownTarget>() {
                return Some(ExitCode::Usage);
            }
            if let Some(inventory) = cause.downcast_ref::<InventoryError>()
                && passes(inventory)
            {
                return Some(ExitCode::Unexpected);
            }
            let refused = cause.is::<ConfigError>()
                || cause.is::<LintRefused>()
                || cause.is::<SourceError>()
                || cause.is::<InventoryError>()
                || cause.is::<UrlError>();
            refused.then_some(ExitCode::Refused)
        })
        .unwrap_or(ExitCode::Unexpected)
}

/// What to do about it, where that is known.
pub(super) fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return refusal.hint().map(str::to_owned);
        }
        if cause.is::<LintRefused>() {
            return Some(REFUSED_HINT.to_owned());
        }
        if let Some(LedgerError::Query { cause, .. }) = cause.downcast_ref::<LedgerError>()
            && matches!(
                cause.code(),
                Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN)
            )
        {
            return Some(CONTROL_DAMAGED.to_owned());
        }
        if let Some(LedgerError::Query { cause, .. }) = cause.downcast_ref::<LedgerError>()
            && cause.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE)
        {
            return Some(CONTROL_PRIVILEGES.to_owned());
        }
        let pg = match cause.downcast_ref::<LedgerError>() {
            Some(LedgerError::Connect(pg)) => Some(pg),
            _ => cause.downcast_ref::<PgError>(),
        };
        if let Some(pg) = pg {
            return pg.hint().map(str::to_owned);
        }
        if let Some(url) = cause.downcast_ref::<UrlError>() {
            return url.hint().map(str::to_owned);
        }
        let embedded = cause.downcast_ref::<EmbeddedError>();
        embedded.and_then(|error| error.hint().map(str::to_owned))
    })
}

fn ledger_exit(error: &LedgerError) -> ExitCode {
    match error {
        LedgerError::Connect(pg) => pg_exit(pg),
        LedgerError::LeaseHeld(_) => ExitCode::LeaseHeld,
        LedgerError::Newer { .. } => ExitCode::Refused,
        LedgerError::NoSuchRun(_) | LedgerError::AmbiguousRun { .. } | LedgerError::Missing(_) => {
            ExitCode::Usage
        }
        LedgerError::Query { .. }
        | LedgerError::Upgrade { .. }
        | LedgerError::LeaseLost(_)
        | LedgerError::NoAnswer
        | LedgerError::Conflict { .. } => ExitCode::Unexpected,
    }
}

/// A connection that the server or its certificate refuses is a matter of the config; one that
/// cannot be had now is not.
fn pg_exit(error: &PgError) -> ExitCode {
    match error {
        PgError::Url(_)
        | PgError::Authentication(_)
        | PgError::NoSuchDatabase(_)
        | PgError::Tls(_) => ExitCode::Refused,
        PgError::Unreachable(_)
        | PgError::TooManyConnections(_)
        | PgError::ServerStarting(_)
        | PgError::Refused(_)
        | PgError::Query { .. } => ExitCode::Unexpected,
    }
}

/// The whole message. Some errors carry their cause's text in their own, others only as a source:
/// each is said once.
pub(super) fn message(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if message.contains(&text) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&text);
    }
    message
}

/// Whether what was in the way of looking passes, so that looking again may succeed.
pub(super) fn is_transient(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        if let Some(inventory) = cause.downcast_ref::<InventoryError>() {
            return passes(inventory);
        }
        if let Some(catalog) = cause.downcast_ref::<CatalogError>() {
            return compare::is_transient(catalog);
        }
        if let Some(HistoryError::Query { cause, .. }) = cause.downcast_ref::<HistoryError>() {
            return pg::failure_of(cause).class == FailureClass::Transient;
        }
        let pg = match (
            cause.downcast_ref::<HistoryError>(),
            cause.downcast_ref::<LedgerError>(),
        ) {
            (Some(HistoryError::Connect(pg)), _) | (_, Some(LedgerError::Connect(pg))) => Some(pg),
            (_, Some(LedgerError::Query { cause, .. })) => {
                return pg::failure_of(cause).class == FailureClass::Transient;
            }
            _ => cause.downcast_ref::<PgError>(),
        };
        pg.is_some_and(|pg| pg.class() == FailureClass::Transient)
    })
}

/// A connection that was lost, a server that goes down, a lock.
fn passes(error: &InventoryError) -> bool {
    match error.sqlstate() {
        None => false,
        Some(None) => true,
        Some(Some(code)) => {
            pg::sqlstate_class(&SqlState::from_code(code)) == FailureClass::Transient
        }
    }
}
