//! The engine with a ledger in memory and a migrator that does as it is told, in a time that tests let pass.

mod deadlines;
mod likeness;
mod pacing;
mod waves;

use std::collections::{HashMap, VecDeque};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::ledger::{Closing, Entries, Reversal, WaveEntry};
use crate::migrator::{Applied, Assignment, MigrateError, MigrateErrorCause, Pressure, Task};
use crate::plan::{Action, HistorySnapshot, TenantPlan};
use crate::run::{Approval, Failure, FailureBudget, FailureClass, Progress};
use crate::tenant::{DatabaseName, Presence, SchemaName, Tenant};

/// What a tenant does in one attempt.
#[derive(Clone, Copy)]
enum Does {
    /// Reaches its target after so many milliseconds.
    Work(u64),
    /// Fails after so many, for good.
    Fail(u64),
    /// Fails after so many, and may be tried again.
    Pass(u64),
    /// Loses its connection after so many; nobody answers any more.
    Vanish(u64),
}

/// Does to each tenant what the script says, attempt by attempt; the last of it for all that follow.
struct Scripted {
    script: Mutex<HashMap<TenantId, VecDeque<Does>>>,
    is_away: Mutex<bool>,
}

impl Scripted {
    fn next(&self, tenant: &TenantId) -> Does {
        let mut script = self.script.lock().unwrap();
        let of_tenant = script.get_mut(tenant).unwrap();
        if of_tenant.len() > 1 {
            of_tenant.pop_front().unwrap()
        } else {
            of_tenant[0]
        }
    }
}

fn failed(cause: impl FnOnce(Box<Failure>) -> MigrateErrorCause, in_doubt: bool) -> MigrateError {
    let failure = Failure::new(FailureClass::Transient, "as the script says");
    MigrateError {
        applied: Applied::default(),
        in_doubt,
        cause: cause(Box::new(failure)),
    }
}

impl TenantMigrator for Scripted {
    async fn migrate(
        &self,
        assignment: &Assignment,
        _tell: impl Fn(Progress) + Send + Sync,
        _abort: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        let is_away = *self.is_away.lock().unwrap();
        if is_away {
            return Err(failed(MigrateErrorCause::Unreachable, false));
        }
        assert_eq!(assignment.task, Task::Migrate, "nobody is looked at");
        let wait = |ms| tokio::time::sleep(Duration::from_millis(ms));
        match self.next(&assignment.tenant.id) {
            Does::Work(ms) => {
                wait(ms).await;
                Ok(Applied {
                    migrations: vec!["V1__one".to_owned()],
                    version: Some(1),
                    ..Applied::default()
                })
            }
            Does::Fail(ms) => {
                wait(ms).await;
                let mut error = failed(MigrateErrorCause::Failed, false);
                if let MigrateErrorCause::Failed(failure) = &mut error.cause {
                    failure.class = FailureClass::Permanent;
                }
                Err(error)
            }
            Does::Pass(ms) => {
                wait(ms).await;
                Err(failed(MigrateErrorCause::Failed, false))
            }
            Does::Vanish(ms) => {
                wait(ms).await;
                *self.is_away.lock().unwrap() = true;
                Err(failed(MigrateErrorCause::Lost, true))
            }
        }
    }

    async fn pressure(&self, _database: &DatabaseName) -> Result<Pressure, Box<Failure>> {
        Ok(Pressure::default())
    }

    fn give_back(&self, _database: &DatabaseName, _connections: usize) {}

    async fn probe(&self, _database: &DatabaseName) -> Result<(), Box<Failure>> {
        if *self.is_away.lock().unwrap() {
            let failure = Failure::new(FailureClass::Transient, "nobody answers");
            Err(Box::new(failure))
        } else {
            Ok(())
        }
    }
}

/// Takes everything at once and remembers how the run was closed.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Remembered>>);

#[derive(Default)]
struct Remembered {
    closing: Option<Closing>,
    /// Where the waves were, one after the other.
    waves: Vec<WaveEntry>,
    reversals: Vec<Reversal>,
    /// How often an approval was asked for, and when it is given.
    asked: usize,
    approves_after: Option<usize>,
}

impl Ledger for Memory {
    async fn record(&mut self, entries: &Entries) -> Result<Option<Approval>, LedgerError> {
        let mut memory = self.0.lock().unwrap();
        memory.waves.extend(entries.waves.iter().cloned());
        memory.reversals.extend(entries.reversals.iter().cloned());
        let asked = entries.awaits.is_some();
        memory.asked += usize::from(asked);
        let is_given = asked
            && memory
                .approves_after
                .is_some_and(|times| memory.asked >= times);
        let by = || "on-call".to_owned();
        Ok(is_given.then(|| Approval { by: by() }))
    }

    async fn close(&mut self, closing: &Closing) -> Result<(), LedgerError> {
        let mut memory = self.0.lock().unwrap();
        memory.waves.extend(closing.waves.iter().cloned());
        memory.closing = Some(closing.clone());
        Ok(())
    }
}

/// A run to be made: one database, `a`.
struct Script {
    tenants: Vec<TenantPlan>,
    each: HashMap<TenantId, VecDeque<Does>>,
    pasts: HashMap<TenantId, Past>,
    concurrency: usize,
    deadline: Option<Duration>,
    waves: Vec<RolloutWave>,
    /// Names of waves that are not well.
    unwell: Vec<&'static str>,
    at_the_end: Likeness,
    shapes: likeness::Shapes,
    operator: Operator,
    same_failures: u32,
    memory: Memory,
}

/// What came of it.
struct Told {
    end: RolloutEnd,
    closing: Closing,
    waves: Vec<WaveEntry>,
    reversals: Vec<Reversal>,
    events: Vec<RolloutEvent>,
    took: Duration,
}

impl Script {
    fn new(concurrency: usize) -> Self {
        Self {
            tenants: Vec::new(),
            each: HashMap::new(),
            pasts: HashMap::new(),
            concurrency,
            deadline: None,
            waves: Vec::new(),
            unwell: Vec::new(),
            at_the_end: Likeness::default(),
            shapes: likeness::Shapes::default(),
            operator: Operator::Absent,
            same_failures: 0,
            memory: Memory::default(),
        }
    }

    /// A tenant, the milliseconds that it took last time, and what it does now.
    fn tenant(mut self, name: &str, past_ms: Option<u64>, does: &[Does]) -> Self {
        let id = TenantId {
            database: DatabaseName::new("a"),
            schema: SchemaName::parse(name).unwrap(),
        };
        self.tenants.push(TenantPlan {
            tenant: Tenant {
                id: id.clone(),
                labels: Arc::default(),
                presence: Presence::Present,
            },
            history: HistorySnapshot::NoTable { relations: 0 },
            from: None,
            action: Action::Migrate(Arc::from([1])),
            holds: Vec::new(),
        });
        if let Some(ms) = past_ms {
            let past = Past {
                duration: Duration::from_millis(ms),
                migrations: NonZeroU32::MIN,
            };
            self.pasts.insert(id.clone(), past);
        }
        self.each.insert(id, does.iter().copied().collect());
        self
    }

    fn deadline(mut self, span: Duration) -> Self {
        self.deadline = Some(span);
        self
    }

    async fn run(self) -> Told {
        let started = Instant::now();
        let limits = DatabaseLimits {
            tenants: NonZeroUsize::new(self.concurrency).unwrap(),
            index_builds: NonZeroUsize::MIN,
        };
        let memory = self.memory;
        let rollout = Rollout {
            migrator: Arc::new(Scripted {
                script: Mutex::new(self.each),
                is_away: Mutex::new(false),
            }),
            ledger: memory.clone(),
            policy: RolloutPolicy {
                concurrency: Concurrency {
                    fleet: limits.tenants,
                    pace: Pace::Fixed,
                    throttle: ThrottleLimits::NONE,
                    databases: [(DatabaseName::new("a"), limits)].into(),
                },
                retry: RetryPolicy {
                    attempts: NonZeroU32::new(3).unwrap(),
                    backoff: Duration::from_secs(4),
                    max_backoff: Duration::from_secs(4),
                },
                budget: FailureBudget::Unlimited,
                same_failures: self.same_failures,
                reconnect: Duration::from_mins(1),
                heartbeat: Duration::from_secs(3),
                deadline: self.deadline.and_then(|span| Deadline::new(started, span)),
            },
            run: RunId::new("20261123-161004-7f3a"),
            resumes: None,
            plan: Plan {
                target: Some(1),
                tenants: self.tenants,
                others: Vec::new(),
            },
            waves: self.waves,
            at_the_end: self.at_the_end,
            checker: checker(self.unwell),
            comparer: likeness::comparer(self.shapes),
            operator: self.operator,
            pasts: self.pasts,
            newcomers: Box::pin(async { Vec::new() }),
        };
        let (_handle, watch) = stop_channel();
        let (sender, mut events) = mpsc::unbounded_channel();
        let end = rollout.run(watch, sender).await;
        let took = started.elapsed();
        let mut memory = memory.0.lock().unwrap();
        Told {
            end,
            closing: memory.closing.take().expect("the run is closed"),
            waves: std::mem::take(&mut memory.waves),
            reversals: std::mem::take(&mut memory.reversals),
            events: std::iter::from_fn(|| events.try_recv().ok()).collect(),
            took,
        }
    }
}

/// Finds these waves unwell.
fn checker(unwell: Vec<&'static str>) -> Checker {
    Box::new(move |order| {
        let is_unwell = unwell.contains(&order.wave.as_str());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if is_unwell {
                Err("unwell".to_owned())
            } else {
                Ok(())
            }
        })
    })
}

impl Told {
    /// The tenants in the order in which they were started.
    fn started(&self) -> Vec<String> {
        let started = self.events.iter().filter_map(|event| match event {
            RolloutEvent::AttemptStarted { tenant, .. } => Some(tenant.schema.to_string()),
            _ => None,
        });
        started.collect()
    }

    /// `name outcome`, by name.
    fn outcomes(&self) -> Vec<String> {
        let tenants = self.end.summary.tenants.iter();
        tenants
            .map(|tenant| format!("{} {}", tenant.tenant.schema, tenant.outcome.as_str()))
            .collect()
    }
}
