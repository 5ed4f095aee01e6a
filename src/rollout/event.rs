//! What the engine tells: facts with running totals, no styling and no wording.

use std::sync::Arc;
use std::time::Duration;

use super::forecast::times;
use super::policy::Pace;
use crate::migration::Version;
use crate::run::{
    AttemptNumber, CancelReason, Failure, Halt, Measure, PaceChange, Progress, RunId, RunSummary,
    StopSignal, TenantResult, Totals, WaveSummary,
};
use crate::tenant::{DatabaseName, TenantId};

/// One fact. Events of one tenant come in order; `RunStarted` is the first, `RunFinished` the last.
#[derive(Clone, Debug)]
pub enum RolloutEvent {
    /// The run is recorded and begins.
    RunStarted {
        /// Which run.
        run: RunId,
        /// The run that it carries on.
        resumes: Option<RunId>,
        /// The version to reach.
        target: Option<Version>,
        /// How many tenants will be attempted.
        to_migrate: u64,
        /// Tenants at a time over the whole fleet: at most, where it is found out how many are best.
        concurrency: usize,
        /// Whether that number is the config's.
        pace: Pace,
        /// Totals with the tenants that the plan has settled (up to date, refused).
        totals: Totals,
        /// What is to come.
        outlook: Option<Outlook>,
        /// How long it is up to the deadline.
        deadline: Option<Duration>,
    },
    /// The tenants of a wave are started.
    WaveStarted {
        /// Which wave.
        wave: Arc<WaveSummary>,
    },
    /// The shapes of tenants that are done are compared.
    ShapesCompared {
        /// Those of which wave; None where all tenants go together.
        wave: Option<Arc<WaveSummary>>,
        /// How many.
        tenants: usize,
    },
    /// A tenant that was done is unlike the others: it has failed.
    TenantDiffers {
        /// How it ended.
        result: Arc<TenantResult>,
        /// Totals with it.
        totals: Totals,
    },
    /// A tenant is unlike the others, and was so before the run.
    DifferenceKnown {
        /// Which tenant.
        tenant: TenantId,
        /// In what.
        note: String,
    },
    /// They are done, and nothing is started for a while.
    WaveSoaking {
        /// Which wave.
        wave: Arc<WaveSummary>,
        /// For how long.
        soak: Duration,
    },
    /// It is being found out whether the wave is well.
    WaveChecking {
        /// Which wave.
        wave: Arc<WaveSummary>,
    },
    /// The next wave waits for somebody's word.
    ApprovalAwaited {
        /// After which wave.
        wave: Arc<WaveSummary>,
        /// What is to be approved of.
        run: RunId,
    },
    /// The next wave may begin.
    WaveFinished {
        /// After which wave.
        wave: Arc<WaveSummary>,
    },
    /// A worker took a tenant.
    AttemptStarted {
        /// Which tenant.
        tenant: TenantId,
        /// Which attempt.
        attempt: AttemptNumber,
        /// How many migrations are pending for it.
        pending: usize,
        /// How long it is expected to take, by what it took last time; one without a past is taken for a median
        /// one.
        expected: Option<Duration>,
        /// What is left, this tenant included.
        outlook: Option<Outlook>,
    },
    /// A worker tells what it does.
    TenantProgress {
        /// For which tenant.
        tenant: TenantId,
        /// What.
        progress: Progress,
    },
    /// A worker let go of a tenant that goes on later: when it has its turn, or a connection.
    TenantPutOff {
        /// Which tenant.
        tenant: TenantId,
    },
    /// A transient failure; the tenant goes to the back of the queue.
    AttemptFailedWillRetry {
        /// Which tenant.
        tenant: TenantId,
        /// The attempt that failed.
        attempt: AttemptNumber,
        /// Why.
        failure: Failure,
        /// Not before this time has passed.
        retry_in: Duration,
    },
    /// A tenant has its outcome.
    TenantFinished {
        /// How it ended.
        result: Arc<TenantResult>,
        /// Totals with it.
        totals: Totals,
        /// What is left.
        outlook: Option<Outlook>,
    },
    /// A database does not answer. Nothing is started there; it is asked again and again.
    DatabaseLost {
        /// Which database.
        database: DatabaseName,
        /// What the last try said.
        failure: Failure,
        /// How long it is asked before its tenants are given up.
        patience: Duration,
    },
    /// It answers again.
    DatabaseBack {
        /// Which database.
        database: DatabaseName,
        /// How long it was away.
        after: Duration,
    },
    /// Nothing more is started in a database in this run.
    DatabaseGivenUp {
        /// Which database.
        database: DatabaseName,
        /// Why.
        failure: Failure,
        /// How many tenants are left there.
        tenants: usize,
    },
    /// A server gives fleet fewer connections than the config allows.
    ConnectionsShort {
        /// Which database.
        database: DatabaseName,
        /// How many tenants are worked on at a time for now.
        limit: usize,
    },
    /// The number of tenants at a time in a database is another one, or the reason for it is.
    PaceChanged {
        /// Which database.
        database: DatabaseName,
        /// What it is now.
        change: PaceChange,
    },
    /// Something that has a limit in the config cannot be seen in full by this role. Told once.
    MeasureUnseen {
        /// In which database.
        database: DatabaseName,
        /// What.
        measure: Measure,
    },
    /// A stop was asked for, or asked for again.
    CancelBegun {
        /// How far it goes.
        reason: CancelReason,
        /// Who asked, where it was a signal.
        signal: Option<StopSignal>,
        /// Why no other tenant is started, where nobody asked.
        halt: Option<Halt>,
        /// Tenants that are being worked on.
        in_flight: usize,
    },
    /// None of the tenants that are left would be done before the deadline: none is started any more.
    DeadlineNear {
        /// How long it is up to the deadline.
        left: Duration,
        /// How many tenants are left.
        tenants: usize,
        /// Tenants that are being worked on.
        in_flight: usize,
    },
    /// The run is over and recorded.
    RunFinished {
        /// All of it.
        summary: Arc<RunSummary>,
    },
}

/// What is left of a run, by what its tenants took last time. There is none where too few of them have a past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// What was expected of all tenants that have no outcome yet, those in work included.
    pub left: Duration,
    /// The longest of those that come next.
    pub longest: Duration,
    /// What tenants of this run have taken, against what was expected of them.
    pub correction: f64,
    /// How many tenants can be in work at a time now.
    pub slots: usize,
}

impl Outlook {
    /// What was expected, put right.
    pub fn corrected(&self, expected: Duration) -> Duration {
        times(expected, self.correction)
    }
}
