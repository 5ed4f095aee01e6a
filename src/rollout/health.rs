//! Databases that do not answer. A server that restarts is one event, not as many failures as tenants
//! were in work: nothing is started there while one probe after the other asks whether it is back, and
//! other databases go on meanwhile.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::attempts::{IN_DOUBT, Verdict};
use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::policy::back_off;
use super::queue::Job;
use crate::ledger::Ledger;
use crate::migrator::{Knowledge, TenantMigrator};
use crate::run::{Failure, FailureClass, Outcome};
use crate::tenant::DatabaseName;

/// The pause after the first probe that failed, and the longest one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a probe may take: a server that takes the connection and then says nothing is away too.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a server may go down before a tenant gets to its target: beyond that the migrations
/// themselves are suspected, and it is spared.
const OUTAGES: u32 = 4;

/// What a probe has found.
pub(super) struct Probed {
    database: DatabaseName,
    result: Result<(), Box<Failure>>,
}

/// Databases that do not answer, and the probes that are on their way.
#[derive(Default)]
pub(super) struct Health {
    troubles: HashMap<DatabaseName, Trouble>,
    given_up: HashMap<DatabaseName, Failure>,
    /// Outages of each database since a tenant of it last reached its target.
    outages: HashMap<DatabaseName, u32>,
    probes: JoinSet<Probed>,
}

struct Trouble {
    since: Instant,
    probes: u32,
    /// Whether it was told: a connection that is lost alone is not worth it.
    is_told: bool,
}

impl Health {
    /// Why nothing more is done in a database, where that is so.
    pub(super) fn given_up(&self, database: &DatabaseName) -> Option<&Failure> {
        self.given_up.get(database)
    }

    /// The same of all databases.
    pub(super) fn all_given_up(&self) -> Vec<(DatabaseName, Failure)> {
        let all = self.given_up.iter();
        all.map(|(name, why)| (name.clone(), why.clone())).collect()
    }

    /// A tenant has reached its target there.
    pub(super) fn works(&mut self, database: &DatabaseName) {
        self.outages.remove(database);
    }

    /// The next probe that has ended. Never where none is on its way.
    pub(super) async fn probed(&mut self) -> Option<Probed> {
        // a probe that panicked is told as one that failed, by its wrapper
        self.probes.join_next().await?.ok()
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// A connection was lost or refused: nothing is started in the database until a probe comes through.
    pub(super) fn doubt_database(&mut self, database: &DatabaseName, failure: &Failure) {
        if let Some(why) = self.health.given_up(database).cloned() {
            self.give_up(database, &why);
            return;
        }
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
            let probe = tokio::spawn({
                let database = database.clone();
                async move { migrator.probe(&database).await }
            });
            let result = match tokio::time::timeout(PROBE_TIMEOUT, probe).await {
                Ok(Ok(result)) => result,
                Ok(Err(panicked)) => Err(no_probe(&panicked.to_string())),
                Err(_) => Err(no_probe("no answer in time")),
            };
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
            let outages = self.health.outages.entry(database.clone()).or_default();
            *outages += 1;
            if *outages > OUTAGES {
                let suspect = Failure::new(
                    FailureClass::Permanent,
                    format!(
                        "the server went down {outages} times while no tenant got to its target; the last time: {}",
                        failure.message
                    ),
                );
                let suspect = suspect.with_hint(
                    "does a migration bring the server down? look into its log before fleet resume",
                );
                self.give_up(&database, &suspect);
                return;
            }
            self.emit(RolloutEvent::DatabaseLost {
                database: database.clone(),
                failure,
                patience: self.policy.reconnect,
            });
        }
        let pause = back_off(tries, FIRST_PAUSE, LONGEST_PAUSE, fastrand::f64());
        self.probe(database, pause);
    }

    /// Its tenants are not worked on any more. Those that were not attempted are skipped, and the run
    /// has failed all the same: they were asked for.
    pub(super) fn give_up(&mut self, database: &DatabaseName, failure: &Failure) {
        self.health.troubles.remove(database);
        self.queue.close_database(database);
        let left = self.queue.take_database(database);
        let before = self
            .health
            .given_up
            .insert(database.clone(), failure.clone());
        if before.is_none() {
            self.tally.need_somebody();
            self.emit(RolloutEvent::DatabaseGivenUp {
                database: database.clone(),
                failure: failure.clone(),
                tenants: left.len(),
            });
        }
        for job in left {
            let verdict = of_given_up(&job, failure);
            self.leave_with(job, verdict);
        }
        self.halt_if_budget_is_spent();
    }
}

fn no_probe(why: &str) -> Box<Failure> {
    Box::new(Failure::new(FailureClass::Transient, why))
}

/// What becomes of a tenant whose database was given up.
pub(super) fn of_given_up(job: &Job, failure: &Failure) -> Verdict {
    if job.assignment.knowledge == Knowledge::InDoubt {
        return Verdict::failed(failure.clone().with_hint(IN_DOUBT));
    }
    match &job.last_failure {
        Some(last) => Verdict::failed(last.clone()),
        None => Verdict::because(
            Outcome::Skipped,
            format!("not attempted: {}", failure.message),
        ),
    }
}
