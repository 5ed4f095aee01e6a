//! Acts: what somebody does to single tenants beside migrating them. Each is a run of its own, so that
//! who, why and when are recorded where all runs are.

use serde::Serialize;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// SQL is run once, then what is pending.
    Repair,
    /// A pending migration is recorded as applied without being run.
    Skip,
    /// A tenant with tables and without a history gets one.
    Baseline,
    /// What was applied counts as what the files say now.
    AcceptDivergent,
}

impl Act {
    /// Every value.
    const ALL: [Self; 4] = [
        Self::Repair,
        Self::Skip,
        Self::Baseline,
        Self::AcceptDivergent,
    ];

    /// The act with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|value| value.as_str() == word)
    }

    /// The command, which is also the word in JSON and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Repair => "repair",
            Self::Skip => "skip",
            Self::Baseline => "baseline",
            Self::AcceptDivergent => "accept-divergent",
        }
    }
}
