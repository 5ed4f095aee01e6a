//! `fleet hold`, `fleet pin` and `fleet release`: timing of single tenants. What they say counts from the next plan
//! on; a run that is at work goes on as it was planned.

use std::collections::HashMap;
use std::time::Duration;

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::error::Refusal;
use super::fleet::{Fleet, Found, Needed};
use super::options::{Global, Selection, parse_pattern};
use super::output::Output;
use super::started_by;
use crate::ledger::{Control, NewHold, RunState};
use crate::migration::Version;
use crate::plan::{self, Hold, HoldKind};
use crate::report::{self, HoldNews};
use crate::run::ExitCode;
use crate::tenant::{Labels, Presence, Tenant, TenantFilter, TenantId, TenantPattern};

/// Which tenants: by name without a flag, too.
#[derive(Args, Debug)]
pub(super) struct NamedSelection {
    /// Tenants by schema or database/schema; patterns as with --tenant
    #[arg(value_name = "TENANT", value_parser = parse_pattern)]
    named: Vec<TenantPattern>,

    /// And the flags.
    #[command(flatten)]
    selection: Selection,
}

impl NamedSelection {
    /// Both ways of naming together. All tenants are meant only where somebody says so.
    fn selection(&self, command: &'static str) -> Result<Selection, Refusal> {
        let mut selection = self.selection.clone();
        selection.tenants.extend(self.named.iter().cloned());
        match selection.typed() {
            Some(_) => Ok(selection),
            None => Err(Refusal::NobodyNamed(command)),
        }
    }
}

/// `fleet hold`.
#[derive(Args, Debug)]
pub(super) struct HoldArguments {
    /// Which tenants.
    #[command(flatten)]
    tenants: NamedSelection,

    /// Until when: 2026-12-01T06:00:00+01:00, 2026-12-01 (its beginning in UTC), or a duration such as 3d.
    /// Without it: until it is released
    #[arg(long, value_name = "WHEN", value_parser = parse_until)]
    until: Option<Until>,

    /// Why, for everybody who finds the tenant behind the others
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
}

/// `fleet pin`.
#[derive(Args, Debug)]
pub(super) struct PinArguments {
    /// Which tenants.
    #[command(flatten)]
    tenants: NamedSelection,

    /// The version that the tenant does not go beyond
    #[arg(long, value_name = "VERSION")]
    to: Version,

    /// Until when: 2026-12-01T06:00:00+01:00, 2026-12-01 (its beginning in UTC), or a duration such as 3d.
    /// Without it: until it is released
    #[arg(long, value_name = "WHEN", value_parser = parse_until)]
    until: Option<Until>,

    /// Why, for everybody who finds the tenant behind the others
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<String>,
}

/// `fleet release`.
#[derive(Args, Debug)]
pub(super) struct ReleaseArguments {
    /// Which tenants.
    #[command(flatten)]
    tenants: NamedSelection,
}

/// Until when something counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// That moment.
    At(Timestamp),
    /// So long from now, by the control database's clock.
    For(Duration),
}

impl Until {
    /// The moment, in whole seconds.
    fn from(self, now: Timestamp) -> Result<Timestamp, Refusal> {
        let until = match self {
            Self::At(until) => until,
            Self::For(span) => SignedDuration::try_from(span)
                .ok()
                .and_then(|span| now.checked_add(span).ok())
                .ok_or(Refusal::UntilTooFar)?,
        };
        let until = whole_seconds(until);
        if until <= now {
            return Err(Refusal::UntilIsPast {
                until: until.to_string(),
                now: whole_seconds(now).to_string(),
            });
        }
        Ok(until)
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// The last year that every date of the documents can be written in.
const LAST_YEAR: i16 = 9998;

fn parse_until(text: &str) -> Result<Until, String> {
    let until = if let Ok(time) = text.parse::<Timestamp>() {
        Until::At(time)
    } else if let Ok(date) = text.parse::<Date>()
        && text.len() == "2026-12-01".len()
    {
        let midnight = date.to_zoned(TimeZone::UTC);
        Until::At(midnight.map_err(|error| error.to_string())?.timestamp())
    } else if let Ok(span) = humantime::parse_duration(text) {
        Until::For(span)
    } else {
        return Err("write a time with its zone (2026-12-01T06:00:00Z), a date (2026-12-01), or a duration (3d, 12h)".to_owned());
    };
    match until {
        Until::At(time) if time.to_zoned(TimeZone::UTC).year() > LAST_YEAR => Err(
            "that is too far away; leave --until out to hold it until it is released".to_owned(),
        ),
        Until::For(span) if span.is_zero() => Err("a duration above 0".to_owned()),
        until => Ok(until),
    }
}

fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("a reason that says something".to_owned());
    }
    if text.contains('\0') {
        return Err("without a NUL byte".to_owned());
    }
    Ok(text.to_owned())
}

/// What is said about tenants.
struct Asked<'a> {
    kind: HoldKind,
    until: Option<Until>,
    reason: Option<&'a str>,
}

/// Holds tenants.
pub(super) async fn hold(
    global: &Global,
    arguments: &HoldArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let selection = arguments.tenants.selection("hold")?;
    let fleet = Fleet::open(global, Needed::Tenants(&selection), output).await?;
    let asked = Asked {
        kind: HoldKind::Hold,
        until: arguments.until,
        reason: Some(&arguments.reason),
    };
    let held = async {
        let found = fleet.tenants(&selection).await?;
        let tenants = ids(&found);
        set(&fleet, &asked, tenants, HashMap::new(), output).await
    }
    .await;
    fleet.close().await?;
    held
}

/// Pins tenants.
pub(super) async fn pin(
    global: &Global,
    arguments: &PinArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let selection = arguments.tenants.selection("pin")?;
    let fleet = Fleet::open(global, Needed::Tenants(&selection), output).await?;
    let asked = Asked {
        kind: HoldKind::Pin(arguments.to),
        until: arguments.until,
        reason: arguments.reason.as_deref(),
    };
    let pinned = async {
        let files = fleet.read_set()?;
        let target = plan::resolve_target(&files, Some(arguments.to))?;
        let found = fleet.tenants(&selection).await?;
        let tenants = ids(&found);
        let plan = fleet.plan(&files, target, found).await?;
        let versions = plan.tenants.into_iter();
        let versions = versions.filter_map(|plan| Some((plan.tenant.id, plan.from?)));
        set(&fleet, &asked, tenants, versions.collect(), output).await
    }
    .await;
    fleet.close().await?;
    pinned
}

fn ids(found: &Found) -> Vec<TenantId> {
    let selected = found.selected.iter();
    selected.map(|tenant| tenant.id.clone()).collect()
}

/// Records it and says what it means.
async fn set(
    fleet: &Fleet,
    asked: &Asked<'_>,
    tenants: Vec<TenantId>,
    versions: HashMap<TenantId, Version>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let mut control = fleet.control().await?;
    let now = control.now().await?;
    let until = asked.until.map(|until| until.from(now)).transpose()?;
    control.ensure().await?;
    let new = NewHold {
        tenants,
        kind: asked.kind,
        reason: asked.reason.map(str::to_owned),
        until,
        by: started_by(),
    };
    let set = control.hold_tenants(&new).await?;
    tell_of_a_run(&control, output).await?;
    let news: Vec<HoldNews> = set
        .into_iter()
        .map(|set| HoldNews {
            version: versions.get(&set.hold.tenant).copied(),
            set,
        })
        .collect();
    output.result(
        |out, style, _| report::holds_set(out, &news, style),
        &report::holds_set_document(&news),
    )?;
    Ok(ExitCode::Done)
}

/// Whoever holds a tenant in the middle of a run may think that the run leaves it alone.
async fn tell_of_a_run(control: &Control, output: &Output) -> anyhow::Result<()> {
    let newest = control.runs(1).await?;
    if let Some(run) = newest.iter().find(|run| run.state == RunState::Running) {
        output.notice(&format!(
            "run {} is at work and goes on as it was planned: this counts from the next plan on",
            run.id
        ));
    }
    Ok(())
}

/// Ends holds and pins.
pub(super) async fn release(
    global: &Global,
    arguments: &ReleaseArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let selection = arguments.tenants.selection("release")?;
    // a tenant that is gone, or whose server is down, may be released; who has a label only its server knows
    let needed = if selection.labels.is_empty() {
        Needed::Control
    } else {
        Needed::Tenants(&selection)
    };
    let fleet = Fleet::open(global, needed, output).await?;
    let released = end(&fleet, &selection, output).await;
    fleet.close().await?;
    released
}

async fn end(fleet: &Fleet, selection: &Selection, output: &Output) -> anyhow::Result<ExitCode> {
    let mut control = fleet.control().await?;
    let state = control.state().await?;
    let in_force = control.holds(state).await?;
    let tenants: Vec<TenantId> = if selection.labels.is_empty() {
        held_ones(&in_force, &selection.filter())?
    } else {
        ids(&fleet.tenants(selection).await?)
    };
    let chosen: Vec<&TenantId> = tenants
        .iter()
        .filter(|tenant| in_force.iter().any(|hold| hold.tenant == **tenant))
        .collect();
    if chosen.is_empty() {
        return Err(nothing_held(selection.typed()).into());
    }
    control.ensure().await?;
    let released = control.release_tenants(&chosen, &started_by()).await?;
    // somebody else was faster
    if released.is_empty() {
        return Err(nothing_held(selection.typed()).into());
    }
    output.result(
        |out, _, _| report::holds_released(out, &released),
        &report::holds_released_document(&released),
    )?;
    Ok(ExitCode::Done)
}

fn nothing_held(selection: Option<String>) -> Refusal {
    Refusal::NothingHeld {
        selection: selection.unwrap_or_default(),
    }
}

/// Held tenants that are meant. A pattern that means none of them is a typo, also beside others.
fn held_ones(in_force: &[Hold], filter: &TenantFilter) -> Result<Vec<TenantId>, Refusal> {
    for pattern in &filter.tenants {
        if !in_force.iter().any(|hold| pattern.matches(&hold.tenant)) {
            return Err(nothing_held(Some(format!("--tenant {}", pattern.as_str()))));
        }
    }
    for id in &filter.exactly {
        if !in_force.iter().any(|hold| hold.tenant == *id) {
            return Err(nothing_held(Some(format!("--only {}", id.to_word()))));
        }
    }
    let is_meant = |id: &TenantId| {
        filter.matches(&Tenant {
            id: id.clone(),
            labels: Labels::new().into(),
            presence: Presence::Present,
        })
    };
    let held = in_force.iter().map(|hold| &hold.tenant);
    Ok(held.filter(|id| is_meant(id)).cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn until_is_a_time_a_date_or_a_duration() {
        let at = |text: &str| Ok(Until::At(text.parse().unwrap()));
        assert_eq!(
            parse_until("2026-12-01T06:00:00+01:00"),
            at("2026-12-01T05:00:00Z")
        );
        assert_eq!(parse_until("2026-12-01"), at("2026-12-01T00:00:00Z"));
        assert_eq!(parse_until("3d"), Ok(Until::For(Duration::from_hours(72))));
        for text in [
            "",
            "soon",
            "2026-12-01T06:00",
            "3",
            "0s",
            "2026-13-01",
            "-3d",
            "9999-01-01",
        ] {
            assert!(parse_until(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_past_or_beyond_all_time_is_refused() {
        let now: Timestamp = "2026-11-26T12:00:00.5Z".parse().unwrap();
        let hour = Until::For(Duration::from_hours(1));
        assert_eq!(hour.from(now).unwrap().to_string(), "2026-11-26T13:00:00Z");
        let past = Until::At("2026-11-26T12:00:00Z".parse().unwrap());
        assert!(matches!(past.from(now), Err(Refusal::UntilIsPast { .. })));
        let ages = Until::For(Duration::from_hours(1_000_000_000));
        assert!(matches!(ages.from(now), Err(Refusal::UntilTooFar)));
    }

    #[test]
    fn a_reason_says_something() {
        assert_eq!(parse_reason(" big import "), Ok("big import".to_owned()));
        assert!(parse_reason("  ").is_err());
        assert!(parse_reason("a\0b").is_err());
    }
}
