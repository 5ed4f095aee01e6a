//! Plain lines for logs: what is out of the ordinary at once, and now and then where the run is.

use std::time::{Duration, Instant};

use super::notices::Notices;
use super::pace::Pace;
use super::sink::Sink;
use super::style::{Style, Tone};
use super::{Reporter, Verbosity};
use crate::rollout::RolloutEvent;

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
        }
    }

    /// Reports an event as of `now`, which tests choose.
    pub(super) fn report_at(&mut self, event: &RolloutEvent, now: Instant) {
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
        self.pace.apply(event);
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
