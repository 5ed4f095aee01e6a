//! `migrate --until-stable`: tenants that have come while a run went on are migrated by a further run, and so on, until
//! none has come. Each is a run of its own in the ledger; their end is told once, for all of them together.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fleet::{Fleet, Found};
use super::lease;
use super::migrate::{Ending, Order, delivered, joined, report_to};
use super::open::find_writable;
use super::options::Selection;
use super::output::Output;
use super::signals::Stop;
use crate::ledger::Lease;
use crate::migration::MigrationSet;
use crate::report;
use crate::rollout::RolloutEvent;
use crate::run::{ExitCode, RunOutcome, RunSummary};
use crate::tenant::{Tenant, TenantId};

/// How many runs at most: where tenants come faster than they are migrated, there is no end.
const MOST_ROUNDS: usize = 5;

/// What all rounds have in common.
pub(super) struct Rounds<'a, O> {
    /// The fleet.
    pub(super) fleet: &'a Fleet,
    /// What is applied.
    pub(super) set: &'a Arc<MigrationSet>,
    /// Whose tenants.
    pub(super) selection: &'a Selection,
    /// How long to wait for another run.
    pub(super) wait: Option<Duration>,
    /// What is asked of each round.
    pub(super) order: O,
    /// Where all is told.
    pub(super) output: &'a Output,
}

/// Which round an order is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Of all tenants.
    First,
    /// Of those that have come since the last one.
    Further,
}

/// What a round begins with.
struct Begin {
    lease: Lease,
    tenants: Found,
}

impl<O: Fn(Round) -> Order> Rounds<'_, O> {
    /// Goes from round to round. An error before the first run is the command's.
    pub(super) async fn execute(
        self,
        lease: Lease,
        tenants: Found,
        stop: &mut Stop,
    ) -> anyhow::Result<ExitCode> {
        let started = Instant::now();
        let mut runs = vec![
            self.round(Round::First, Begin { lease, tenants }, stop)
                .await?,
        ];
        let mut broken_off = None;
        while let Some(newcomers) = goes_on(&runs) {
            let further = async {
                let Some(begin) = self.prepare(newcomers, stop).await? else {
                    return Ok(None);
                };
                self.round(Round::Further, begin, stop).await.map(Some)
            };
            match further.await {
                Ok(Some(run)) => runs.push(run),
                Ok(None) => break,
                Err(error) => {
                    broken_off = Some(error);
                    break;
                }
            }
        }
        self.tell(&runs, started.elapsed(), broken_off)
    }

    async fn round(
        &self,
        round: Round,
        begin: Begin,
        stop: &mut Stop,
    ) -> anyhow::Result<Arc<RunSummary>> {
        let Begin { lease, tenants } = begin;
        let order = Order {
            ending: Ending::HeldBack,
            ..(self.order)(round)
        };
        let ended = order.round(self.fleet, lease, self.set, tenants, self.output, stop);
        let (summary, _) = Box::pin(ended).await?;
        Ok(summary)
    }

    /// None where the newcomers are gone again.
    async fn prepare(
        &self,
        newcomers: &[TenantId],
        stop: &mut Stop,
    ) -> anyhow::Result<Option<Begin>> {
        self.output.notice(&format!(
            "{} new since the run began: going on with them",
            report::tenants_are(newcomers.len())
        ));
        let prepare = async {
            let lease = lease::take(self.fleet, self.wait, None, self.output).await?;
            let found = find_writable(self.fleet, self.selection, self.output).await?;
            Ok((lease, found))
        };
        let (lease, found) = stop.preparing(prepare).await?;
        let newcomers: HashSet<&TenantId> = newcomers.iter().collect();
        let (selected, known): (Vec<Tenant>, Vec<Tenant>) = found
            .selected
            .into_iter()
            .partition(|tenant| newcomers.contains(&tenant.id));
        let mut others = found.others;
        others.extend(known);
        let tenants = Found { selected, others };
        Ok((!tenants.selected.is_empty()).then_some(Begin { lease, tenants }))
    }

    /// The end of all runs as one. Where a further one could not be opened, the newcomers stay new.
    fn tell(
        &self,
        runs: &[Arc<RunSummary>],
        took: Duration,
        broken_off: Option<anyhow::Error>,
    ) -> anyhow::Result<ExitCode> {
        let Some(mut all) = RunSummary::together(runs, took) else {
            anyhow::bail!("no run was made");
        };
        if let Some(error) = broken_off {
            let (exit, message, _) = self.output.complain(&error);
            all.exit = exit;
            all.error = Some(message);
            all.outcome = RunOutcome::Interrupted;
        }
        let exit = all.exit;
        let (events, reporter) = report_to(self.output, self.set, (None, Ending::Told))?;
        // the report waits for it
        let _ = events.send(RolloutEvent::RunFinished {
            summary: Arc::new(all),
        });
        drop(events);
        Ok(delivered(exit, joined(reporter), self.output))
    }
}

/// The tenants of a further round, if there is to be one.
fn goes_on(runs: &[Arc<RunSummary>]) -> Option<&[TenantId]> {
    let last = runs.last()?;
    let is_done = last.exit == ExitCode::Done && runs.len() < MOST_ROUNDS;
    (is_done && !last.newcomers.is_empty()).then_some(&last.newcomers)
}
