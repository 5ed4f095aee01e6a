//! `fleet migrate`: plan, then migrate.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use tokio::sync::mpsc;

use super::deed::Deed;
use super::fleet::{Fleet, Found, Needed};
use super::lease;
use super::likeness::{Asked, LeftShapes};
use super::linting;
use super::open::{find_writable, looking};
use super::options::{Global, MigrateArguments, Selection};
use super::output::Output;
use super::rehearse::before_migrating;
use super::restraints::{self, Windows};
use super::run_options::AtATime;
use super::signals::Stop;
use super::stable::{Round, Rounds};
use super::started_by;
use super::waves::{self, Divided, Earlier, WaveSource};
use crate::ledger::{ControlState, Lease, NewRun, NewRunTenant, Patience, TakeOver};
use crate::migration::{MigrationSet, Version};
use crate::plan::{self, Action, HistorySnapshot, Plan, TenantPlan};
use crate::report::{self, Reporter, Stepwise};
use crate::rollout::{Concurrency, Deadline, Pace, Rollout, RolloutEvent, RolloutPolicy, settled};
use crate::run::{Act, ExitCode, RunId, RunSummary};
use crate::tenant::DatabaseName;

/// Plans and migrates.
pub(super) async fn execute(
    global: &Global,
    arguments: &MigrateArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let mut stop = stop.with_deadline(arguments.running.deadline);
    let opening = Fleet::open(global, Needed::Tenants(&arguments.selection), output);
    let fleet = stop.preparing(opening).await?;
    let code = if arguments.dry_run {
        let asked = super::plan::Asked {
            selection: &arguments.selection,
            to: arguments.to,
            windows: Windows::unless(arguments.ignore_windows),
            waves: &arguments.waves,
        };
        let shown = super::plan::show(&fleet, asked, output);
        stop.planning(shown).await
    } else {
        migrate(&fleet, arguments, output, &mut stop).await
    };
    fleet.close().await?;
    code
}

async fn migrate(
    fleet: &Fleet,
    arguments: &MigrateArguments,
    output: &Output,
    stop: &mut Stop,
) -> anyhow::Result<ExitCode> {
    let set = fleet.read_set()?;
    let target = plan::resolve_target(&set, arguments.to)?;
    let judging = linting::refuse(fleet, (&set, target), &arguments.selection);
    stop.preparing(judging).await?;
    if arguments.rehearse {
        let rehearsed = before_migrating(fleet, (&set, target), arguments, output, stop);
        if let Some(exit) = Box::pin(rehearsed).await? {
            return Ok(exit);
        }
    }
    let prepare = async {
        // first what may be refused: the lease brings a control schema with it
        let finding = find_writable(fleet, &arguments.selection, output);
        let (tenants, ahead) = tokio::join!(finding, lease::look_ahead(fleet));
        let tenants = tenants?;
        let lease = lease::take(fleet, arguments.running.wait, ahead, output).await?;
        Ok((lease, tenants))
    };
    let (lease, tenants) = stop.preparing(prepare).await?;
    // a lower target leaves open what earlier runs were to reach
    let is_whole = arguments.selection.typed().is_none() && target == set.head();
    let unfinished = lease.control().last_unfinished_run().await?;
    let earlier = Earlier::of(lease.control(), unfinished.as_ref(), target).await?;
    let unfinished = unfinished.map(|run| run.id);
    let left_shapes = LeftShapes::of(lease.control(), unfinished.as_ref()).await?;
    let order = |round| Order {
        command: "migrate",
        deed: None,
        resumes: None,
        takes_over: if is_whole && round == Round::First {
            TakeOver::Every
        } else {
            TakeOver::None
        },
        selection: arguments.selection.clone(),
        target,
        concurrency: arguments.running.concurrency,
        waves: WaveSource::Asked(arguments.waves.clone(), earlier.clone()),
        left_shapes: left_shapes.clone(),
        what_changed: None,
        windows: Windows::unless(arguments.ignore_windows),
        ending: Ending::Told,
    };
    if !arguments.until_stable {
        let run = order(Round::First).execute(fleet, lease, &set, tenants, output, stop);
        return Box::pin(run).await;
    }
    let rounds = Rounds {
        fleet,
        set: &set,
        selection: &arguments.selection,
        wait: arguments.running.wait,
        order,
        output,
    };
    rounds.execute(lease, tenants, stop).await
}

/// What `migrate`, `resume` and the acts have in common once they know their tenants.
pub(super) struct Order {
    /// `migrate`, `resume`, or the word of an act.
    pub(super) command: &'static str,
    /// What is done beside migrating, or instead.
    pub(super) deed: Option<Deed>,
    /// The run that is carried on.
    pub(super) resumes: Option<RunId>,
    /// Of which earlier runs it does all that they left.
    pub(super) takes_over: TakeOver,
    /// As typed.
    pub(super) selection: Selection,
    /// The version to reach.
    pub(super) target: Option<Version>,
    /// Instead of the config's.
    pub(super) concurrency: Option<AtATime>,
    /// Who goes together.
    pub(super) waves: WaveSource,
    /// How earlier runs have left the tenants' shapes.
    pub(super) left_shapes: LeftShapes,
    /// What somebody says has changed since the run that is carried on was halted.
    pub(super) what_changed: Option<String>,
    /// Whether tenants are left alone outside of their windows.
    pub(super) windows: Windows,
    /// Whether its end is told.
    pub(super) ending: Ending,
}

/// Whether a run tells its own end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It does.
    Told,
    /// It is one of several, and somebody tells the end of all of them.
    HeldBack,
}

/// A thread that reports until nobody sends any more, then answers why a result could not be delivered.
type Reporting = thread::JoinHandle<Option<String>>;

impl Order {
    /// Plans these tenants and executes the plan.
    pub(super) async fn execute(
        self,
        fleet: &Fleet,
        lease: Lease,
        set: &Arc<MigrationSet>,
        tenants: Found,
        output: &Output,
        stop: &mut Stop,
    ) -> anyhow::Result<ExitCode> {
        let run = self.round(fleet, lease, set, tenants, output, stop);
        let (summary, undelivered) = Box::pin(run).await?;
        Ok(delivered(summary.exit, undelivered, output))
    }

    /// The same, for whoever has more to do before the exit code is known. Answers why a result could not be
    /// delivered, too.
    pub(super) async fn round(
        self,
        fleet: &Fleet,
        lease: Lease,
        set: &Arc<MigrationSet>,
        tenants: Found,
        output: &Output,
        stop: &mut Stop,
    ) -> anyhow::Result<(Arc<RunSummary>, Option<String>)> {
        let is_whole = self.selection.typed().is_none();
        let rollout = &fleet.config.rollout;
        self.waves.check(rollout, &tenants, is_whole)?;
        let known = tenants.ids();
        let reconnect = fleet.config.execution.reconnect_timeout;
        let until = stop.last_call();
        let planned = self.plan(fleet, (&lease, set), &tenants, output);
        let plan = stop.planning(planned).await?;
        let policy = self.policy(fleet, &plan, stop.deadline);
        fleet.warm_up(&plan, &policy.concurrency);
        let mut divided = self.waves.divide(fleet, &plan);
        divided.tell(output);
        let asking = fleet.ask_likeness(
            (&plan, set),
            &mut divided,
            &self.left_shapes,
            self.deed.as_ref(),
            output,
        );
        let asked = stop.planning(asking).await?;
        let opened = lease
            .open(
                &self.new_run(fleet, (&plan, set), &divided, &asked),
                Patience { reconnect, until },
            )
            .await?;
        let mut migrator = fleet.migrator(set, &plan, opened.dead_sessions);
        if let Some(deed) = &self.deed {
            migrator = migrator.with_work(deed.work(&opened.run));
        }
        let act = self.deed.as_ref().map(|deed| deed.act);
        let rollout = Rollout {
            migrator: Arc::new(migrator),
            ledger: opened.ledger,
            policy,
            run: opened.run,
            newcomers: Box::pin(fleet.newcomers(&self.selection, known)),
            resumes: self.resumes,
            waves: divided.waves,
            at_the_end: asked.at_the_end.clone(),
            checker: fleet.checker(),
            comparer: asked.into_comparer(),
            operator: output.operator(),
            pasts: opened.pasts,
            plan,
        };
        let (events, reporter) = report_to(output, set, (act, self.ending))?;
        let end = Box::pin(rollout.run(stop.watch.clone(), events)).await;
        let undelivered = joined(reporter);
        // the run has its document; what follows is for stderr and the exit code
        if let Some(error) = end.ledger_error {
            output.complain(&anyhow::Error::new(error).context(
                "the run was not recorded to its end; the tenants' own histories are right, and fleet reconcile reads them",
            ));
        }
        Ok((end.summary, undelivered))
    }

    /// What is to be done with each tenant, by its history and by what somebody wants of it.
    async fn plan(
        &self,
        fleet: &Fleet,
        (lease, set): (&Lease, &Arc<MigrationSet>),
        tenants: &Found,
        output: &Output,
    ) -> anyhow::Result<Plan> {
        let reconnect = fleet.config.execution.reconnect_timeout;
        let planned = looking(reconnect, output, async || {
            fleet.plan(set, self.target, tenants.clone()).await
        });
        let held = restraints::read(fleet, lease.control(), ControlState::Current);
        let (plan, held) = tokio::try_join!(planned, held)?;
        let plan = if let Some(deed) = &self.deed {
            deed.plan(restraints::apply_to_act(held, plan), set)
        } else {
            restraints::tell_of_idle_windows(fleet, &self.selection, tenants, output);
            restraints::apply(held, self.windows, plan, output)
        };
        linting::tell(fleet, (set, &plan), self.deed.as_ref(), output).await;
        Ok(plan)
    }

    fn new_run(
        &self,
        fleet: &Fleet,
        (plan, set): (&Plan, &MigrationSet),
        divided: &Divided,
        asked: &Asked,
    ) -> NewRun {
        let numbers = waves::numbers(&divided.waves);
        let there = asked.there(divided);
        let is_of_run = |tenant: &&TenantPlan| {
            tenant.action != Action::UpToDate || there.contains(&tenant.tenant.id)
        };
        let tenants = plan
            .tenants
            .iter()
            .filter(is_of_run)
            .map(|tenant| NewRunTenant {
                tenant: tenant.tenant.id.clone(),
                from: tenant.from,
                settled: settled(tenant)
                    .map(|result| (result.outcome, result.reason.unwrap_or_default())),
                wave: numbers.get(&tenant.tenant.id).copied(),
                odd: asked.odd(&tenant.tenant.id),
            })
            .collect::<Vec<_>>();
        NewRun {
            command: self.command,
            act: self.deed.as_ref().map(|deed| deed.record(plan, set)),
            resumes: self.resumes.clone(),
            takes_over: self.takes_over,
            target: self.target,
            set_fingerprint: set.fingerprint().to_owned(),
            selection: self.selection.typed(),
            started_by: started_by(),
            sessions: fleet.sessions.clone(),
            lease: fleet.config.control.lease,
            held: plan
                .tenants
                .iter()
                .filter(|tenant| matches!(tenant.action, Action::Hold(_)))
                .count() as u64,
            up_to_date: (plan.tenants.len() - tenants.len()) as u64,
            tenants,
            waves: waves::records(&divided.waves),
            waves_of: divided.of.clone(),
            what_changed: self.what_changed.clone(),
            seen: plan
                .tenants
                .iter()
                .filter(|tenant| matches!(tenant.history, HistorySnapshot::Rows { .. }))
                .map(|tenant| (tenant.tenant.id.clone(), tenant.from))
                .collect(),
        }
    }

    fn concurrency(&self, fleet: &Fleet, plan: &Plan) -> Concurrency {
        let of_config = AtATime(fleet.config.execution.concurrency);
        let AtATime(at_a_time) = self.concurrency.unwrap_or(of_config);
        let databases = fleet.database_limits();
        let involved: HashSet<&DatabaseName> = plan
            .tenants
            .iter()
            .map(|tenant| &tenant.tenant.id.database)
            .collect();
        let ceilings = involved.iter().filter_map(|name| databases.get(*name));
        let all = ceilings
            .map(|limits| limits.tenants)
            .reduce(|sum, ceiling| sum.saturating_add(ceiling.get()));
        Concurrency {
            fleet: at_a_time.or(all).unwrap_or(NonZeroUsize::MIN),
            pace: match at_a_time {
                Some(_) => Pace::Fixed,
                None => Pace::Auto,
            },
            throttle: fleet.config.throttle.limits,
            databases,
        }
    }

    fn policy(&self, fleet: &Fleet, plan: &Plan, deadline: Option<Deadline>) -> RolloutPolicy {
        let execution = &fleet.config.execution;
        RolloutPolicy {
            concurrency: self.concurrency(fleet, plan),
            retry: execution.retry,
            budget: fleet.config.rollout.max_failures,
            same_failures: fleet.config.rollout.same_failures,
            reconnect: execution.reconnect_timeout,
            heartbeat: fleet.config.control.lease / 3,
            deadline,
        }
    }
}

/// Waits for the report. The last words are spoken when the sender is gone.
pub(super) fn joined(reporter: Reporting) -> Option<String> {
    match reporter.join() {
        Ok(undelivered) => undelivered,
        Err(_) => Some("the report broke off".to_owned()),
    }
}

/// Nobody who was not told may take silence for success.
pub(super) fn delivered(exit: ExitCode, undelivered: Option<String>, output: &Output) -> ExitCode {
    match (undelivered, exit) {
        (Some(reason), ExitCode::Done) => {
            output.complain(
                &anyhow::anyhow!(reason)
                    .context("every tenant is done, but the result could not be written"),
            );
            ExitCode::Unexpected
        }
        (_, exit) => exit,
    }
}

/// Reports on a thread of its own: a pipe that nobody reads must not hold up the run.
pub(super) fn report_to(
    output: &Output,
    set: &MigrationSet,
    (act, ending): (Option<Act>, Ending),
) -> anyhow::Result<(mpsc::UnboundedSender<RolloutEvent>, Reporting)> {
    let stepwise = Stepwise::of(set);
    let (format, screen, verbosity) = (output.format, output.screen, output.verbosity);
    let mut reporters = match act {
        Some(act) => report::for_act(act, format, screen, verbosity, stepwise),
        None => report::for_run(format, screen, verbosity, stepwise),
    };
    let (sender, mut events) = mpsc::unbounded_channel();
    let reporter = thread::Builder::new()
        .name("report".to_owned())
        .spawn(move || {
            while let Some(event) = events.blocking_recv() {
                let is_end = matches!(event, RolloutEvent::RunFinished { .. });
                if !is_end || ending == Ending::Told {
                    reporters.report(&event);
                }
            }
            reporters.undelivered()
        })
        .context("start the report")?;
    Ok((sender, reporter))
}
