//! Several runs of one command, told as one: tenants that came while one went on are those of the next.

use std::sync::Arc;
use std::time::Duration;

use super::{ExitCode, RunId, RunOutcome, RunSummary, Totals};

/// One of the runs of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Which run.
    pub run: RunId,
    /// Its tenants.
    pub totals: Totals,
}

impl RunSummary {
    /// The runs of a command as one, which took so long. None where there was none. Only the last of them may
    /// have failed: it is the one that a reader goes on with.
    pub fn together(runs: &[Arc<RunSummary>], took: Duration) -> Option<Self> {
        let last = runs.last()?;
        let mut all = Self::clone(last);
        all.rounds = runs
            .iter()
            .map(|run| Round {
                run: run.run.clone(),
                totals: run.totals,
            })
            .collect();
        for earlier in &runs[..runs.len() - 1] {
            all.totals.add(earlier.totals);
            all.tenants.extend(earlier.tenants.iter().cloned());
            all.throttled.extend(earlier.throttled.iter().cloned());
        }
        all.waves = runs.iter().flat_map(|run| run.waves.clone()).collect();
        all.tenants.sort_by(|a, b| a.tenant.cmp(&b.tenant));
        all.duration = took;
        if all.exit == ExitCode::Done && all.leaves_newcomers() {
            all.outcome = RunOutcome::Interrupted;
            all.exit = ExitCode::Deadline;
        }
        Some(all)
    }

    /// Whether all is done that there was, and more has come after the last of several runs.
    pub fn leaves_newcomers(&self) -> bool {
        let is_done = self.totals.failed + self.totals.interrupted == 0
            && self.totals.skipped == self.totals.held;
        !self.rounds.is_empty() && !self.newcomers.is_empty() && is_done
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.tenants += other.tenants;
        self.succeeded += other.succeeded;
        self.up_to_date += other.up_to_date;
        self.failed += other.failed;
        self.interrupted += other.interrupted;
        self.skipped += other.skipped;
        self.held += other.held;
    }
}
