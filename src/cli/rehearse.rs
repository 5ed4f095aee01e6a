//! `fleet rehearse`: what is pending, run in real tenants and rolled back. And the same in front of a run.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use clap::Args;
use tokio::time::Instant;

use super::error::Refusal;
use super::fleet::{Fleet, Needed};
use super::linting;
use super::open::{find_writable, looking};
use super::options::{Global, MigrateArguments, Selection, WaveArguments};
use super::output::Output;
use super::restraints::{self, Windows};
use super::run_options::{AtATime, MAX_CONCURRENCY};
use super::signals::Stop;
use super::waves;
use crate::migration::{MigrationSet, Version};
use crate::migrator::Rehearser;
use crate::plan::{self, Action, Plan, TenantPlan};
use crate::report::{self, RehearsalProgress, Verbosity};
use crate::rollout::{self, Rehearsal, RehearsalStop, RunWidth, Sample};
use crate::run::{ExitCode, RehearsalOutcome};
use crate::tenant::{DatabaseName, TenantId};

const ABOUT: &str = "\
Each tenant's pending migrations run in one transaction that is rolled back, under
rehearsal.lock_timeout and rehearsal.statement_timeout. They take the same locks as in a run, for
about as long: the application waits for them. What runs without a transaction is not rehearsed,
and neither is what comes after it in that tenant.

Neither the catalogue nor data change, and the control schema is not written. What a rollback does
not take back: sequences that have moved on, dead rows (until the next vacuum), WAL, statistics, and
whatever a file does outside of the database. An UPDATE of a large table costs a rehearsal as much
as a run.

Exit code 4 also where a tenant was busy or cut short, 7 where the plan refuses some; otherwise as
of all commands.";

/// `fleet rehearse`.
#[derive(Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct RehearseArguments {
    /// Which tenants.
    #[command(flatten)]
    selection: Selection,

    /// Rehearse up to this version instead of the newest
    #[arg(long, value_name = "VERSION")]
    to: Option<Version>,

    /// Tenants at a time, instead of rehearsal.concurrency
    #[arg(long, value_name = "N", value_parser = parse_number)]
    concurrency: Option<NonZeroUsize>,

    /// Only so many of the tenants with pending migrations, taken by chance
    #[arg(long, value_name = "N")]
    sample: Option<NonZeroUsize>,

    /// Which sample: the same number takes the same tenants again
    #[arg(long, value_name = "NUMBER", requires = "sample")]
    seed: Option<u64>,
}

/// What is to be rehearsed, and what a run is to be told about.
struct Order {
    /// Tenants at a time.
    at_a_time: NonZeroUsize,
    /// How many of them at most.
    sample: Option<NonZeroUsize>,
    /// What makes the sample the same again.
    seed: u64,
    /// Tenants at a time in the run.
    run: AtATime,
    /// Whether tenants are left alone outside of their windows.
    windows: Windows,
    /// Who goes first in the run.
    waves: WaveArguments,
}

fn parse_number(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .ok()
        .filter(|number: &NonZeroUsize| number.get() <= MAX_CONCURRENCY)
        .ok_or_else(|| format!("a number from 1 to {MAX_CONCURRENCY}"))
}

/// Rehearses and tells what came of it.
pub(super) async fn execute(
    global: &Global,
    arguments: &RehearseArguments,
    output: &Output,
    mut stop: Stop,
) -> anyhow::Result<ExitCode> {
    let opening = Fleet::open(global, Needed::Tenants(&arguments.selection), output);
    let fleet = stop.preparing(opening).await?;
    let rehearsed = run(&fleet, arguments, output, &mut stop).await;
    fleet.close().await?;
    let rehearsal = rehearsed?;
    let exit = rehearsal.exit();
    let output = output.selecting(&arguments.selection);
    let (failures, locks) = (report::rehearsed_failures(&rehearsal), rehearsal.locks());
    output.result(
        |out, style, verbosity| match (verbosity, exit) {
            (Verbosity::Quiet, ExitCode::Done) => Ok(()),
            _ => report::rehearsal(out, &rehearsal, style, verbosity),
        },
        &report::rehearsal_document(&rehearsal, &failures, &locks),
    )?;
    Ok(exit)
}

async fn run(
    fleet: &Fleet,
    arguments: &RehearseArguments,
    output: &Output,
    stop: &mut Stop,
) -> anyhow::Result<Rehearsal> {
    let set = fleet.read_set()?;
    let target = plan::resolve_target(&set, arguments.to)?;
    let judging = linting::refuse(fleet, (&set, target), &arguments.selection);
    stop.preparing(judging).await?;
    let order = Order {
        at_a_time: arguments
            .concurrency
            .unwrap_or(fleet.config.rehearsal.concurrency),
        sample: arguments.sample,
        seed: arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32)),
        run: AtATime(fleet.config.execution.concurrency),
        windows: Windows::Observed,
        waves: WaveArguments::default(),
    };
    order
        .execute(fleet, (&set, target), &arguments.selection, output, stop)
        .await
}

/// Rehearses what `migrate` is about to do. Answers with what to exit where it must not go on.
pub(super) async fn before_migrating(
    fleet: &Fleet,
    (set, target): (&Arc<MigrationSet>, Option<Version>),
    arguments: &MigrateArguments,
    output: &Output,
    stop: &mut Stop,
) -> anyhow::Result<Option<ExitCode>> {
    let of_config = AtATime(fleet.config.execution.concurrency);
    let order = Order {
        at_a_time: fleet.config.rehearsal.concurrency,
        sample: None,
        seed: 0,
        run: arguments.running.concurrency.unwrap_or(of_config),
        windows: Windows::unless(arguments.ignore_windows),
        waves: arguments.waves.clone(),
    };
    let selection = &arguments.selection;
    let rehearsal = order
        .execute(fleet, (set, target), selection, output, stop)
        .await?;
    match rehearsal.stopped {
        Some(RehearsalStop::Signal(signal)) => return Err(Refusal::Stopped(signal).into()),
        Some(RehearsalStop::Late) => return Err(Refusal::Deadline.into()),
        None => {}
    }
    let would_fail = rehearsal.count(RehearsalOutcome::WouldFail);
    if would_fail == 0 {
        let plain = report::Style {
            color: false,
            ..output.screen.stderr
        };
        output.notice(&report::rehearsal_headline(&rehearsal, plain));
        return Ok(None);
    }
    let error = format!(
        "{would_fail} of {} tenants would fail, says the rehearsal: no tenant was migrated",
        rehearsal.tenants.len()
    );
    let (failures, locks) = (report::rehearsed_failures(&rehearsal), rehearsal.locks());
    output.selecting(selection).result(
        |out, style, verbosity| report::rehearsal(out, &rehearsal, style, verbosity),
        &report::refused_by_rehearsal(&rehearsal, &failures, &locks, &error),
    )?;
    output.complain(&anyhow::anyhow!(error));
    Ok(Some(rehearsal.exit()))
}

impl Order {
    async fn execute(
        &self,
        fleet: &Fleet,
        (set, target): (&Arc<MigrationSet>, Option<Version>),
        selection: &Selection,
        output: &Output,
        stop: &mut Stop,
    ) -> anyhow::Result<Rehearsal> {
        let found = find_writable(fleet, selection, output);
        let found = stop.preparing(found).await?;
        let reconnect = fleet.config.execution.reconnect_timeout;
        let planned = looking(reconnect, output, async || {
            let planned = fleet.plan(set, target, found.clone());
            tokio::try_join!(planned, restraints::look(fleet))
        });
        let (plan, held) = stop.preparing(planned).await?;
        let plan = restraints::apply(held, self.windows, plan, output);
        linting::tell(fleet, (set, &plan), None, output).await;
        let rehearser = Rehearser::new(
            fleet.migrator(set, &plan, Vec::new()),
            fleet.config.rehearsal.limits,
        );
        let width = self.width(fleet, &plan);
        let waves = waves::planned(&fleet.config.rollout, &self.waves, &plan);
        let (tenants, left_out) = self.sampled(plan.tenants);
        let pending = tenants.iter().filter(|tenant| is_pending(tenant)).count();
        let heard = (output.format, output.screen, output.verbosity);
        let mut progress = RehearsalProgress::begin(heard, pending, self.at_a_time.get());
        let started = Instant::now();
        let until = stop.last_call();
        let (tenants, stopped) = rollout::rehearse(
            &rehearser,
            &tenants,
            self.at_a_time,
            (&mut stop.watch, until),
            |tenant| progress.tell(tenant),
        )
        .await;
        progress.end();
        let sample = self.sample.map(|_| Sample {
            seed: self.seed,
            left_out: left_out.len(),
        });
        Ok(Rehearsal {
            target,
            head: set.head(),
            forecast: rollout::forecast(&tenants, &left_out, &width),
            waves: rollout::forecast_of_waves(waves, &tenants, &left_out, &width),
            tenants,
            sample,
            stopped,
            duration: started.elapsed(),
        })
    }

    /// The tenants of the sample, with those that have nothing pending, and the rest.
    fn sampled(&self, tenants: Vec<TenantPlan>) -> (Vec<TenantPlan>, Vec<TenantId>) {
        let Some(most) = self.sample else {
            return (tenants, Vec::new());
        };
        let pending = tenants.iter().filter(|tenant| is_pending(tenant));
        let taken: HashSet<TenantId> = fastrand::Rng::with_seed(self.seed)
            .choose_multiple(pending, most.get())
            .into_iter()
            .map(|tenant| tenant.tenant.id.clone())
            .collect();
        let (sampled, left_out): (Vec<_>, Vec<_>) = tenants
            .into_iter()
            .partition(|tenant| !is_pending(tenant) || taken.contains(&tenant.tenant.id));
        let left_out = left_out.into_iter().map(|plan| plan.tenant.id);
        (sampled, left_out.collect())
    }

    /// What a run over these tenants may do at a time; one that adapts itself at most.
    fn width(&self, fleet: &Fleet, plan: &Plan) -> RunWidth {
        let databases = fleet.database_limits();
        let involved: HashSet<&DatabaseName> = plan
            .tenants
            .iter()
            .map(|tenant| &tenant.tenant.id.database)
            .collect();
        let all = involved
            .iter()
            .filter_map(|name| databases.get(*name))
            .map(|limits| limits.tenants)
            .reduce(|sum, limit| sum.saturating_add(limit.get()));
        RunWidth {
            rehearsal: self.at_a_time,
            fleet: self.run.0.or(all).unwrap_or(NonZeroUsize::MIN),
            databases,
        }
    }
}

fn is_pending(tenant: &TenantPlan) -> bool {
    matches!(tenant.action, Action::Migrate(_))
}
