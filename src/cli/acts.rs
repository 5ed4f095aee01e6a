//! `fleet repair`, `skip`, `baseline` and `accept-divergent`: putting single tenants right, under the
//! lease, locks and guards of a migration, and recorded as a run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::act_options::{
    AcceptArguments, BaselineArguments, EntryArguments, RepairArguments, SkipArguments,
};
use super::deed::{Deed, What};
use super::error::Refusal;
use super::fleet::{Fleet, Needed};
use super::lease;
use super::likeness::LeftShapes;
use super::linting;
use super::migrate::{Ending, Order};
use super::open::find_writable;
use super::options::{Global, Selection};
use super::output::Output;
use super::restraints::{self, Windows};
use super::run_options::AtATime;
use super::signals::Stop;
use super::waves::WaveSource;
use crate::ledger::TakeOver;
use crate::migration::Version;
use crate::migrator::{self, RunBefore};
use crate::plan::{self, Action, AfterFix, Entry, Plan};
use crate::report::{self, Intent};
use crate::run::{Act, ExitCode};
use crate::source;
use crate::tenant::TenantId;

/// An act as it was typed.
struct Commission {
    deed: Deed,
    selection: Selection,
    /// The version that it is about; the set's head if left out.
    version: Option<Version>,
    concurrency: Option<AtATime>,
    wait: Option<Duration>,
    dry_run: bool,
}

/// Runs SQL once in each tenant, then what is pending.
pub(super) async fn repair(
    global: &Global,
    arguments: &RepairArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let fix = Arc::new(source::read_fix(&arguments.sql)?);
    let commission = Commission {
        deed: Deed {
            act: Act::Repair,
            reason: arguments.reason.clone(),
            what: What::Fix {
                fix,
                then: if arguments.no_migrate {
                    AfterFix::Stop
                } else {
                    AfterFix::Migrate
                },
                before: if arguments.again {
                    RunBefore::RunAgain
                } else {
                    RunBefore::LeaveOut
                },
            },
        },
        selection: arguments.named.selection(),
        version: arguments.to,
        concurrency: arguments.running.concurrency,
        wait: arguments.running.wait,
        dry_run: arguments.dry_run,
    };
    let stop = stop.with_deadline(arguments.running.deadline);
    commission.execute(global, output, stop).await
}

/// Records a pending migration as applied.
pub(super) async fn skip(
    global: &Global,
    arguments: &SkipArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let version = arguments.version;
    let entry = Entry::Skip(version);
    let commission = Commission::of(&arguments.entry, Act::Skip, entry, Some(version));
    commission.execute(global, output, stop).await
}

/// Gives tenants a history that have tables and none.
pub(super) async fn baseline(
    global: &Global,
    arguments: &BaselineArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let version = arguments.at;
    let entry = Entry::Baseline(version);
    let commission = Commission::of(&arguments.entry, Act::Baseline, entry, Some(version));
    commission.execute(global, output, stop).await
}

/// Takes edited files as they are now.
pub(super) async fn accept_divergent(
    global: &Global,
    arguments: &AcceptArguments,
    output: &Output,
    stop: Stop,
) -> anyhow::Result<ExitCode> {
    let version = arguments.version;
    let entry = Entry::AcceptDivergent(version);
    let commission = Commission::of(&arguments.entry, Act::AcceptDivergent, entry, version);
    commission.execute(global, output, stop).await
}

impl Commission {
    fn of(arguments: &EntryArguments, act: Act, entry: Entry, version: Option<Version>) -> Self {
        Self {
            deed: Deed {
                act,
                reason: Some(arguments.reason.clone()),
                what: What::Entry(entry),
            },
            selection: arguments.named.selection(),
            version,
            concurrency: None,
            wait: arguments.wait,
            dry_run: arguments.dry_run,
        }
    }

    async fn execute(
        self,
        global: &Global,
        output: &Output,
        mut stop: Stop,
    ) -> anyhow::Result<ExitCode> {
        if self.selection.typed().is_none() {
            return Err(Refusal::NobodyNamed(self.deed.act.as_str()).into());
        }
        let selection = self.selection.clone();
        let opening = Fleet::open(global, Needed::Tenants(&selection), output);
        let fleet = stop.preparing(opening).await?;
        let code = if self.dry_run {
            stop.planning(self.show(&fleet, output)).await
        } else {
            Box::pin(self.carry_out(&fleet, output, &mut stop)).await
        };
        fleet.close().await?;
        code
    }

    /// Says what would be done, and writes nothing anywhere.
    async fn show(&self, fleet: &Fleet, output: &Output) -> anyhow::Result<ExitCode> {
        let set = fleet.read_set()?;
        let target = plan::resolve_target(&set, self.version)?;
        let tenants = fleet.tenants(&self.selection).await?;
        let planned = fleet.plan(&set, target, tenants.clone());
        let (plan, held) = tokio::try_join!(planned, restraints::look(fleet))?;
        let plan = self.deed.plan(restraints::apply_to_act(held, plan), &set);
        let plan = fleet.with_guards(plan, &tenants).await?;
        let intent = Intent {
            act: self.deed.act,
            fix: self.deed.fix().map(Arc::as_ref),
            plan: &plan,
            set: &set,
            before: &self.run_before(fleet, &plan).await?,
        };
        output.result(
            |out, style, _| report::intent(out, intent, style),
            &report::intent_document(intent),
        )?;
        Ok(super::plan::verdict(&plan))
    }

    /// Tenants that have had the fix before.
    async fn run_before(
        &self,
        fleet: &Fleet,
        plan: &Plan,
    ) -> anyhow::Result<HashMap<TenantId, String>> {
        let mut found = HashMap::new();
        let What::Fix {
            fix,
            before: RunBefore::LeaveOut,
            ..
        } = &self.deed.what
        else {
            return Ok(found);
        };
        for tenant in &plan.tenants {
            let id = &tenant.tenant.id;
            if let (Action::Migrate(_), Some(pool)) = (&tenant.action, fleet.pool(&id.database))
                && let Some(words) = migrator::was_run(pool, id, fix).await?
            {
                found.insert(id.clone(), words);
            }
        }
        Ok(found)
    }

    async fn carry_out(
        self,
        fleet: &Fleet,
        output: &Output,
        stop: &mut Stop,
    ) -> anyhow::Result<ExitCode> {
        let set = fleet.read_set()?;
        let target = plan::resolve_target(&set, self.version)?;
        if self.deed.migrates() {
            let judging = linting::refuse(fleet, (&set, target), &self.selection);
            stop.preparing(judging).await?;
        }
        let prepare = async {
            let tenants = find_writable(fleet, &self.selection, output).await?;
            let lease = lease::take(fleet, self.wait, None, output).await?;
            let left_shapes = LeftShapes::of(lease.control(), None).await?;
            Ok((lease, tenants, left_shapes))
        };
        let (lease, tenants, left_shapes) = stop.preparing(prepare).await?;
        let order = Order {
            command: self.deed.act.as_str(),
            deed: Some(self.deed),
            resumes: None,
            // what earlier runs have left is still to be done
            takes_over: TakeOver::None,
            selection: self.selection,
            target,
            concurrency: self.concurrency,
            waves: WaveSource::Nowhere,
            left_shapes,
            what_changed: None,
            windows: Windows::Ignored,
            ending: Ending::Told,
        };
        Box::pin(order.execute(fleet, lease, &set, tenants, output, stop)).await
    }
}
