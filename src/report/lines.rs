//! Plain lines for logs: what is out of the ordinary at once, and now and then where the run is.

use std::time::{Duration, Instant};

use super::notices::Notices;
use super::pace::Pace;
use super::sink::Sink;
use super::style::{Style, Tone};
use super::wording::clean;
use super::{Reporter, Verbosity};
use crate::rollout::RolloutEvent;
use crate::run::{Act, Progress};
use crate::tenant::TenantId;

/// A line at the latest after this time, if an event comes by.
const INTERVAL: Duration = Duration::from_secs(10);
/// A line at the latest after that share of the tenants.
const STEP_PERCENT: u64 = 10;

/// Lines on stderr.
pub(super) struct Lines {
    sink: Sink,
    style: Style,
    notices: Notices,
    progress: Option<Milestones>,
    waiting_said_at: Option<Instant>,
}

/// When the next progress line is due.
struct Milestones {
    pace: Pace,
    said_at: Instant,
    next_percent: u64,
}

impl Lines {
    pub(super) fn new(sink: Sink, style: Style, verbosity: Verbosity) -> Self {
        Self {
            sink,
            style,
            notices: Notices::new(style, verbosity),
            progress: None,
            waiting_said_at: None,
        }
    }

    /// The same for an act.
    pub(super) fn about(mut self, act: Option<Act>) -> Self {
        self.notices.act = act;
        self
    }

    /// For whom a build of an index waits, now and then: a log shows nothing else of it.
    fn waiting(&mut self, tenant: &TenantId, progress: &Progress, now: Instant) -> Option<String> {
        let Progress::IndexBuild {
            phase,
            waits_for: Some(blocker),
            ..
        } = progress
        else {
            return None;
        };
        let said = self.waiting_said_at;
        if said.is_some_and(|at| now.duration_since(at) < INTERVAL) {
            return None;
        }
        self.waiting_said_at = Some(now);
        Some(format!(
            "- {tenant}: {}, waits for {}",
            clean(phase),
            clean(blocker)
        ))
    }

    /// Reports an event as of `now`, which tests choose.
    pub(super) fn report_at(&mut self, event: &RolloutEvent, now: Instant) {
        if let RolloutEvent::TenantProgress { tenant, progress } = event
            && let Some(line) = self.waiting(tenant, progress, now)
        {
            self.sink.line(&line);
        }
        if let Some(line) = self.notices.line(event) {
            self.sink.line(&line);
        }
        if let Some(pace) = Pace::begin(event, now) {
            self.progress = Some(Milestones {
                pace,
                said_at: now,
                next_percent: STEP_PERCENT,
            });
        }
        if let Some(progress) = &mut self.progress
            && let Some(line) = progress.line(event, now)
        {
            self.sink.line(&self.style.paint(Tone::Secondary, &line));
        }
        if matches!(event, RolloutEvent::RunFinished { .. }) {
            self.progress = None;
        }
    }
}

impl Milestones {
    fn line(&mut self, event: &RolloutEvent, now: Instant) -> Option<String> {
        self.pace.apply(event, now);
        let percent = self.pace.percent();
        // the end has its summary
        let due = percent >= self.next_percent || now.duration_since(self.said_at) >= INTERVAL;
        if !due || percent >= 100 {
            return None;
        }
        self.said_at = now;
        self.next_percent = (percent / STEP_PERCENT + 1) * STEP_PERCENT;
        Some(self.pace.words(now))
    }
}

impl Reporter for Lines {
    fn report(&mut self, event: &RolloutEvent) {
        self.report_at(event, Instant::now());
    }
}
