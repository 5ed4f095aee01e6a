//! The engine: executes a plan with bounded concurrency. Knows the two traits that it drives and
//! nothing of databases, config or terminals.

mod attempts;
mod between;
mod books;
mod brake;
mod deadline;
mod dispatcher;
mod event;
mod expect;
mod forecast;
mod governor;
mod health;
mod leaks;
mod likeness;
mod limits;
mod looks;
mod order;
mod policy;
mod queue;
mod ramp;
mod rehearsal;
mod shutdown;
mod tally;
#[cfg(test)]
mod tests;
mod wave;
mod waves;
mod worker;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

pub use brake::{SessionLimit, ThrottleLimits};
pub use deadline::Deadline;
use dispatcher::Dispatcher;
pub use event::{Outlook, RolloutEvent};
pub use policy::{Concurrency, DatabaseLimits, Pace, RetryPolicy, RolloutPolicy};
pub use rehearsal::{
    LockSummary, Rehearsal, RehearsalStop, RunForecast, RunWidth, Sample, WaveForecast, forecast,
    forecast_of_waves, rehearse, wall_time,
};
pub use shutdown::{StopHandle, StopRequest, StopWatch, stop_channel};
pub use tally::settled;
pub use wave::{
    AtVersion, CheckOrder, Checker, Comparer, Likeness, Operator, RolloutWave, SameFailures,
    Unlike, UnlikeSince,
};

use crate::ledger::{Ledger, LedgerError, Past};
use crate::migrator::TenantMigrator;
use crate::plan::Plan;
use crate::run::{RunId, RunSummary};
use crate::tenant::TenantId;

/// A run, ready to go.
pub struct Rollout<M, L> {
    /// Brings tenants to their target.
    pub migrator: Arc<M>,
    /// The ledger of this run, open.
    pub ledger: L,
    /// What bounds the run.
    pub policy: RolloutPolicy,
    /// Which run.
    pub run: RunId,
    /// The run that it carries on.
    pub resumes: Option<RunId>,
    /// What to do.
    pub plan: Plan,
    /// Which of its tenants go together; none where all of them do.
    pub waves: Vec<RolloutWave>,
    /// Whether tenants are to have one shape at the end, where all of them go together.
    pub at_the_end: Likeness,
    /// Finds out whether a wave is well.
    pub checker: Checker,
    /// Finds out whose shape is not that of the others.
    pub comparer: Comparer,
    /// Whether somebody is there.
    pub operator: Operator,
    /// How long its tenants took last time, as far as that is known.
    pub pasts: HashMap<TenantId, Past>,
    /// Tenants that have come since the plan was made; asked for at the end of a run that was not stopped.
    pub newcomers: Pin<Box<dyn Future<Output = Vec<TenantId>> + Send>>,
}

/// How a run ended.
pub struct RolloutEnd {
    /// All of it.
    pub summary: Arc<RunSummary>,
    /// The ledger could not be written: the tenants' histories are ahead of it.
    pub ledger_error: Option<LedgerError>,
}

impl<M: TenantMigrator, L: Ledger> Rollout<M, L> {
    /// Executes the plan. Tenants' failures are in the summary; this always returns one.
    pub async fn run(
        mut self,
        stop: StopWatch,
        events: mpsc::UnboundedSender<RolloutEvent>,
    ) -> RolloutEnd {
        let started = Instant::now();
        let (run, plan, resumes) = (self.run.clone(), self.plan.clone(), self.resumes.clone());
        let newcomers = std::mem::replace(&mut self.newcomers, Box::pin(async { Vec::new() }));
        let mut dispatcher = Dispatcher::new(self, events);
        dispatcher.announce(resumes);
        dispatcher.work(stop).await;
        let newcomers = match dispatcher.stopped {
            // a look that takes long is not worth the run's sign of life
            None if dispatcher.health.all_given_up().is_empty() => {
                let patience = dispatcher.patience_for_a_look();
                let looked = tokio::time::timeout(patience, newcomers).await;
                looked.unwrap_or_default()
            }
            None | Some(_) => Vec::new(),
        };
        dispatcher.close(run, &plan, newcomers, started).await
    }
}
