//! Databases that do not answer. A server that restarts is one event, not as many failures as tenants
//! were in work: nothing is started there while one probe after the other asks whether it is back, and
//! other databases go on meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempts::Verdict;
use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::policy::back_off;
use crate::ledger::Ledger;
use crate::migrator::{Knowledge, TenantMigrator};
use crate::run::{Failure, FailureClass};
use crate::tenant::DatabaseName;

/// The pause after the first probe that failed, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What a probe has found.
pub(super) struct Probed {
    database: DatabaseName,
    result: Result<(), Box<Failure>>,
}

/// Databases that do not answer, and the probes that are on their way.
#[derive(Default)]
pub(super) struct Health {
    troubles: HashMap<DatabaseName, Trouble>,
    probes: JoinSet<Probed>,
}

struct Trouble {
    since: Instant,
    probes: u32,
    /// Whether it was told: a connection that is lost alone is not worth it.
    is_told: bool,
}

impl Health {
    /// The next probe that has ended. Never where none is on its way.
    pub(super) async fn probed(&mut self) -> Option<Probed> {
        // a probe that panicked is one that is never heard of: the next stop ends the run
        self.probes.join_next().await?.ok()
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// A connection was lost or refused: nothing is started in the database until a probe comes through.
    pub(super) fn doubt_database(&mut self, database: &DatabaseName, failure: &Failure) {
        if failure.class == FailureClass::Permanent {
            self.give_up(database, failure);
            return;
        }
        if self.health.troubles.contains_key(database) {
            return;
        }
        self.queue.close_database(database);
        let trouble = Trouble {
            since: Instant::now(),
            probes: 0,
            is_told: false,
        };
        self.health.troubles.insert(database.clone(), trouble);
        self.probe(database.clone(), Duration::ZERO);
    }

    fn probe(&mut self, database: DatabaseName, pause: Duration) {
        let migrator = Arc::clone(&self.migrator);
        self.health.probes.spawn(async move {
            tokio::time::sleep(pause).await;
            let result = migrator.probe(&database).await;
            Probed { database, result }
        });
    }

    pub(super) fn on_probe(&mut self, probed: Probed) {
        let Probed { database, result } = probed;
        let now = Instant::now();
        let Some(trouble) = self.health.troubles.get_mut(&database) else {
            return;
        };
        let failure = match result {
            Ok(()) => {
                let (is_told, after) = (trouble.is_told, now - trouble.since);
                self.health.troubles.remove(&database);
                self.queue.open_database(&database, now);
                if is_told {
                    self.emit(RolloutEvent::DatabaseBack { database, after });
                }
                return;
            }
            Err(failure) => *failure,
        };
        trouble.probes += 1;
        let was_told = std::mem::replace(&mut trouble.is_told, true);
        let (tries, since) = (trouble.probes, trouble.since);
        let is_final = failure.class == FailureClass::Permanent;
        if is_final || now - since >= self.policy.reconnect {
            self.give_up(&database, &failure);
            return;
        }
        if !was_told {
            self.emit(RolloutEvent::DatabaseLost {
                database: database.clone(),
                failure,
                patience: self.policy.reconnect,
            });
        }
        let pause = back_off(tries, FIRST_PAUSE, LONGEST_PAUSE, fastrand::f64());
        self.probe(database, pause);
    }

    /// Its tenants are not worked on any more. Those that were not touched are failed as well: they
    /// were asked for, and are not at their target.
    pub(super) fn give_up(&mut self, database: &DatabaseName, failure: &Failure) {
        self.health.troubles.remove(database);
        self.queue.close_database(database);
        let left = self.queue.take_database(database);
        self.emit(RolloutEvent::DatabaseGivenUp {
            database: database.clone(),
            failure: failure.clone(),
            tenants: left.len(),
        });
        for job in left {
            let mut of_tenant = failure.clone();
            if job.assignment.knowledge == Knowledge::InDoubt {
                of_tenant = of_tenant.with_hint(
                    "the last attempt may have committed: fleet resume reads the history first",
                );
            }
            if job.attempts_made() == 0 {
                of_tenant.message = format!("not attempted: {}", of_tenant.message);
            }
            self.leave_with(job, Verdict::failed(of_tenant));
        }
    }
}
