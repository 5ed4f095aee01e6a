//! `fleet gate`: whether every tenant is at a version, for a pod that must not start before. Reads only, over one
//! connection a database: hundreds of pods may ask at once. Histories are copied out in batches, as for a plan: one
//! query over all of them would cost the server ten times as much.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;

use super::error::{self, Refusal};
use super::fleet::{Fleet, Needed};
use super::options::{Global, Selection};
use super::output::Output;
use super::run_options::parse_wait;
use crate::migration::Version;
use crate::plan::{Arrival, HistorySnapshot};
use crate::report::{self, Format, Verbosity};
use crate::run::ExitCode;
use crate::tenant::TenantId;

/// How soon it is looked again, at first; each time later than the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long the last look may take beyond the time that there is to wait.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// `fleet gate`.
#[derive(Args, Debug)]
pub(super) struct GateArguments {
    /// The version that every tenant has to have, or a later one
    #[arg(long, value_name = "VERSION")]
    pub(super) min_version: Version,

    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,

    /// How long to wait until they are there (such as 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse_wait)]
    pub(super) wait: Option<Duration>,
}

/// Tenants that were there when they were asked last, with what their histories said. They are not asked again.
type Arrived = BTreeMap<TenantId, HistorySnapshot>;

/// Looks, and with `--wait` looks again.
pub(super) async fn execute(
    global: &Global,
    arguments: &GateArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let ends = Instant::now() + arguments.wait.unwrap_or_default();
    let mut pause = FIRST_PAUSE;
    let mut told = Told::default();
    let mut arrived = Arrived::new();
    loop {
        let quiet = told.quieter(output);
        let looking = look(global, arguments, &mut arrived, &quiet);
        let looked = match arguments.wait {
            Some(wait) => {
                let left = ends.saturating_duration_since(Instant::now());
                let looked = tokio::time::timeout(left + LAST_LOOK, looking).await;
                looked.unwrap_or_else(|_| Err(Refusal::NoAnswer(wait).into()))
            }
            None => looking.await,
        };
        let left = ends.saturating_duration_since(Instant::now());
        match looked {
            Ok(arrival) if arrival.is_complete() || left.is_zero() => {
                return conclude(&arrival, output);
            }
            Ok(arrival) => told.behind(&arrival, left, output)?,
            Err(error) if error::is_transient(&error) && !left.is_zero() => {
                told.away(&error, left, output);
            }
            Err(error) => return Err(error),
        }
        // the last look is at the end of the time
        let jittered = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        tokio::time::sleep(jittered.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One look. The connections are given back at its end: many may wait, and the migration needs them.
async fn look(
    global: &Global,
    arguments: &GateArguments,
    arrived: &mut Arrived,
    output: &Output,
) -> anyhow::Result<Arrival> {
    let fleet = Fleet::open(global, Needed::Glance(&arguments.selection), output).await?;
    let arrival = ask(&fleet, arguments, arrived).await;
    fleet.close().await?;
    arrival
}

async fn ask(
    fleet: &Fleet,
    arguments: &GateArguments,
    arrived: &mut Arrived,
) -> anyhow::Result<Arrival> {
    let found = fleet.tenants(&arguments.selection).await?.selected;
    let to_ask = found.iter().filter(|t| !arrived.contains_key(&t.id));
    let mut histories = fleet.read_histories(to_ask).await?;
    let mut arrival = Arrival::new(arguments.min_version);
    for tenant in &found {
        if let Some(history) = arrived.get(&tenant.id) {
            arrival.count(tenant, history);
            continue;
        }
        let history = histories
            .get_mut(&tenant.id.database)
            .and_then(|of_database| of_database.remove(&tenant.id.schema))
            .unwrap_or(HistorySnapshot::SchemaAbsent);
        let before = arrival.there;
        arrival.count(tenant, &history);
        if arrival.there > before {
            arrived.insert(tenant.id.clone(), history);
        }
    }
    Ok(arrival)
}

fn conclude(arrival: &Arrival, output: &Output) -> anyhow::Result<ExitCode> {
    let exit = if arrival.is_complete() {
        ExitCode::Done
    } else {
        ExitCode::Divergent
    };
    output.result(
        |out, style, verbosity| report::gate(out, arrival, style, verbosity),
        &report::gate_document(arrival, exit),
    )?;
    Ok(exit)
}

/// What was said while waiting, so that each thing is said once.
#[derive(Default)]
struct Told {
    looks: u32,
    behind: Option<usize>,
    is_away: bool,
}

impl Told {
    /// Opening a fleet again has nothing new to say.
    fn quieter(&mut self, output: &Output) -> Output {
        self.looks = self.looks.saturating_add(1);
        let mut output = output.clone();
        if self.looks > 1 {
            output.verbosity = Verbosity::Quiet;
        }
        output
    }

    fn behind(&mut self, arrival: &Arrival, left: Duration, output: &Output) -> anyhow::Result<()> {
        self.is_away = false;
        if self.behind == Some(arrival.behind.len()) {
            return Ok(());
        }
        self.behind = Some(arrival.behind.len());
        if output.format == Format::Ndjson {
            report::to_stdout(|out| report::write_document(out, &report::gate_line(arrival)))?;
        }
        output.notice(&format!(
            "{}; waiting for {}",
            report::arrived(arrival),
            report::duration(left)
        ));
        Ok(())
    }

    fn away(&mut self, error: &anyhow::Error, left: Duration, output: &Output) {
        if !self.is_away {
            output.notice(&format!(
                "{}; trying again for {}",
                error::message(error),
                report::duration(left)
            ));
        }
        self.is_away = true;
    }
}
