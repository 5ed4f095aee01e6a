//! A rehearsal over the fleet: few tenants at a time, without a lease and without a ledger; and what it says
//! about the time that a run would take.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::policy::DatabaseLimits;
use super::shutdown::StopWatch;
use crate::migration::Version;
use crate::migrator::TenantRehearser;
use crate::plan::{TenantPlan, Wave};
use crate::run::{
    ExitCode, LockMode, MigrationStem, NotRehearsed, RehearsalOutcome, StopSignal, TenantRehearsal,
};
use crate::tenant::{DatabaseName, TenantId};

/// A whole rehearsal at its end.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    /// The version to reach.
    pub target: Option<Version>,
    /// The set's highest version.
    pub head: Option<Version>,
    /// Every tenant that was selected, and in a sample those that it holds, by name.
    pub tenants: Vec<TenantRehearsal>,
    /// The sample, where it was one.
    pub sample: Option<Sample>,
    /// What stopped it before its end.
    pub stopped: Option<RehearsalStop>,
    /// How long a run would take; None where nobody has told.
    pub forecast: Option<RunForecast>,
    /// The same of each of its waves; none where all tenants go together.
    pub waves: Vec<WaveForecast>,
    /// From begin to end.
    pub duration: Duration,
}

/// Some of the tenants with pending migrations, taken by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What makes it the same sample again.
    pub seed: u64,
    /// How many tenants with pending migrations are not in it.
    pub left_out: usize,
}

/// What stops a rehearsal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RehearsalStop {
    /// A signal.
    Signal(StopSignal),
    /// The time that it had is over.
    Late,
}

/// How long a run would take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunForecast {
    /// From its first tenant to its last, where they do not slow each other down.
    pub wall: Duration,
    /// The same where more tenants at a time than in the rehearsal bring nothing.
    pub at_most: Duration,
    /// With so many tenants at a time.
    pub at_a_time: NonZeroUsize,
    /// By what so many tenants took.
    pub measured: usize,
    /// So many more are taken for the one in the middle of these.
    pub supposed: usize,
}

/// What a run may do at a time.
#[derive(Clone, Debug)]
pub struct RunWidth {
    /// In the rehearsal, over the whole fleet: what the server is known to bear.
    pub rehearsal: NonZeroUsize,
    /// Over the whole fleet.
    pub fleet: NonZeroUsize,
    /// In each database.
    pub databases: HashMap<DatabaseName, DatabaseLimits>,
}

/// The locks of one migration on one table, over all tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockSummary {
    /// Which migration.
    pub migration: MigrationStem,
    /// The table, with its schema where that is not the tenant's.
    pub table: Arc<str>,
    /// The strongest mode.
    pub mode: LockMode,
    /// In how many tenants.
    pub tenants: usize,
    /// How long it is held in the tenant in the middle.
    pub median: Duration,
    /// How long it is held at most.
    pub worst: Duration,
    /// Where that is.
    pub worst_tenant: TenantId,
}

/// Rehearses tenants, each told as soon as it is known, until all are or a stop is asked for: then what runs
/// is cancelled. `last_call` is when the time for it is over.
pub async fn rehearse<R: TenantRehearser>(
    rehearser: &R,
    tenants: &[TenantPlan],
    at_a_time: NonZeroUsize,
    (stop, last_call): (&mut StopWatch, Option<Instant>),
    mut hear: impl FnMut(&TenantRehearsal),
) -> (Vec<TenantRehearsal>, Option<RehearsalStop>) {
    let abort = CancellationToken::new();
    let rehearsing = tenants
        .iter()
        .map(|tenant| rehearser.rehearse(tenant, &abort));
    let mut rehearsing = std::pin::pin!(stream::iter(rehearsing).buffer_unordered(at_a_time.get()));
    let mut done = Vec::with_capacity(tenants.len());
    let mut stopped = None;
    loop {
        let late = async {
            match last_call {
                Some(instant) => tokio::time::sleep_until(instant).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            next = rehearsing.next() => match next {
                Some(tenant) => {
                    hear(&tenant);
                    done.push(tenant);
                }
                None => break,
            },
            request = stop.escalated(), if stopped.is_none() => {
                stopped = Some(RehearsalStop::Signal(request.signal));
                abort.cancel();
            }
            () = late, if stopped.is_none() => {
                stopped = Some(RehearsalStop::Late);
                abort.cancel();
            }
        }
    }
    done.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    (done, stopped)
}

impl Rehearsal {
    /// How many tenants have this outcome.
    pub fn count(&self, outcome: RehearsalOutcome) -> usize {
        let tenants = self.tenants.iter();
        tenants.filter(|tenant| tenant.outcome == outcome).count()
    }

    /// How many tenants were to be rehearsed and could have been.
    pub fn lacking(&self) -> usize {
        let tenants = self.tenants.iter();
        tenants.filter(|tenant| tenant.is_lacking()).count()
    }

    /// What the command exits with. Only a rehearsal that did all that can be done exits with 0.
    pub fn exit(&self) -> ExitCode {
        let lacking = self.lacking() > 0;
        match self.stopped {
            Some(RehearsalStop::Signal(StopSignal::Interrupt)) if lacking => ExitCode::Interrupted,
            Some(RehearsalStop::Signal(StopSignal::Terminate)) if lacking => ExitCode::Terminated,
            Some(RehearsalStop::Late) if lacking => ExitCode::Deadline,
            _ if self.count(RehearsalOutcome::WouldFail) > 0 || lacking => ExitCode::TenantsFailed,
            _ if self.count(RehearsalOutcome::Refused) > 0 => ExitCode::Divergent,
            _ => ExitCode::Done,
        }
    }

    /// The locks by migration, and of each the strongest and longest first.
    pub fn locks(&self) -> Vec<LockSummary> {
        let mut found: BTreeMap<(&MigrationStem, &str), Found<'_>> = BTreeMap::new();
        for tenant in &self.tenants {
            for migration in &tenant.migrations {
                for lock in &migration.locks {
                    let of_table = found
                        .entry((&migration.migration, &lock.table))
                        .or_default();
                    of_table.mode = of_table.mode.max(Some(lock.mode));
                    of_table.held.push((lock.held, &tenant.tenant));
                }
            }
        }
        let mut locks: Vec<LockSummary> = found
            .into_iter()
            .filter_map(|((migration, table), found)| found.summary(migration, table))
            .collect();
        locks.sort_by(|a, b| {
            let strength = |lock: &LockSummary| Reverse((lock.mode, lock.worst));
            let order = a.migration.cmp(&b.migration);
            order.then_with(|| strength(a).cmp(&strength(b)))
        });
        locks
    }

    /// The migrations that were not rehearsed, with the reason, and in how many tenants that was so.
    pub fn not_rehearsed(&self) -> Vec<(&NotRehearsed, usize)> {
        let mut found: BTreeMap<(&MigrationStem, String), (&NotRehearsed, usize)> = BTreeMap::new();
        for not in self.tenants.iter().flat_map(|tenant| &tenant.not_rehearsed) {
            let key = (&not.migration, not.cause.to_string());
            found.entry(key).or_insert((not, 0)).1 += 1;
        }
        found.into_values().collect()
    }
}

/// What was found of one migration at one table.
#[derive(Default)]
struct Found<'a> {
    mode: Option<LockMode>,
    held: Vec<(Duration, &'a TenantId)>,
}

impl Found<'_> {
    fn summary(mut self, migration: &MigrationStem, table: &str) -> Option<LockSummary> {
        self.held.sort();
        let (worst, worst_tenant) = *self.held.last()?;
        Some(LockSummary {
            migration: migration.clone(),
            table: table.into(),
            mode: self.mode?,
            tenants: self.held.len(),
            median: self.held[(self.held.len() - 1) / 2].0,
            worst,
            worst_tenant: worst_tenant.clone(),
        })
    }
}

/// How long so much work takes with so many at a time, the longest first.
pub fn wall_time(durations: &[Duration], at_a_time: NonZeroUsize) -> Duration {
    let mut longest_first = durations.to_vec();
    longest_first.sort_unstable_by(|a, b| b.cmp(a));
    let slots = at_a_time.get().min(longest_first.len());
    let mut free_at: BinaryHeap<Reverse<Duration>> =
        std::iter::repeat_n(Reverse(Duration::ZERO), slots).collect();
    let mut end = Duration::ZERO;
    for duration in longest_first {
        let Reverse(free) = free_at.pop().unwrap_or_default();
        end = end.max(free + duration);
        free_at.push(Reverse(free + duration));
    }
    end
}

/// How long a run over these tenants would take, by what they took in rehearsal. `others` were not rehearsed,
/// and each is taken for the one in the middle.
pub fn forecast(
    rehearsed: &[TenantRehearsal],
    others: &[TenantId],
    width: &RunWidth,
) -> Option<RunForecast> {
    let (measured, unknown): (Vec<_>, Vec<_>) = rehearsed
        .iter()
        .filter(|tenant| is_pending(tenant.outcome))
        .partition(|tenant| is_measured(tenant));
    let mut times: Vec<Duration> = measured.iter().map(|tenant| tenant.duration).collect();
    let middle = times.len() / 2;
    if times.is_empty() {
        return None;
    }
    let median = *times.select_nth_unstable(middle).1;
    let mut by_database: HashMap<&DatabaseName, Vec<Duration>> = HashMap::new();
    let known = measured.iter().map(|t| (&t.tenant.database, t.duration));
    let unknown = unknown.iter().map(|tenant| &tenant.tenant).chain(others);
    let supposed: Vec<_> = unknown.map(|id| (&id.database, median)).collect();
    for (database, time) in known.chain(supposed.iter().copied()) {
        by_database.entry(database).or_default().push(time);
    }
    Some(RunForecast {
        wall: of_databases(&by_database, width, width.fleet),
        at_most: of_databases(&by_database, width, width.fleet.min(width.rehearsal)),
        at_a_time: width.fleet,
        measured: measured.len(),
        supposed: supposed.len(),
    })
}

/// How long a wave of a run would take.
#[derive(Clone, Debug)]
pub struct WaveForecast {
    /// Which wave.
    pub wave: Wave,
    /// How long; None where none of its tenants has told.
    pub forecast: Option<RunForecast>,
}

/// The same for each wave.
pub fn forecast_of_waves(
    waves: Vec<Wave>,
    rehearsed: &[TenantRehearsal],
    others: &[TenantId],
    width: &RunWidth,
) -> Vec<WaveForecast> {
    let of = |wave: Wave| {
        let members: HashSet<&TenantId> = wave.tenants.iter().collect();
        let rehearsed = rehearsed.iter().filter(|t| members.contains(&t.tenant));
        let rehearsed: Vec<TenantRehearsal> = rehearsed.cloned().collect();
        let others = others.iter().filter(|id| members.contains(id)).cloned();
        let at_a_time = wave.terms.concurrency.unwrap_or(width.fleet);
        let width = RunWidth {
            fleet: width.fleet.min(at_a_time),
            ..width.clone()
        };
        WaveForecast {
            forecast: forecast(&rehearsed, &others.collect::<Vec<_>>(), &width),
            wave,
        }
    };
    waves.into_iter().map(of).collect()
}

/// The time for all of it, and for the database that takes longest by itself.
fn of_databases(
    by_database: &HashMap<&DatabaseName, Vec<Duration>>,
    width: &RunWidth,
    at_a_time: NonZeroUsize,
) -> Duration {
    let all: Vec<Duration> = by_database.values().flatten().copied().collect();
    let of_one = |(name, times): (&&DatabaseName, &Vec<Duration>)| {
        let limits = width.databases.get(*name);
        wall_time(
            times,
            limits.map_or(at_a_time, |limits| limits.tenants.min(at_a_time)),
        )
    };
    let slowest = by_database.iter().map(of_one).max();
    wall_time(&all, at_a_time).max(slowest.unwrap_or_default())
}

fn is_pending(outcome: RehearsalOutcome) -> bool {
    !matches!(
        outcome,
        RehearsalOutcome::UpToDate | RehearsalOutcome::Held | RehearsalOutcome::Refused
    )
}

/// Whether a tenant has told how long it takes: one that was cut short has not.
fn is_measured(tenant: &TenantRehearsal) -> bool {
    matches!(
        tenant.outcome,
        RehearsalOutcome::WouldSucceed | RehearsalOutcome::WouldFail
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migration::{Migration, SessionUse, TransactionMode};
    use crate::run::{NotRehearsedCause, RehearsedMigration, TableLock};
    use crate::tenant::SchemaName;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    fn at_a_time(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number).unwrap()
    }

    fn tenant(database: &str, schema: &str, outcome: RehearsalOutcome) -> TenantRehearsal {
        let id = TenantId {
            database: DatabaseName::new(database),
            schema: SchemaName::parse(schema).unwrap(),
        };
        TenantRehearsal::new(id, None, outcome)
    }

    fn lasting(database: &str, schema: &str, number: u64) -> TenantRehearsal {
        TenantRehearsal {
            duration: ms(number),
            ..tenant(database, schema, RehearsalOutcome::WouldSucceed)
        }
    }

    fn stem() -> MigrationStem {
        MigrationStem::of(&Migration {
            refinery: refinery_core::Migration::unapplied("V1__a", "").unwrap(),
            path: "V1__a.sql".into(),
            body: "".into(),
            mode: TransactionMode::Transactional,
            statements: Vec::new(),
            steps: Arc::default(),
            session: SessionUse::None,
            out_of_order: false,
        })
    }

    fn rehearsal(tenants: Vec<TenantRehearsal>) -> Rehearsal {
        Rehearsal {
            target: Some(1),
            head: Some(1),
            tenants,
            sample: None,
            stopped: None,
            forecast: None,
            waves: Vec::new(),
            duration: Duration::ZERO,
        }
    }

    #[test]
    fn the_longest_go_first_into_the_slot_that_is_free() {
        let times = [ms(10), ms(70), ms(20), ms(40), ms(30)];
        assert_eq!(wall_time(&times, at_a_time(1)), ms(170));
        // 70+20, 40+30+10
        assert_eq!(wall_time(&times, at_a_time(2)), ms(90));
        assert_eq!(wall_time(&times, at_a_time(100)), ms(70));
        assert_eq!(wall_time(&[], at_a_time(3)), Duration::ZERO);
    }

    #[test]
    fn a_forecast_knows_the_limits_of_databases_and_supposes_the_middle() {
        let width = RunWidth {
            rehearsal: at_a_time(1),
            fleet: at_a_time(8),
            databases: HashMap::from([(
                DatabaseName::new("small"),
                DatabaseLimits {
                    tenants: NonZeroUsize::MIN,
                    index_builds: NonZeroUsize::MIN,
                },
            )]),
        };
        let tenants = [
            lasting("small", "a", 10),
            lasting("small", "b", 20),
            lasting("large", "c", 25),
            tenant("large", "d", RehearsalOutcome::Busy),
            tenant("large", "e", RehearsalOutcome::UpToDate),
        ];
        let told = forecast(&tenants, &[tenants[0].tenant.clone()], &width).unwrap();
        assert_eq!(told.wall, ms(10 + 20 + 20));
        assert_eq!(told.at_most, ms(10 + 20 + 20 + 25 + 20));
        assert_eq!((told.measured, told.supposed), (3, 2));
        assert_eq!(forecast(&tenants[3..], &[], &width), None);
    }

    #[test]
    fn only_a_rehearsal_that_did_all_that_can_be_done_exits_with_0() {
        use RehearsalOutcome::{Busy, NotRehearsed as Not, Refused, WouldFail, WouldSucceed};
        let of = |outcomes: &[RehearsalOutcome]| {
            let tenants = outcomes.iter().map(|outcome| tenant("a", "b", *outcome));
            rehearsal(tenants.collect())
        };
        assert_eq!(of(&[WouldSucceed]).exit(), ExitCode::Done);
        assert_eq!(of(&[Refused, WouldSucceed]).exit(), ExitCode::Divergent);
        assert_eq!(of(&[Refused, Busy]).exit(), ExitCode::TenantsFailed);
        assert_eq!(of(&[Refused, WouldFail]).exit(), ExitCode::TenantsFailed);
        let mut by_nature = of(&[Not]);
        by_nature.tenants[0].not_rehearsed = vec![NotRehearsed {
            migration: stem(),
            cause: NotRehearsedCause::NonTransactional,
        }];
        assert_eq!(by_nature.exit(), ExitCode::Done);
        let mut stopped = of(&[Not, WouldFail]);
        stopped.stopped = Some(RehearsalStop::Signal(StopSignal::Interrupt));
        assert_eq!(stopped.exit(), ExitCode::Interrupted);
        stopped.tenants.remove(0);
        assert_eq!(stopped.exit(), ExitCode::TenantsFailed);
    }

    #[test]
    fn locks_are_summed_up_by_migration_and_table() {
        let with_lock = |schema, held, mode| TenantRehearsal {
            migrations: vec![RehearsedMigration {
                migration: stem(),
                duration: held,
                locks: vec![TableLock {
                    table: "tasks".into(),
                    mode,
                    held,
                }],
            }],
            ..tenant("a", schema, RehearsalOutcome::WouldSucceed)
        };
        let locks = rehearsal(vec![
            with_lock("x", ms(5), LockMode::Share),
            with_lock("y", ms(900), LockMode::AccessExclusive),
            with_lock("z", ms(7), LockMode::Share),
        ])
        .locks();
        assert_eq!(locks.len(), 1);
        assert_eq!(locks[0].mode, LockMode::AccessExclusive);
        assert_eq!((locks[0].median, locks[0].worst), (ms(7), ms(900)));
        assert_eq!(locks[0].worst_tenant.schema.as_str(), "y");
        assert_eq!(locks[0].tenants, 3);
    }
}
