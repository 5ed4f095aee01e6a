//! How many tenants at a time, on servers that have to bear what a test says.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::sleep;

use super::*;
use crate::ledger::RunEvent;
use crate::run::{ExitCode, Measure, PaceChange, PaceReason, RunSummary, StopSignal};

/// What a look at the server comes to.
#[derive(Clone)]
enum Look {
    Sees(Pressure),
    Hangs,
    Panics,
}

/// Each tenant takes as long; the server has to bear what the test says.
struct Pressed {
    each: Duration,
    look: Mutex<Look>,
    looks: AtomicUsize,
    in_work: AtomicUsize,
    most_in_work: AtomicUsize,
    /// How many connections were to be kept.
    kept: AtomicUsize,
}

impl TenantMigrator for Pressed {
    async fn migrate(
        &self,
        _: &Assignment,
        _: impl Fn(Progress) + Send + Sync,
        _: &CancellationToken,
    ) -> Result<Applied, MigrateError> {
        let now = self.in_work.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_in_work.fetch_max(now, Ordering::Relaxed);
        sleep(self.each).await;
        self.in_work.fetch_sub(1, Ordering::Relaxed);
        Ok(Applied {
            migrations: vec!["V1__one".to_owned()],
            version: Some(1),
            ..Applied::default()
        })
    }

    async fn probe(&self, _: &DatabaseName) -> Result<(), Box<Failure>> {
        Ok(())
    }

    fn give_back(&self, _: &DatabaseName, connections: usize) {
        self.kept.store(connections, Ordering::Relaxed);
    }

    async fn pressure(&self, _: &DatabaseName) -> Result<Pressure, Box<Failure>> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let look = self.look.lock().unwrap().clone();
        match look {
            Look::Sees(pressure) => Ok(pressure),
            Look::Hangs => std::future::pending().await,
            Look::Panics => panic!("a look that panics"),
        }
    }
}

/// Keeps what it is given.
#[derive(Clone, Default)]
struct Records {
    events: Arc<Mutex<Vec<RunEvent>>>,
    writes: Arc<AtomicUsize>,
}

impl Ledger for Records {
    async fn record(&mut self, entries: &Entries) -> Result<Option<Approval>, LedgerError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.events.lock().unwrap().extend(entries.events.clone());
        Ok(None)
    }

    async fn close(&mut self, closing: &Closing) -> Result<(), LedgerError> {
        self.events.lock().unwrap().extend(closing.events.clone());
        Ok(())
    }
}

/// A run in progress.
struct Running {
    script: Arc<Pressed>,
    ledger: Records,
    stop: StopHandle,
    events: mpsc::UnboundedReceiver<RolloutEvent>,
    run: tokio::task::JoinHandle<RolloutEnd>,
}

impl Running {
    fn start(tenants: usize, each: Duration, pace: Pace, look: Look) -> Self {
        Self::with(policy(pace), tenants, each, look)
    }

    fn with(policy: RolloutPolicy, tenants: usize, each: Duration, look: Look) -> Self {
        let script = Arc::new(Pressed {
            each,
            look: Mutex::new(look),
            looks: AtomicUsize::new(0),
            in_work: AtomicUsize::new(0),
            most_in_work: AtomicUsize::new(0),
            kept: AtomicUsize::new(usize::MAX),
        });
        let ledger = Records::default();
        let (stop, watch) = stop_channel();
        let (sender, events) = mpsc::unbounded_channel();
        let rollout = Rollout {
            migrator: Arc::clone(&script),
            ledger: ledger.clone(),
            policy,
            run: RunId::new("20261123-161004-7f3a"),
            resumes: None,
            plan: plan(tenants),
            waves: Vec::new(),
            at_the_end: Likeness::default(),
            checker: Box::new(|_| Box::pin(async { Ok(()) })),
            comparer: Box::new(|_| Box::pin(async { Ok(Vec::new()) })),
            operator: Operator::Absent,
            pasts: HashMap::new(),
            newcomers: Box::pin(async { Vec::new() }),
        };
        Self {
            script,
            ledger,
            stop,
            events,
            run: tokio::spawn(rollout.run(watch, sender)),
        }
    }

    fn sees(&self, pressure: Pressure) {
        *self.script.look.lock().unwrap() = Look::Sees(pressure);
    }

    /// The next change of the number of tenants at a time, with the time.
    async fn next_change(&mut self) -> PaceChange {
        loop {
            match self.events.recv().await {
                Some(RolloutEvent::PaceChanged { change, .. }) => return change,
                Some(_) => {}
                None => panic!("no change any more"),
            }
        }
    }

    async fn end(mut self) -> (Arc<RunSummary>, Vec<RolloutEvent>, Records) {
        let end = self.run.await.unwrap();
        let mut events = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            events.push(event);
        }
        (end.summary, events, self.ledger)
    }
}

fn policy(pace: Pace) -> RolloutPolicy {
    let eight = NonZeroUsize::new(8).unwrap();
    let limits = DatabaseLimits {
        tenants: eight,
        index_builds: NonZeroUsize::MIN,
    };
    RolloutPolicy {
        concurrency: Concurrency {
            fleet: eight,
            pace,
            throttle: ThrottleLimits {
                lock_waits: 10,
                ..ThrottleLimits::NONE
            },
            databases: [(DatabaseName::new("main"), limits)].into(),
        },
        retry: RetryPolicy {
            attempts: NonZeroU32::MIN,
            backoff: Duration::ZERO,
            max_backoff: Duration::ZERO,
        },
        budget: FailureBudget::Unlimited,
        same_failures: 0,
        reconnect: Duration::from_secs(10),
        heartbeat: Duration::from_secs(3),
        deadline: None,
    }
}

fn plan(tenants: usize) -> Plan {
    let tenants = (0..tenants).map(|number| TenantPlan {
        tenant: Tenant {
            id: TenantId {
                database: DatabaseName::new("main"),
                schema: SchemaName::parse(&format!("tenant_{number:04}")).unwrap(),
            },
            labels: Arc::default(),
            presence: Presence::Present,
        },
        history: HistorySnapshot::NoTable { relations: 0 },
        from: None,
        action: Action::Migrate(Arc::from([1])),
        holds: Vec::new(),
    });
    Plan {
        target: Some(1),
        tenants: tenants.collect(),
        others: Vec::new(),
    }
}

fn waiting(lock_waits: u64) -> Pressure {
    Pressure {
        slots: 100,
        free_slots: 90,
        lock_waits,
        ..Pressure::default()
    }
}

fn is_paused(change: PaceChange) -> bool {
    matches!(change, PaceChange::Throttled { tenants: 0, .. })
}

const QUICK: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn a_run_on_a_server_that_is_over_a_limit_begins_when_it_is_not_any_more() {
    let mut run = Running::start(40, QUICK, Pace::Fixed, Look::Sees(waiting(11)));
    assert!(is_paused(run.next_change().await));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(run.script.most_in_work.load(Ordering::Relaxed), 0);
    run.sees(waiting(0));
    let (summary, events, ledger) = run.end().await;
    assert_eq!(
        (summary.exit, summary.totals.succeeded),
        (ExitCode::Done, 40)
    );
    let throttled = &summary.throttled[0];
    assert_eq!(throttled.worst.measure, Measure::LockWaits);
    assert_eq!(throttled.worst.value, 11);
    assert!(throttled.lasted >= Duration::from_mins(5), "{throttled:?}");
    let is_begin = |event: &RolloutEvent| matches!(event, RolloutEvent::AttemptStarted { .. });
    assert!(events.iter().any(is_begin), "none had begun before");
    let recorded = ledger.events.lock().unwrap();
    let kinds: Vec<&str> = recorded.iter().map(|event| event.change.as_str()).collect();
    assert_eq!(kinds, ["throttled", "throttled", "released"]);
    // signs of life, and nothing beyond
    let writes = ledger.writes.load(Ordering::Relaxed);
    assert!(writes < 130, "{writes}");
}

#[tokio::test(start_paused = true)]
async fn the_server_is_looked_at_once_a_second_and_not_after_the_last_start() {
    let slow = Duration::from_secs(10);
    let mut seven_at_a_time = policy(Pace::Fixed);
    seven_at_a_time.concurrency.fleet = NonZeroUsize::new(7).unwrap();
    let run = Running::with(seven_at_a_time, 14, slow, Look::Sees(waiting(0)));
    let script = Arc::clone(&run.script);
    let (summary, ..) = run.end().await;
    assert_eq!(summary.totals.succeeded, 14);
    // for the first ten of the twenty seconds
    let looks = script.looks.load(Ordering::Relaxed);
    assert!((9..=12).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn where_all_connections_are_taken_a_look_waits_for_one_and_comes_first() {
    let slow = Duration::from_secs(10);
    let mut run = Running::start(16, slow, Pace::Fixed, Look::Sees(waiting(0)));
    let script = Arc::clone(&run.script);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(script.looks.load(Ordering::Relaxed), 1);
    run.sees(waiting(11));
    let PaceChange::Throttled { tenants, .. } = run.next_change().await else {
        panic!("not throttled");
    };
    assert_eq!(tenants, 4);
    assert_eq!(
        script.in_work.load(Ordering::Relaxed),
        7,
        "none was started before"
    );
    run.sees(waiting(0));
    assert_eq!(run.end().await.0.totals.succeeded, 16);
}

#[tokio::test(start_paused = true)]
async fn a_signal_ends_a_pause() {
    let mut run = Running::start(40, QUICK, Pace::Fixed, Look::Sees(waiting(11)));
    assert!(is_paused(run.next_change().await));
    run.stop.signal(StopSignal::Interrupt);
    let (summary, ..) = run.end().await;
    assert_eq!(summary.exit, ExitCode::Interrupted);
    assert_eq!(summary.totals.skipped, 40);
}

#[tokio::test(start_paused = true)]
async fn looks_that_hang_or_panic_hold_nothing_up() {
    for look in [Look::Hangs, Look::Panics] {
        for pace in [Pace::Fixed, Pace::Auto] {
            let begin = Instant::now();
            let run = Running::start(40, QUICK, pace, look.clone());
            let (summary, ..) = run.end().await;
            assert_eq!(summary.totals.succeeded, 40);
            assert!(begin.elapsed() < Duration::from_secs(4));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn auto_is_soon_at_the_ceiling_and_never_above() {
    let run = Running::start(200, QUICK, Pace::Auto, Look::Sees(waiting(0)));
    let script = Arc::clone(&run.script);
    let begin = Instant::now();
    let (summary, events, _) = run.end().await;
    assert_eq!(summary.totals.succeeded, 200);
    assert_eq!(script.most_in_work.load(Ordering::Relaxed), 8);
    let numbers: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            RolloutEvent::PaceChanged {
                change: PaceChange::Found { tenants, .. },
                ..
            } => Some(*tenants),
            _ => None,
        })
        .collect();
    assert_eq!(numbers[..3], [2, 4, 8]);
    // eight at a time would have taken a quarter of a second
    assert!(
        begin.elapsed() < Duration::from_millis(450),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn auto_gives_back_what_the_application_comes_to_need() {
    let run = Running::start(2_000, QUICK, Pace::Auto, Look::Sees(waiting(0)));
    let script = Arc::clone(&run.script);
    while script.most_in_work.load(Ordering::Relaxed) < 8 {
        sleep(QUICK).await;
    }
    run.sees(Pressure {
        workers: 8,
        free_slots: 5,
        ..waiting(0)
    });
    while script.kept.load(Ordering::Relaxed) == usize::MAX {
        sleep(QUICK).await;
    }
    // five are free and a tenth of the slots is the application's
    assert_eq!(script.kept.load(Ordering::Relaxed), 3);
    sleep(QUICK).await;
    assert!(script.in_work.load(Ordering::Relaxed) <= 3);
    run.sees(waiting(0));
    assert_eq!(run.end().await.0.totals.succeeded, 2_000);
}

#[tokio::test(start_paused = true)]
async fn auto_makes_way_for_sessions_that_wait_for_fleet() {
    let mut run = Running::start(2_000, QUICK, Pace::Auto, Look::Sees(waiting(0)));
    while run.script.most_in_work.load(Ordering::Relaxed) < 8 {
        sleep(QUICK).await;
    }
    run.sees(Pressure {
        behind_fleet: 9,
        ..waiting(9)
    });
    let back = loop {
        let change = run.next_change().await;
        if let PaceChange::Found {
            tenants,
            reason: PaceReason::LockWaits,
        } = change
        {
            break tenants;
        }
    };
    assert_eq!(back, 4);
    run.sees(waiting(0));
    assert_eq!(run.end().await.0.totals.succeeded, 2_000);
}
