//! Looks at the servers while there is something to start: what they have to bear decides how many tenants are
//! worked on at a time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::order::SHORT;
use super::queue::Job;
use super::worker::AttemptReport;
use crate::ledger::{Ledger, RunEvent};
use crate::migrator::{MigrateErrorCause, Pressure, TenantMigrator};
use crate::run::{Failure, FailureClass, Measure, PaceChange, PaceReason};
use crate::tenant::DatabaseName;

/// How soon after a look the next one is taken.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a look has found.
pub(super) struct Looked {
    database: DatabaseName,
    result: Result<Pressure, Box<Failure>>,
}

/// Looks that are on their way, and when the next ones are due.
#[derive(Default)]
pub(super) struct Looks {
    due: HashMap<DatabaseName, Instant>,
    /// Databases that were looked at, or are to be.
    known: HashSet<DatabaseName>,
    underway: JoinSet<Looked>,
    /// Measures that cannot be seen, which is told once.
    unseen: HashSet<(DatabaseName, Measure)>,
    /// The last change of each database that was recorded.
    recorded: HashMap<DatabaseName, PaceChange>,
}

impl Looks {
    /// When the next look is due by time alone. Those that are due wait for a connection.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let later = self.due.values().filter(|due| **due > now);
        later.min().copied()
    }

    /// The next look that has ended. Never where none is on its way.
    pub(super) async fn looked(&mut self) -> Option<Looked> {
        // a look that panicked is told as one that failed, by its wrapper
        self.underway.join_next().await?.ok()
    }

    /// Whether a change is worth a row: the begin of a brake, when it stops everything and when it lets
    /// go, its end, and numbers that stay.
    fn is_worth_recording(&self, database: &DatabaseName, change: PaceChange) -> bool {
        match (self.recorded.get(database), change) {
            (
                _,
                PaceChange::Found {
                    reason: PaceReason::Start | PaceReason::Faster | PaceReason::Trial,
                    ..
                },
            ) => false,
            (
                Some(PaceChange::Throttled { tenants, reason }),
                PaceChange::Throttled {
                    tenants: now,
                    reason: why,
                },
            ) => (*tenants == 0) != (now == 0) || reason.measure != why.measure,
            (last, change) => last != Some(&change),
        }
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// Looks for the first time at databases that have come to have something to start, beside the claims there.
    pub(super) fn begin_looks(&mut self) {
        if !self.queue.limits.is_watching() {
            return;
        }
        let now = Instant::now();
        for database in self.queue.databases_to_start() {
            if !self.looks.known.insert(database.clone()) {
                continue;
            }
            if let Some(change) = self.queue.limits.beginning(&database) {
                self.on_pace(&database, change);
            }
            self.looks.due.insert(database, now);
        }
    }

    /// Looks at the servers that are due, where there is something left to start.
    pub(super) fn look_if_due(&mut self) {
        let now = Instant::now();
        if self.looks.due.values().all(|due| *due > now) {
            return;
        }
        if !self.queue.limits.is_watching() {
            self.looks.due.clear();
            return;
        }
        let to_start = self.queue.databases_to_start();
        let due: Vec<DatabaseName> = self
            .looks
            .due
            .iter()
            .filter(|(_, due)| **due <= now)
            .map(|(database, _)| database.clone())
            .collect();
        for database in due {
            if !to_start.contains(&database) {
                self.looks.due.insert(database, now + LOOK_EVERY);
                continue;
            }
            let workers = self.queue.in_flight(&database);
            if self.queue.limits.begin_look(&database, workers) {
                self.looks.due.remove(&database);
                self.look(database);
            }
        }
    }

    fn look(&mut self, database: DatabaseName) {
        let migrator = Arc::clone(&self.migrator);
        self.looks.underway.spawn(async move {
            let look = tokio::spawn({
                let database = database.clone();
                async move { migrator.pressure(&database).await }
            });
            let result = look.await.unwrap_or_else(|panicked| {
                let why = panicked.to_string();
                Err(Box::new(Failure::new(FailureClass::Transient, why)))
            });
            Looked { database, result }
        });
    }

    pub(super) fn on_looked(&mut self, looked: Looked) {
        let Looked { database, result } = looked;
        let now = Instant::now();
        self.looks.due.insert(database.clone(), now + LOOK_EVERY);
        if !self.queue.limits.is_watching() {
            return;
        }
        let seen = result.ok();
        let changes = self.queue.limits.looked(&database, seen.as_ref(), now);
        let surplus = seen
            .as_ref()
            .and_then(|seen| self.queue.limits.surplus(seen));
        if let Some(connections) = surplus {
            self.migrator.give_back(&database, connections);
        }
        let unseen = seen.map(|seen| self.queue.limits.unseen(&seen));
        for measure in unseen.unwrap_or_default() {
            if self.looks.unseen.insert((database.clone(), measure)) {
                let database = database.clone();
                self.emit(RolloutEvent::MeasureUnseen { database, measure });
            }
        }
        for change in changes {
            self.on_pace(&database, change);
        }
    }

    /// A tenant has left its worker.
    pub(super) fn on_pace_of(&mut self, job: &Job, report: &AttemptReport) {
        let cause = report.result.as_ref().err().map(|error| &error.cause);
        let is_work = !matches!(
            cause,
            Some(
                MigrateErrorCause::Unreachable(_)
                    | MigrateErrorCause::Deferred
                    | MigrateErrorCause::TurnOver
            )
        );
        let database = job.database().clone();
        // the last ones finish with ever fewer beside them
        let is_work = is_work && self.queue.has_to_start(&database);
        let expected = job.expected.map(|expected| expected.time);
        let work = is_work.then(|| expected.unwrap_or_default().max(SHORT));
        let limits = &mut self.queue.limits;
        let change = limits.finished(&database, job.ticket, work, Instant::now());
        if let Some(change) = change {
            self.on_pace(&database, change);
        }
    }

    /// Nothing more is started: what was easing has an end too.
    pub(super) fn end_looks(&mut self) {
        for (database, change) in self.queue.limits.let_go(Instant::now()) {
            self.on_pace(&database, change);
        }
    }

    /// There is another number of tenants at a time.
    pub(super) fn on_pace(&mut self, database: &DatabaseName, change: PaceChange) {
        if self.looks.is_worth_recording(database, change) {
            self.looks.recorded.insert(database.clone(), change);
            self.books.events.push(RunEvent {
                database: database.clone(),
                change,
                at: Instant::now(),
            });
        }
        self.emit(RolloutEvent::PaceChanged {
            database: database.clone(),
            change,
        });
    }
}
