//! What is said while a run goes on, one line a notice: beside bars and in logs alike.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use std::collections::HashMap;

use super::Verbosity;
use super::acts;
use super::eta::{self, Eta};
use super::style::{Style, Tone};
use super::throttling;
use super::waves;
use super::wording::{cause, clean, count, count_u64, duration, message, verb, version};
use crate::rollout::{Pace, RolloutEvent};
use crate::run::{
    Act, AttemptNumber, CancelReason, Halt, Outcome, PaceChange, Progress, StopSignal, TenantResult,
};
use crate::tenant::{DatabaseName, TenantId};

/// How many failures, and how many retries, get a line of their own: with 2,000 of one cause the
/// first ones and the summary say all there is.
const LISTED: u32 = 100;

/// Chooses what is said and how.
pub(super) struct Notices {
    style: Style,
    verbosity: Verbosity,
    failures: u32,
    retries: u32,
    known: u32,
    /// Databases that are throttled, and whether it was said that they are paused.
    throttled: HashMap<DatabaseName, bool>,
    /// What the run is where it is none that migrates.
    pub(super) act: Option<Act>,
}

impl Notices {
    pub(super) fn new(style: Style, verbosity: Verbosity) -> Self {
        Self {
            style,
            verbosity,
            failures: 0,
            retries: 0,
            known: 0,
            throttled: HashMap::new(),
            act: None,
        }
    }

    /// The line for an event, None where it is not worth one.
    pub(super) fn line(&mut self, event: &RolloutEvent) -> Option<String> {
        match event {
            RolloutEvent::RunStarted { to_migrate, .. } if *to_migrate > 0 => {
                opening(event, self.act)
            }
            RolloutEvent::AttemptFailedWillRetry { .. } => self.retried(event),
            RolloutEvent::TenantFinished { result, .. }
            | RolloutEvent::TenantDiffers { result, .. } => self.finished(result),
            RolloutEvent::DifferenceKnown { .. } | RolloutEvent::ShapesCompared { .. } => {
                self.shapes(event)
            }
            RolloutEvent::CancelBegun {
                reason,
                signal,
                halt,
                in_flight,
            } => {
                let halt = halt.as_ref();
                let text = stopping(*reason, *signal, halt, *in_flight);
                Some(self.style.paint(Tone::Warning, &text))
            }
            RolloutEvent::WaveStarted { .. }
            | RolloutEvent::WaveSoaking { .. }
            | RolloutEvent::WaveChecking { .. }
            | RolloutEvent::ApprovalAwaited { .. }
            | RolloutEvent::WaveFinished { .. } => waves::notice(event, self.style),
            RolloutEvent::DeadlineNear {
                left,
                tenants,
                in_flight,
            } => {
                let text = nothing_more(*left, *tenants, *in_flight);
                Some(self.style.paint(Tone::Warning, &text))
            }
            RolloutEvent::TenantProgress { tenant, progress } => self.progress(tenant, progress),
            RolloutEvent::DatabaseLost { .. }
            | RolloutEvent::DatabaseGivenUp { .. }
            | RolloutEvent::ConnectionsShort { .. }
            | RolloutEvent::DatabaseBack { .. } => {
                let (tone, text) = of_database(event)?;
                Some(self.style.paint(tone, &text))
            }
            RolloutEvent::PaceChanged { database, change } => self.pace(database, *change),
            RolloutEvent::MeasureUnseen { database, measure } => {
                let text = format!("- {}", throttling::unseen(database, *measure));
                Some(self.style.paint(Tone::Secondary, &text))
            }
            RolloutEvent::RunStarted { .. }
            | RolloutEvent::AttemptStarted { .. }
            | RolloutEvent::TenantPutOff { .. }
            | RolloutEvent::RunFinished { .. } => None,
        }
    }

    fn retried(&mut self, event: &RolloutEvent) -> Option<String> {
        let RolloutEvent::AttemptFailedWillRetry {
            tenant,
            attempt,
            failure,
            retry_in,
        } = event
        else {
            return None;
        };
        self.retries += 1;
        let text = format!(
            "↻ {tenant}: attempt {attempt} failed{}; again in {}",
            cause(failure),
            duration(*retry_in)
        );
        self.listed(self.retries, Tone::Warning, &text, "retries")
    }

    /// Whether tenants are alike.
    fn shapes(&mut self, event: &RolloutEvent) -> Option<String> {
        match event {
            RolloutEvent::DifferenceKnown { tenant, note } => {
                self.known += 1;
                let text = format!("! {tenant}: {}", clean(note));
                self.listed(self.known, Tone::Warning, &text, "known differences")
            }
            RolloutEvent::ShapesCompared { wave, tenants }
                if self.verbosity == Verbosity::Verbose =>
            {
                let of = wave.as_ref().map(|wave| clean(&wave.name));
                let of = of.map_or_else(String::new, |name| format!(" of wave {name}"));
                let tenants = count(*tenants, "tenant");
                let text = format!("- comparing the shapes of {tenants}{of}");
                Some(self.style.paint(Tone::Secondary, &text))
            }
            _ => None,
        }
    }

    /// That a database is throttled, that it is paused, and that neither is the case any more; each change
    /// is for the bar.
    fn pace(&mut self, database: &DatabaseName, change: PaceChange) -> Option<String> {
        let text = throttling::changed(database, change);
        match change {
            PaceChange::Throttled { tenants, .. } => {
                let is_paused = tenants == 0;
                let said = self.throttled.get(database);
                if said.is_some_and(|paused_was_said| *paused_was_said || !is_paused) {
                    return None;
                }
                self.throttled.insert(database.clone(), is_paused);
                Some(self.style.paint(Tone::Warning, &format!("! {text}")))
            }
            PaceChange::Released { .. } => {
                self.throttled.remove(database);
                Some(self.style.paint(Tone::Success, &format!("✓ {text}")))
            }
            PaceChange::Found { .. } => {
                (self.verbosity == Verbosity::Verbose).then(|| format!("- {text}"))
            }
        }
    }

    fn progress(&self, tenant: &TenantId, progress: &Progress) -> Option<String> {
        match progress {
            Progress::Settled(note) => Some(format!("- {tenant}: {}", clean(note))),
            Progress::Waiting(holder) => Some(format!("- {tenant} waits for {}", clean(holder))),
            Progress::Step { step, of } if self.verbosity == Verbosity::Verbose => {
                Some(format!("- {tenant}: statement {step} of {of}"))
            }
            Progress::Migration(_) | Progress::Step { .. } | Progress::IndexBuild { .. } => None,
        }
    }

    fn finished(&mut self, result: &TenantResult) -> Option<String> {
        let tenant = &result.tenant;
        let verbose = self.verbosity == Verbosity::Verbose;
        match result.outcome {
            Outcome::Failed => {
                self.failures += 1;
                let why = result
                    .failure
                    .as_ref()
                    .map_or_else(|| reason(result), cause);
                let text = format!("✗ {tenant} failed{why}{}", tries(result.attempts));
                self.listed(self.failures, Tone::Failure, &text, "failures")
            }
            Outcome::Interrupted => {
                let text = format!("! {tenant} interrupted{}", reason(result));
                Some(self.style.paint(Tone::Warning, &text))
            }
            Outcome::Succeeded if verbose => Some(format!(
                "{} {tenant} {} → {} in {}{}",
                self.style.paint(Tone::Success, "✓"),
                version(result.from),
                version(result.to),
                duration(result.duration),
                tries(result.attempts)
            )),
            Outcome::Skipped if verbose => Some(format!("- {tenant} skipped{}", reason(result))),
            Outcome::UpToDate if verbose => {
                Some(format!("- {tenant} is at {} already", version(result.to)))
            }
            Outcome::Succeeded | Outcome::Skipped | Outcome::UpToDate => None,
        }
    }

    fn listed(&self, number: u32, tone: Tone, text: &str, what: &str) -> Option<String> {
        if number <= LISTED || self.verbosity == Verbosity::Verbose {
            return Some(self.style.paint(tone, text));
        }
        (number == LISTED + 1)
            .then(|| format!("… further {what} are only counted here; the end has them by cause"))
    }
}

/// What is said about a whole database.
fn of_database(event: &RolloutEvent) -> Option<(Tone, String)> {
    Some(match event {
        RolloutEvent::DatabaseLost {
            database,
            failure,
            patience,
        } => (
            Tone::Warning,
            format!(
                "! database {database} does not answer: {}; its tenants wait, it is asked again for {}",
                message(failure),
                duration(*patience)
            ),
        ),
        RolloutEvent::DatabaseBack { database, after } => (
            Tone::Success,
            format!(
                "✓ database {database} answers again after {}",
                duration(*after)
            ),
        ),
        RolloutEvent::DatabaseGivenUp {
            database,
            failure,
            tenants,
        } => (
            Tone::Failure,
            format!(
                "✗ database {database} is given up: {}; {} left",
                message(failure),
                count(*tenants, "tenant")
            ),
        ),
        RolloutEvent::ConnectionsShort { database, limit } => (
            Tone::Warning,
            format!(
                "! database {database} has no more connections to give: {} at a time for now",
                count(*limit, "tenant")
            ),
        ),
        _ => return None,
    })
}

/// `: canceled on request`.
fn reason(result: &TenantResult) -> String {
    result
        .reason
        .as_deref()
        .map_or_else(String::new, |reason| format!(": {}", clean(reason)))
}

/// ` (3 attempts)`, where there was more than one.
fn tries(attempts: AttemptNumber) -> String {
    if attempts > 1 {
        format!(" ({attempts} attempts)")
    } else {
        String::new()
    }
}

/// `Migrating 197 of 200 tenants to V12, 8 at a time, ETA 3 min (run 2026…)`.
fn opening(event: &RolloutEvent, act: Option<Act>) -> Option<String> {
    let RolloutEvent::RunStarted {
        run,
        resumes,
        target,
        to_migrate,
        concurrency,
        pace,
        totals,
        outlook,
        deadline,
    } = event
    else {
        return None;
    };
    let up_to = match pace {
        Pace::Fixed => "",
        Pace::Auto => "up to ",
    };
    let tenants = count_u64(totals.tenants, "tenant");
    let what = match act {
        Some(act) => acts::beginning(act, *to_migrate, &tenants, *target),
        None => format!(
            "Migrating {to_migrate} of {tenants} to {}",
            version(*target)
        ),
    };
    let mut text = format!("{what}, {up_to}{concurrency} at a time");
    if let Some(eta) = Eta::new(*outlook).remaining(Instant::now()) {
        let _ = write!(text, ", {}", eta::words(eta));
    }
    if let Some(left) = deadline {
        let _ = write!(text, ", {}", eta::deadline_words(*left));
    }
    let _ = write!(text, " (run {run}");
    if let Some(resumes) = resumes {
        let _ = write!(text, ", resumes {resumes}");
    }
    text.push(')');
    Some(text)
}

/// `! deadline in 40 s: 7 tenants would not be done by then and are not started, 3 in flight finish`.
fn nothing_more(left: Duration, tenants: usize, in_flight: usize) -> String {
    let mut text = format!(
        "! {}: {}",
        eta::deadline_words(left),
        count(tenants, "tenant")
    );
    if !left.is_zero() {
        text.push_str(" would not be done by then and");
    }
    text.push_str(verb(tenants, " is not started", " are not started"));
    if in_flight > 0 {
        let _ = write!(
            text,
            ", {in_flight} in flight {}",
            verb(in_flight, "finishes", "finish")
        );
    }
    text
}

fn stopping(
    reason: CancelReason,
    signal: Option<StopSignal>,
    halt: Option<&Halt>,
    in_flight: usize,
) -> String {
    if let Some(halt) = halt {
        let halted = waves::halted(halt);
        return match in_flight {
            0 => format!("! {halted}"),
            _ => format!(
                "! {halted}; no new tenant is started, {in_flight} in flight {}",
                verb(in_flight, "finishes", "finish")
            ),
        };
    }
    let tenants = count(in_flight, "tenant");
    match (reason, signal) {
        (CancelReason::Drain, Some(StopSignal::Interrupt)) => {
            format!("draining: {tenants} in flight; press Ctrl-C again to cancel their statements")
        }
        (CancelReason::Drain, Some(StopSignal::Terminate)) => format!(
            "SIGTERM, draining: {tenants} in flight; a second signal cancels their statements"
        ),
        (CancelReason::Drain, None) => {
            format!("stopping: no new tenant is started, {tenants} in flight finish")
        }
        (CancelReason::Abort, _) => {
            format!("stopping: cancelling the statements of {tenants}")
        }
    }
}
