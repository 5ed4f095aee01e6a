//! The run's ledger as the dispatcher keeps it: what has ended is written in groups, with the claims of
//! what comes next, one write at a time.

use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;

use super::deadline::Gate;
use super::dispatcher::Dispatcher;
use super::queue::Job;
use super::tally::Stopped;
use crate::ledger::{
    AttemptEnd, Claim, Closing, Entries, Ledger, LedgerError, Left, Reversal, RunEvent, WaveEntry,
};
use crate::migrator::TenantMigrator;
use crate::run::{Approval, CancelReason};

/// How often what has ended is written though nothing needs to be claimed, so that another terminal
/// sees it; every write is a heartbeat as well.
pub(super) const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// How often it is asked for the approval that a wave waits for.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Tenants claimed with one commit, at least: bookkeeping must cost little beside the tenants' own commits.
const CLAIM_BATCH: usize = 48;

/// A write to the ledger that has ended: the ledger, the claims that were in it, how it went.
type Written<L> = (L, Vec<Job>, Result<Option<Approval>, LedgerError>);

/// A write to the ledger, on its way.
pub(super) type Writing<L> = JoinHandle<Written<L>>;

/// What is to be written, and with what.
pub(super) struct Books<L> {
    /// None while a write is on its way, or after one was lost with its task.
    ledger: Option<L>,
    error: Option<LedgerError>,
    /// Attempts that have ended.
    pub(super) unwritten: Vec<AttemptEnd>,
    /// Tenants that were done and have failed all the same.
    pub(super) reversals: Vec<Reversal>,
    /// What has happened to the run beside its tenants. It costs no write of its own.
    pub(super) events: Vec<RunEvent>,
    /// Where the waves are.
    pub(super) waves: Vec<WaveEntry>,
    last_write: Instant,
    /// Outcomes that the closing of the run writes: those of tenants that were not attempted again.
    pub(super) left: Vec<Left>,
}

impl<L: Ledger> Books<L> {
    pub(super) fn new(ledger: L) -> Self {
        Self {
            ledger: Some(ledger),
            error: None,
            unwritten: Vec::new(),
            reversals: Vec::new(),
            events: Vec::new(),
            waves: Vec::new(),
            last_write: Instant::now(),
            left: Vec::new(),
        }
    }

    /// Whether nothing waits to be written that still can be.
    pub(super) fn is_written(&self) -> bool {
        !self.has_news() || self.ledger.is_none()
    }

    /// Whether something is to be written that does not wait for something else.
    fn has_news(&self) -> bool {
        let Self {
            unwritten,
            reversals,
            waves,
            ..
        } = self;
        !(unwritten.is_empty() && reversals.is_empty() && waves.is_empty())
    }

    /// Closes the run. Answers why it was not recorded to its end, where it was not.
    pub(super) async fn close(self, closing: &Closing) -> Option<LedgerError> {
        let mut error = self.error;
        // what could not be written before must not be closed over
        if let (Some(mut ledger), None) = (self.ledger, &error)
            && let Err(failed) = ledger.close(closing).await
        {
            error = Some(failed);
        }
        error
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// Claims ahead when few claimed tenants are left, and writes what has ended with them.
    pub(super) fn write_if_due(&mut self) -> Option<Writing<L>> {
        self.books.ledger.as_ref()?;
        let slots = self.queue.slots();
        let gate = Gate::new(&self.forecast, self.policy.deadline, Instant::now());
        let claims = if self.stopped.is_none() && self.queue.runs_low(&gate) {
            self.queue.take_pending(CLAIM_BATCH.max(slots * 2), &gate)
        } else {
            Vec::new()
        };
        let since = self.books.last_write.elapsed();
        let has_news = self.books.has_news();
        let awaits = self.waves.awaits();
        let flush = (has_news
            && (since >= FLUSH_EVERY || self.flights.is_empty() || !claims.is_empty()))
            || (awaits.is_some() && since >= ASK_EVERY);
        if claims.is_empty() && !flush && since < self.policy.heartbeat {
            return None;
        }
        let entries = Entries {
            ended: std::mem::take(&mut self.books.unwritten),
            reversals: std::mem::take(&mut self.books.reversals),
            events: std::mem::take(&mut self.books.events),
            waves: std::mem::take(&mut self.books.waves),
            awaits,
            claims: claims
                .iter()
                .map(|job| Claim {
                    tenant: job.assignment.tenant.id.clone(),
                    attempt: job.assignment.attempt,
                })
                .collect(),
        };
        let mut ledger = self.books.ledger.take()?;
        self.books.last_write = Instant::now();
        Some(tokio::spawn(async move {
            let written = ledger.record(&entries).await;
            (ledger, claims, written)
        }))
    }

    pub(super) fn on_written(&mut self, written: Result<Written<L>, JoinError>) {
        match written {
            Ok((ledger, claims, Ok(approval))) => {
                self.books.ledger = Some(ledger);
                self.claimed(claims);
                if let Some(approval) = approval {
                    self.on_approval(approval);
                }
            }
            Ok((_, claims, Err(error))) => {
                self.queue.return_unclaimed(claims);
                self.lose_ledger(error);
            }
            Err(panicked) => self.lose_ledger(LedgerError::Conflict {
                run: self.run.to_string(),
                action: if panicked.is_panic() {
                    "writing (it panicked)"
                } else {
                    "writing"
                },
            }),
        }
    }

    /// These tenants may be started, if the run still goes on by now and their database is worked on.
    fn claimed(&mut self, claims: Vec<Job>) {
        self.queue.add_claimed(claims);
        if self.stopped.is_some() {
            self.leave_all_but_doubtful();
        }
        for (database, why) in self.health.all_given_up() {
            self.give_up(&database, &why);
        }
    }

    /// Without a ledger nothing new is touched; what is in flight finishes, and the histories know.
    fn lose_ledger(&mut self, error: LedgerError) {
        self.books.unwritten.clear();
        self.books.reversals.clear();
        self.books.waves.clear();
        self.books.error.get_or_insert(error);
        self.begin_stop(Stopped::Ledger, CancelReason::Drain);
    }
}
