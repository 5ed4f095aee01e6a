//! Waves: tenants that go together, and what has to be true before the next ones follow.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, FailureBudget, Totals};

/// One wave of a run, counted from 1.
pub type WaveNumber = u32;

/// What holds for a wave. Recorded with the run, so that whoever carries it on goes by the same terms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WaveTerms {
    /// Its name in reports.
    pub name: String,
    /// How many of its tenants at a time, where that is less than the run's.
    pub concurrency: Option<NonZeroUsize>,
    /// How long after its last tenant nothing more is started.
    #[serde(rename = "soak_ms", with = "milliseconds")]
    pub soak: Duration,
    /// What has to be true of it after that.
    pub check: Option<WaveCheck>,
    /// Who lets the next wave begin.
    pub gate: WaveGate,
    /// After how many of its tenants the run halts; where that is not said, when all of them have failed.
    pub max_failures: Option<FailureBudget>,
}

impl WaveTerms {
    /// A wave that nothing special is said of.
    pub fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            concurrency: None,
            soak: Duration::ZERO,
            check: None,
            gate: WaveGate::Auto,
            max_failures: None,
        }
    }
}

/// Who lets the next wave begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaveGate {
    /// Nobody has to.
    #[default]
    Auto,
    /// Somebody, with `fleet approve`.
    Manual,
}

/// What has to be true of a wave before the next one begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveCheck {
    /// What is done to find out.
    #[serde(flatten)]
    pub kind: CheckKind,
    /// How long that may take, each time.
    #[serde(rename = "timeout_ms", with = "milliseconds")]
    pub timeout: Duration,
}

/// How it is found out whether a wave is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// A query in each of its tenants. Everything that it answers must be true.
    Tenants(String),
    /// A query in each database that has tenants of it. Everything that it answers must be true.
    Databases(String),
    /// A command of the shell, which must exit with 0.
    Command(String),
}

/// Where a wave is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaveState {
    /// None of its tenants was started.
    Pending,
    /// Its tenants are being migrated.
    Running,
    /// They are done, and it is waited to see what comes of it.
    Soaking,
    /// It is being found out whether it is well.
    Checking,
    /// The next one waits for `fleet approve`.
    Awaiting,
    /// The next one may begin.
    Passed,
    /// No other may begin.
    Halted,
}

impl WaveState {
    const ALL: [Self; 7] = [
        Self::Pending,
        Self::Running,
        Self::Soaking,
        Self::Checking,
        Self::Awaiting,
        Self::Passed,
        Self::Halted,
    ];

    /// The word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Soaking => "soaking",
            Self::Checking => "checking",
            Self::Awaiting => "awaiting",
            Self::Passed => "passed",
            Self::Halted => "halted",
        }
    }

    /// The value with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }
}

/// Somebody's word that the next wave may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// User, host, process.
    pub by: String,
}

/// A wave at the end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct WaveSummary {
    /// Which.
    pub number: WaveNumber,
    /// Its name.
    pub name: String,
    /// Its tenants by outcome; those that are pending have none.
    pub totals: Totals,
    /// Where it is.
    pub state: WaveState,
    /// Who approved of it.
    pub approved_by: Option<String>,
}

/// Why a run halted before it had gone through its tenants.
#[derive(Clone, Debug, PartialEq)]
pub enum Halt {
    /// So many tenants have failed as the run may have.
    Budget {
        /// How many.
        failed: u64,
    },
    /// So many tenants of a wave have failed as it may have.
    WaveBudget {
        /// Which wave.
        wave: String,
        /// How many.
        failed: u64,
        /// Of how many.
        tenants: u64,
    },
    /// One statement fails in the same way nearly everywhere: the file is bad, not a tenant.
    BadMigration(BadMigration),
    /// A file has reached outside of its tenant, and would in every other.
    Leak {
        /// The file's stem.
        migration: String,
        /// What it did.
        found: String,
    },
    /// A wave is not well.
    Check {
        /// Which wave.
        wave: String,
        /// What was found.
        problem: String,
    },
    /// Tenants that are done do not all have one shape, or it could not be found out whether they do.
    Shapes {
        /// Of which wave; None where all tenants go together.
        wave: Option<String>,
        /// What was found.
        problem: String,
    },
    /// The next wave waits for somebody's word, and nobody is there to wait with it.
    Gate {
        /// After which wave.
        wave: String,
    },
}

impl Halt {
    /// The word in JSON and in the ledger.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Budget { .. } => "budget",
            Self::WaveBudget { .. } => "wave_budget",
            Self::BadMigration(_) => "bad_migration",
            Self::Leak { .. } => "leak",
            Self::Check { .. } => "check",
            Self::Shapes { .. } => "shapes",
            Self::Gate { .. } => "gate",
        }
    }

    /// Why a tenant was not attempted.
    pub fn reason_to_leave(&self) -> String {
        match self {
            Self::BadMigration(bad) => {
                format!(
                    "not attempted: {} seems to be a bad migration",
                    bad.migration
                )
            }
            Self::Leak { migration, .. } => {
                format!("not attempted: {migration} reaches outside of its tenant")
            }
            _ => format!("not attempted: {self}"),
        }
    }
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Budget { failed } => write!(
                f,
                "the failure budget (rollout.max_failures) was spent by {failed} failed {}",
                tenants(*failed)
            ),
            Self::WaveBudget {
                wave,
                failed,
                tenants: all,
            } => write!(
                f,
                "{failed} of {all} {} of wave {wave} failed",
                tenants(*all)
            ),
            Self::BadMigration(bad) => bad.fmt(f),
            Self::Leak { migration, found } => write!(f, "{migration}: {found}"),
            Self::Check { wave, problem } => {
                write!(f, "the check of wave {wave} failed: {problem}")
            }
            Self::Shapes {
                wave: Some(wave),
                problem,
            } => write!(f, "the shapes of wave {wave}: {problem}"),
            Self::Shapes {
                wave: None,
                problem,
            } => write!(f, "the tenants' shapes: {problem}"),
            Self::Gate { wave } => {
                write!(f, "what comes after wave {wave} waits for fleet approve")
            }
        }
    }
}

/// A statement that fails in the same way nearly everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadMigration {
    /// The migration's stem.
    pub migration: String,
    /// Which statement of the file, from 1.
    pub statement: Option<u32>,
    /// PostgreSQL's five characters.
    pub sqlstate: String,
    /// Tenants that failed so.
    pub failed: u64,
    /// Tenants that tried it.
    pub tried: u64,
}

impl fmt::Display for BadMigration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.migration)?;
        if let Some(statement) = self.statement {
            write!(f, ", statement {statement},")?;
        }
        write!(
            f,
            " failed with {} on {} of the {} {} that tried it: the migration seems to be bad, not a tenant",
            self.sqlstate,
            self.failed,
            self.tried,
            tenants(self.tried)
        )
    }
}

fn tenants(number: u64) -> &'static str {
    if number == 1 { "tenant" } else { "tenants" }
}

/// Durations as whole milliseconds.
mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(super::super::milliseconds(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        Ok(Duration::from_millis(u64::deserialize(deserializer)?))
    }
}

/// How the message of a migration begins that has touched what is not its tenant's.
pub(crate) const REACHES_OUTSIDE: &str = "the file reaches outside of its tenant";

impl Failure {
    /// Whether a migration has touched what is not its tenant's.
    pub(crate) fn is_leak(&self) -> bool {
        self.message.starts_with(REACHES_OUTSIDE)
    }
}
