//! A rehearsal while it goes on: a bar or lines on stderr, events on stdout.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::document::{RehearsedRow, write_document};
use super::sink::Sink;
use super::style::{Screen, Style, Tone};
use super::wording::{cause, count};
use super::{Format, Verbosity};
use crate::run::{RehearsalOutcome, TenantRehearsal};

/// How many tenants that would fail get a line of their own; the summary has them all.
const LISTED: usize = 20;
/// A line at the latest after that share of the tenants, where there are more than a few.
const STEP_PERCENT: usize = 10;
const A_FEW: usize = 20;

/// Tells of each tenant as it is known.
pub struct RehearsalProgress {
    stderr: Option<Sink>,
    stdout: Option<Sink>,
    bar: Option<ProgressBar>,
    style: Style,
    tenants: usize,
    done: usize,
    would_fail: usize,
    next_percent: usize,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    RehearsalStarted {
        tenants: usize,
        concurrency: usize,
    },
    TenantRehearsed {
        #[serde(flatten)]
        tenant: RehearsedRow<'a>,
    },
}

impl RehearsalProgress {
    /// So many tenants are rehearsed, so many at a time.
    pub fn begin(
        (format, screen, verbosity): (Format, Screen, Verbosity),
        tenants: usize,
        at_a_time: usize,
    ) -> Self {
        let is_heard = verbosity != Verbosity::Quiet && tenants > 0;
        let moves = is_heard && screen.live && format != Format::Ndjson;
        let mut progress = Self {
            stderr: is_heard.then(Sink::stderr),
            stdout: (format == Format::Ndjson).then(Sink::stdout),
            bar: moves.then(|| bar(tenants)),
            style: screen.stderr,
            tenants,
            done: 0,
            would_fail: 0,
            next_percent: STEP_PERCENT,
        };
        if let Some(stdout) = &mut progress.stdout {
            let line = Line::RehearsalStarted {
                tenants,
                concurrency: at_a_time,
            };
            stdout.put(|out| write_document(out, &line));
        }
        let text = format!(
            "rehearsing {}, {at_a_time} at a time: what is done is rolled back",
            count(tenants, "tenant")
        );
        progress.line(Tone::Secondary, &text);
        progress
    }

    /// One more is known.
    pub fn tell(&mut self, tenant: &TenantRehearsal) {
        if let Some(stdout) = &mut self.stdout {
            let line = Line::TenantRehearsed {
                tenant: RehearsedRow::of(tenant),
            };
            stdout.put(|out| write_document(out, &line));
        }
        if matches!(
            tenant.outcome,
            RehearsalOutcome::UpToDate | RehearsalOutcome::Held | RehearsalOutcome::Refused
        ) {
            return;
        }
        self.done += 1;
        if tenant.outcome == RehearsalOutcome::WouldFail {
            self.would_fail += 1;
            if let Some(failure) = &tenant.failure
                && self.would_fail <= LISTED
            {
                let text = format!("✗ {} would fail{}", tenant.tenant, cause(failure));
                self.line(Tone::Failure, &text);
            }
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
            return;
        }
        let percent = self.done * 100 / self.tenants.max(1);
        if self.tenants > A_FEW && percent >= self.next_percent && percent < 100 {
            self.next_percent = (percent / STEP_PERCENT + 1) * STEP_PERCENT;
            let text = format!("rehearsed {} of {}", self.done, self.tenants);
            self.line(Tone::Secondary, &text);
        }
    }

    /// Nothing moves any more.
    pub fn end(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&mut self, tone: Tone, text: &str) {
        let text = self.style.paint(tone, text);
        match (&self.bar, &mut self.stderr) {
            (Some(bar), _) => bar.println(text),
            (None, Some(stderr)) => stderr.line(&text),
            (None, None) => {}
        }
    }
}

fn bar(tenants: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} rehearsed, {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(tenants as u64), ProgressDrawTarget::stderr())
        .with_style(style.progress_chars("█▌░"))
}
