//! What the bars show: the whole run on one line, then a line for each busy worker. Events change
//! the board, which is cheap; drawing looks at it a few times a second.

use std::sync::Arc;
use std::time::Instant;

use super::pace::Pace;
use super::style::{Style, Tone};
use super::wording::{clean, count, duration};
use crate::rollout::RolloutEvent;
use crate::run::{AttemptNumber, Progress};
use crate::tenant::TenantId;

/// Workers with a line of their own at most.
const WORKERS: usize = 16;
/// Lines of the terminal that are left for what was said before.
const SPARE_ROWS: usize = 4;

/// Where a run is and who is busy.
pub(super) struct Board {
    style: Style,
    pace: Option<Pace>,
    /// Which wave goes, and what is waited for between two.
    wave: Option<String>,
    /// A worker keeps its line until it is done, so that lines do not jump.
    workers: Vec<Option<Busy>>,
}

/// One tenant in work.
struct Busy {
    tenant: TenantId,
    attempt: AttemptNumber,
    migration: Option<Arc<str>>,
    /// What it does beyond that: a step, an index that is being built, somebody it waits for.
    activity: Option<String>,
    since: Instant,
}

impl Busy {
    fn hear(&mut self, progress: &Progress) {
        match progress {
            Progress::Migration(stem) => {
                self.migration = Some(Arc::clone(stem));
                self.activity = None;
            }
            Progress::Step { step, of } => self.activity = Some(format!("statement {step}/{of}")),
            Progress::IndexBuild {
                phase,
                percent,
                waits_for,
            } => self.activity = Some(index_build(phase, *percent, waits_for.as_deref())),
            Progress::Waiting(holder) => {
                self.activity = Some(format!("waits for {}", clean(holder)));
            }
            Progress::Settled(_) => {}
        }
    }
}

/// `building index: scanning table 40 %, waits for pid 4711 (…)`.
fn index_build(phase: &str, percent: Option<u8>, waits_for: Option<&str>) -> String {
    let mut text = clean(phase);
    if let Some(percent) = percent {
        text = format!("{text} {percent} %");
    }
    if let Some(blocker) = waits_for {
        text = format!("{text}, waits for {}", clean(blocker));
    }
    text
}

impl Board {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            pace: None,
            wave: None,
            workers: Vec::new(),
        }
    }

    /// Takes an event in.
    pub(super) fn apply(&mut self, event: &RolloutEvent, now: Instant) {
        match event {
            RolloutEvent::RunStarted { .. } => self.pace = Pace::begin(event, now),
            RolloutEvent::AttemptStarted {
                tenant, attempt, ..
            } => self.start(Busy {
                tenant: tenant.clone(),
                attempt: *attempt,
                migration: None,
                activity: None,
                since: now,
            }),
            RolloutEvent::TenantProgress { tenant, progress } => {
                let busy = self.workers.iter_mut().flatten();
                if let Some(busy) = busy.into_iter().find(|busy| busy.tenant == *tenant) {
                    busy.hear(progress);
                }
            }
            RolloutEvent::AttemptFailedWillRetry { tenant, .. }
            | RolloutEvent::TenantPutOff { tenant } => self.end(tenant),
            RolloutEvent::TenantFinished { result, .. } => self.end(&result.tenant),
            RolloutEvent::WaveStarted { wave } => self.wave = Some(clean(&wave.name)),
            RolloutEvent::ShapesCompared {
                wave: Some(wave), ..
            } => {
                self.between(&wave.name, "is compared");
            }
            RolloutEvent::WaveSoaking { wave, .. } => self.between(&wave.name, "soaks"),
            RolloutEvent::WaveChecking { wave } => self.between(&wave.name, "is checked"),
            RolloutEvent::ApprovalAwaited { wave, .. } => {
                self.between(&wave.name, "awaits approval");
            }
            RolloutEvent::WaveFinished { .. } => self.wave = None,
            RolloutEvent::ShapesCompared { wave: None, .. }
            | RolloutEvent::TenantDiffers { .. }
            | RolloutEvent::DifferenceKnown { .. }
            | RolloutEvent::CancelBegun { .. }
            | RolloutEvent::DeadlineNear { .. }
            | RolloutEvent::DatabaseLost { .. }
            | RolloutEvent::DatabaseBack { .. }
            | RolloutEvent::DatabaseGivenUp { .. }
            | RolloutEvent::ConnectionsShort { .. }
            | RolloutEvent::PaceChanged { .. }
            | RolloutEvent::MeasureUnseen { .. } => {}
            RolloutEvent::RunFinished { .. } => self.workers.clear(),
        }
        if let Some(pace) = &mut self.pace {
            pace.apply(event, now);
        }
    }

    fn between(&mut self, wave: &str, what: &str) {
        self.wave = Some(format!("{} {what}", clean(wave)));
    }

    fn start(&mut self, busy: Busy) {
        match self.workers.iter_mut().find(|worker| worker.is_none()) {
            Some(free) => *free = Some(busy),
            None => self.workers.push(Some(busy)),
        }
    }

    fn end(&mut self, tenant: &TenantId) {
        for worker in &mut self.workers {
            if worker.as_ref().is_some_and(|busy| busy.tenant == *tenant) {
                *worker = None;
            }
        }
    }

    /// Done and to do, for the bar. None while there is no run with something to do.
    pub(super) fn position(&self) -> Option<(u64, u64)> {
        let pace = self.pace.as_ref()?;
        Some((pace.done(), pace.to_migrate))
    }

    /// Everything behind the bar, whose columns are `taken` on the first line.
    pub(super) fn text(&self, now: Instant, rows: u16, columns: u16, taken: usize) -> String {
        let columns = usize::from(columns);
        let fit = |line: &str, width: usize| {
            console::truncate_str(line, width.saturating_sub(1), "…").into_owned()
        };
        let mut text = fit(&self.overall(now), columns.saturating_sub(taken));
        let room = usize::from(rows)
            .saturating_sub(SPARE_ROWS)
            .clamp(1, WORKERS);
        let busy = self.workers.iter().flatten();
        for worker in busy.clone().take(room) {
            text.push('\n');
            text.push_str(&fit(&self.worker(worker, now), columns));
        }
        let hidden = busy.count().saturating_sub(room);
        if hidden > 0 {
            let more = format!("  … and {}", count(hidden, "more worker"));
            text.push('\n');
            text.push_str(&fit(&self.style.paint(Tone::Secondary, &more), columns));
        }
        text
    }

    /// ` 120/197 60 %  3 failed  41 tenants/s, ETA 2 s  deadline in 3 min`.
    fn overall(&self, now: Instant) -> String {
        let Some(pace) = &self.pace else {
            return String::new();
        };
        let mut text = format!(" {}/{} {} %", pace.done(), pace.to_migrate, pace.percent());
        if let Some(wave) = &self.wave {
            let wave = self.style.paint(Tone::Strong, wave);
            text = format!("{text}  {wave}");
        }
        let failed = pace.totals.failed;
        if failed > 0 {
            let failed = self.style.paint(Tone::Failure, &format!("{failed} failed"));
            text = format!("{text}  {failed}");
        }
        if pace.stopping {
            text = format!("{text}  {}", self.style.paint(Tone::Warning, "stopping"));
        }
        match pace.at_a_time.throttled() {
            Some(throttled) => {
                let throttled = self.style.paint(Tone::Warning, &throttled);
                text = format!("{text}  {throttled}");
            }
            None => {
                if let Some(found) = pace.at_a_time.found() {
                    text = format!("{text}  {found}");
                }
            }
        }
        for more in [pace.forecast(now), pace.deadline(now)]
            .into_iter()
            .flatten()
        {
            text = format!("{text}  {more}");
        }
        text
    }

    fn worker(&self, busy: &Busy, now: Instant) -> String {
        let elapsed = duration(now.duration_since(busy.since));
        let mut text = format!("  {}", busy.tenant);
        if let Some(migration) = &busy.migration {
            text = format!("{text}  {}", clean(migration));
        }
        if let Some(activity) = &busy.activity {
            text = format!("{text}  {activity}");
        }
        text = format!("{text}  {}", self.style.paint(Tone::Secondary, &elapsed));
        if busy.attempt > 1 {
            let attempt = format!("attempt {}", busy.attempt);
            text = format!("{text}  {}", self.style.paint(Tone::Warning, &attempt));
        }
        text
    }
}
