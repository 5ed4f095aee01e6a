//! Runs: what is recorded of one execution of a plan, and how it ended.

mod act;
mod budget;
mod cause;
mod rehearsal;
mod rounds;
mod throttle;
mod wave;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use act::Act;
pub use budget::FailureBudget;
pub use cause::CauseName;
pub use rehearsal::{
    Blocked, LockMode, MigrationStem, NotRehearsed, NotRehearsedCause, RehearsalOutcome,
    RehearsedMigration, TableLock, TenantRehearsal,
};
pub use rounds::Round;
pub use throttle::{Measure, PaceChange, PaceReason, ThrottleReason, Throttled};
pub(crate) use wave::REACHES_OUTSIDE;
pub use wave::{
    Approval, BadMigration, CheckKind, Halt, WaveCheck, WaveGate, WaveNumber, WaveState,
    WaveSummary, WaveTerms,
};

use crate::migration::Version;
use crate::tenant::TenantId;

/// The name of a run, given by the ledger: `20261123-161004-7f3a` (UTC, then four random digits).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(Arc<str>);

impl RunId {
    /// Wraps an id that the ledger gave.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The bare text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One try at one tenant, counted from 1.
pub type AttemptNumber = u32;

/// How one tenant ended in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// At its target, by this run.
    Succeeded,
    /// It was at its target before.
    UpToDate,
    /// It is not at its target, and the failure says why.
    Failed,
    /// Cancelled by a stop of the run.
    Interrupted,
    /// Not attempted, with a reason.
    Skipped,
}

impl Outcome {
    /// Every value.
    const ALL: [Self; 5] = [
        Self::Succeeded,
        Self::UpToDate,
        Self::Failed,
        Self::Interrupted,
        Self::Skipped,
    ];

    /// The value with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }

    /// The word in JSON, in the ledger and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::UpToDate => "up_to_date",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
            Self::Skipped => "skipped",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every tenant asked for is at its target.
    Succeeded,
    /// Some tenant is not.
    Failed,
    /// The failure budget, a check or a gate stopped it.
    Halted,
    /// A signal stopped it, or its deadline.
    Interrupted,
    /// Nothing was touched.
    Refused,
}

impl RunOutcome {
    /// Every value.
    const ALL: [Self; 5] = [
        Self::Succeeded,
        Self::Failed,
        Self::Halted,
        Self::Interrupted,
        Self::Refused,
    ];

    /// The value with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }

    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Halted => "halted",
            Self::Interrupted => "interrupted",
            Self::Refused => "refused",
        }
    }
}

/// What a process exits with. The numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything asked for is done.
    Done,
    /// We broke.
    Unexpected,
    /// A command line that does not make sense.
    Usage,
    /// Config or migration set refused; nothing was touched.
    Refused,
    /// Some tenants failed.
    TenantsFailed,
    /// A gate or the failure budget stopped the run.
    Halted,
    /// Another run holds the lease.
    LeaseHeld,
    /// Divergent, missing or drifted tenants were found, or, where that was asked, tenants below a version.
    Divergent,
    /// The deadline was reached, and work remains that another run carries on.
    Deadline,
    /// SIGINT: resumable.
    Interrupted,
    /// SIGTERM: resumable.
    Terminated,
}

impl ExitCode {
    /// Every value.
    const ALL: [Self; 11] = [
        Self::Done,
        Self::Unexpected,
        Self::Usage,
        Self::Refused,
        Self::TenantsFailed,
        Self::Halted,
        Self::LeaseHeld,
        Self::Divergent,
        Self::Deadline,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The value with this number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.code() == code)
    }

    /// The number for the operating system.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::TenantsFailed => 4,
            Self::Halted => 5,
            Self::LeaseHeld => 6,
            Self::Divergent => 7,
            Self::Deadline => 8,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

/// Whether trying again may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The same would happen again: the migration or the tenant's data must change.
    Permanent,
    /// Locks, connections, restarts: another try may succeed.
    Transient,
}

impl FailureClass {
    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Permanent => "permanent",
            Self::Transient => "transient",
        }
    }
}

/// What a worker tells while it is at a tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A migration is sent to the server, or its steps begin. Its stem.
    Migration(Arc<str>),
    /// A step of a migration that runs without a transaction begins.
    Step {
        /// Which statement of the file, from 1.
        step: u32,
        /// How many there are.
        of: u32,
    },
    /// How far the server is with an index, as `pg_stat_progress_create_index` has it.
    IndexBuild {
        /// The server's word for what it does.
        phase: String,
        /// Whole per cent of this phase, where the server counts.
        percent: Option<u8>,
        /// The session that it waits for.
        waits_for: Option<String>,
    },
    /// A step whose end was not known is settled, and how.
    Settled(String),
    /// Somebody else is at the tenant: who.
    Waiting(String),
}

/// Why a tenant's attempt did not succeed. A value, never an error of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The migration's stem, None where the failure came before one.
    pub migration: Option<String>,
    /// Which statement of the file, from 1.
    pub statement: Option<u32>,
    /// The line in the file where PostgreSQL points, or where that statement begins.
    pub line: Option<u32>,
    /// The character of that line where PostgreSQL points, from 1; None where it points at none.
    pub column: Option<u32>,
    /// PostgreSQL's five characters.
    pub sqlstate: Option<String>,
    /// Whether trying again may help.
    pub class: FailureClass,
    /// What went wrong.
    pub message: String,
    /// PostgreSQL's detail.
    pub detail: Option<String>,
    /// PostgreSQL's hint, or fleet's.
    pub hint: Option<String>,
    /// PostgreSQL's context: the functions and triggers in which it happened, innermost first.
    pub context: Option<String>,
    /// Who held the lock that was waited for.
    pub blocked_by: Option<String>,
}

impl Failure {
    /// A failure that only has words.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self {
            migration: None,
            statement: None,
            line: None,
            column: None,
            sqlstate: None,
            class,
            message: message.into(),
            detail: None,
            hint: None,
            context: None,
            blocked_by: None,
        }
    }

    /// The same failure with a hint, unless it has one.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }
}

/// How one tenant ended, with all that a report says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantResult {
    /// Which tenant.
    pub tenant: TenantId,
    /// How it ended.
    pub outcome: Outcome,
    /// Its version before the run, None for an empty history.
    pub from: Option<Version>,
    /// Its version now.
    pub to: Option<Version>,
    /// The stems of the migrations that this run applied.
    pub applied: Vec<String>,
    /// How many attempts this run made; 0 where it was not attempted.
    pub attempts: AttemptNumber,
    /// Time spent in attempts.
    pub duration: Duration,
    /// Why it was skipped or interrupted.
    pub reason: Option<String>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// What else was out of the ordinary: how steps in doubt were settled.
    pub notes: Vec<String>,
}

/// Tenants of a run by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// All tenants of the run.
    pub tenants: u64,
    /// See [`Outcome::Succeeded`].
    pub succeeded: u64,
    /// See [`Outcome::UpToDate`].
    pub up_to_date: u64,
    /// See [`Outcome::Failed`].
    pub failed: u64,
    /// See [`Outcome::Interrupted`].
    pub interrupted: u64,
    /// See [`Outcome::Skipped`].
    pub skipped: u64,
    /// Of those that were skipped the ones that are held, or outside of their windows.
    pub held: u64,
}

impl Totals {
    /// Counts one tenant's outcome; `tenants` is set by whoever knows the whole.
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Succeeded => self.succeeded += 1,
            Outcome::UpToDate => self.up_to_date += 1,
            Outcome::Failed => self.failed += 1,
            Outcome::Interrupted => self.interrupted += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }

    /// Takes a tenant's outcome back: it has another one.
    pub fn uncount(&mut self, outcome: Outcome) {
        let counted = match outcome {
            Outcome::Succeeded => &mut self.succeeded,
            Outcome::UpToDate => &mut self.up_to_date,
            Outcome::Failed => &mut self.failed,
            Outcome::Interrupted => &mut self.interrupted,
            Outcome::Skipped => &mut self.skipped,
        };
        *counted = counted.saturating_sub(1);
    }

    /// Tenants that have an outcome.
    pub fn finished(&self) -> u64 {
        self.succeeded + self.up_to_date + self.failed + self.interrupted + self.skipped
    }
}

/// Failures with one cause: the same SQLSTATE at the same migration, and without a SQLSTATE the
/// same message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureGroup {
    /// The first tenant's failure, as an example of all.
    pub example: Failure,
    /// The tenants that failed so.
    pub tenants: Vec<TenantId>,
}

/// A whole run at its end.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// Which run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What the process will exit with.
    pub exit: ExitCode,
    /// The version asked for: `--to`, else the set's head.
    pub target: Option<Version>,
    /// Tenants by outcome.
    pub totals: Totals,
    /// Every tenant of the run exactly once, by name.
    pub tenants: Vec<TenantResult>,
    /// The failures by cause, most tenants first.
    pub failures: Vec<FailureGroup>,
    /// Tenants that have come while the run went on; it has not touched them.
    pub newcomers: Vec<TenantId>,
    /// Its waves in order; none where all tenants went together.
    pub waves: Vec<WaveSummary>,
    /// Why it halted, where it did.
    pub halt: Option<Halt>,
    /// The runs that are told as one here, where a command makes several; else none.
    pub rounds: Vec<Round>,
    /// What has kept it from starting as many tenants as it might have.
    pub throttled: Vec<Throttled>,
    /// Why the run was not recorded to its end, where it was not.
    pub error: Option<String>,
    /// Wall time of the run.
    pub duration: Duration,
}

/// Which signal asked the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

/// How far a stop has gone. It only escalates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CancelReason {
    /// Nothing new is started; tenants in flight finish.
    Drain,
    /// Statements in flight are cancelled on the server.
    Abort,
}

/// Groups failures by cause, the cause with most tenants first.
pub fn group_failures<'a>(
    failed: impl Iterator<Item = (&'a TenantId, &'a Failure)>,
) -> Vec<FailureGroup> {
    let mut groups: Vec<FailureGroup> = Vec::new();
    let mut index: std::collections::HashMap<FailureCause, usize> =
        std::collections::HashMap::new();
    for (tenant, failure) in failed {
        let slot = *index.entry(FailureCause::of(failure)).or_insert_with(|| {
            groups.push(FailureGroup {
                example: failure.clone(),
                tenants: Vec::new(),
            });
            groups.len() - 1
        });
        groups[slot].tenants.push(tenant.clone());
    }
    // stable: causes with equally many tenants stay in the order in which they appeared
    groups.sort_by_key(|group| std::cmp::Reverse(group.tenants.len()));
    groups
}

/// What makes two failures the same: messages name tenants and values, so with a SQLSTATE the
/// message does not count.
#[derive(PartialEq, Eq, Hash)]
struct FailureCause {
    migration: Option<String>,
    statement: Option<u32>,
    sqlstate_or_message: String,
}

impl FailureCause {
    fn of(failure: &Failure) -> Self {
        Self {
            migration: failure.migration.clone(),
            statement: failure.statement,
            sqlstate_or_message: failure
                .sqlstate
                .clone()
                .unwrap_or_else(|| failure.message.clone()),
        }
    }
}

/// Whole milliseconds, as the ledger and the documents have them.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
