//! What is known of a run that is watched, and how it looks beside a bar.

use std::time::{Duration, Instant};

use crate::ledger::{News, RunRecord, WaveRecord};
use crate::report::eta;
use crate::report::pace::rate_in_words;
use crate::report::style::{Style, Tone};
use crate::report::throttling::AtATime;
use crate::report::waves;
use crate::report::wording::{count, duration};
use crate::rollout::RolloutEvent;
use crate::run::{AttemptNumber, RunId, Totals, WaveState};
use crate::tenant::TenantId;

/// Tenants with a line of their own at most.
const LINES: usize = 16;
/// Lines of the terminal that are left for what was said before.
const SPARE_ROWS: usize = 4;
/// A rate over less time than this is noise.
const MEANINGFUL: Duration = Duration::from_millis(500);

/// Where a run is.
pub(super) struct Scene {
    style: Style,
    totals: Totals,
    /// How long the run takes already, as of an instant.
    age: Option<(Duration, Instant)>,
    at_work: Vec<AtWork>,
    at_a_time: AtATime,
    waves: Vec<WaveRecord>,
    /// Where the wave is that is not passed, in a few words.
    wave: Option<String>,
}

/// A tenant that is worked on.
struct AtWork {
    tenant: TenantId,
    attempt: AttemptNumber,
    /// When it was seen first: the ledger does not say when it was begun.
    since: Instant,
}

impl Scene {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            totals: Totals::default(),
            age: None,
            at_work: Vec::new(),
            at_a_time: AtATime::default(),
            waves: Vec::new(),
            wave: None,
        }
    }

    /// The waves that were somewhere else when they were seen last.
    pub(super) fn changed_waves(&self, waves: &[WaveRecord]) -> Vec<WaveRecord> {
        let is_known = |wave: &WaveRecord| {
            let mut known = self.waves.iter();
            known.any(|known| known.wave == wave.wave && known.state == wave.state)
        };
        let changed = waves.iter().filter(|wave| !is_known(wave));
        changed.cloned().collect()
    }

    /// Takes the run's totals in.
    pub(super) fn see(&mut self, run: &RunRecord, now: Instant) {
        self.totals = run.totals;
        let age = Duration::try_from_secs_f64(run.duration_s).unwrap_or_default();
        self.age = Some((age, now));
    }

    /// Takes in what has happened.
    pub(super) fn hear(&mut self, news: &News, run: &RunId, now: Instant) {
        self.waves.clone_from(&news.waves);
        let current = news.waves.iter().rev();
        let current = current.filter(|wave| wave.state != WaveState::Passed);
        let mut words = current.filter_map(|wave| waves::now(wave, run, self.style));
        self.wave = words.next().map(|(_, _, brief)| brief);
        let mut at_work = Vec::with_capacity(news.at_work.len());
        for (tenant, attempt) in &news.at_work {
            let known = self.find(tenant, *attempt);
            at_work.push(AtWork {
                tenant: tenant.clone(),
                attempt: *attempt,
                since: known.map_or(now, |known| known.since),
            });
        }
        self.at_work = at_work;
        for event in &news.events {
            self.at_a_time.apply(&RolloutEvent::PaceChanged {
                database: event.database.clone(),
                change: event.change,
            });
        }
    }

    fn find(&self, tenant: &TenantId, attempt: AttemptNumber) -> Option<&AtWork> {
        let mut at_work = self.at_work.iter();
        at_work.find(|known| known.tenant == *tenant && known.attempt == attempt)
    }

    /// Whether this attempt was seen before.
    pub(super) fn knows(&self, tenant: &TenantId, attempt: AttemptNumber) -> bool {
        self.find(tenant, attempt).is_some()
    }

    /// Done and to do. Tenants that were at the target before do not count.
    pub(super) fn position(&self) -> (u64, u64) {
        let before = self.totals.up_to_date;
        (
            // who was skipped is not done
            self.totals.succeeded + self.totals.failed,
            self.totals.tenants.saturating_sub(before),
        )
    }

    /// `, 3 failed, 41 tenants/s, ETA 2 s`.
    pub(super) fn words(&self, now: Instant) -> String {
        let failed = self.totals.failed;
        let failed = (failed > 0).then(|| format!("{failed} failed"));
        let parts = [
            failed,
            self.wave.clone(),
            self.throttled(),
            self.forecast(now),
        ];
        let mut words = String::new();
        for part in parts.into_iter().flatten() {
            words.push_str(", ");
            words.push_str(&part);
        }
        words
    }

    fn throttled(&self) -> Option<String> {
        self.at_a_time
            .throttled()
            .or_else(|| self.at_a_time.found())
    }

    fn forecast(&self, now: Instant) -> Option<String> {
        let (age, seen_at) = self.age?;
        let age = age + now.saturating_duration_since(seen_at);
        let (done, to_do) = self.position();
        if done == 0 || age < MEANINGFUL || self.at_a_time.is_paused() {
            return None;
        }
        let number = |n: u64| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        let per_second = number(done) / age.as_secs_f64();
        let left = number(to_do.saturating_sub(done)) / per_second;
        let left = Duration::try_from_secs_f64(left).ok()?;
        Some(format!(
            "{}, {}",
            rate_in_words(per_second),
            eta::words(left)
        ))
    }

    /// Everything behind the bar, whose columns are `taken` on the first line.
    pub(super) fn text(&self, now: Instant, rows: u16, columns: u16, taken: usize) -> String {
        let columns = usize::from(columns);
        let fit = |line: &str, width: usize| {
            console::truncate_str(line, width.saturating_sub(1), "…").into_owned()
        };
        let mut text = fit(&self.overall(now), columns.saturating_sub(taken));
        let room = usize::from(rows).saturating_sub(SPARE_ROWS).clamp(1, LINES);
        for at_work in self.at_work.iter().take(room) {
            text.push('\n');
            text.push_str(&fit(&self.line(at_work, now), columns));
        }
        let hidden = self.at_work.len().saturating_sub(room);
        if hidden > 0 {
            let more = format!("  … and {}", count(hidden, "more tenant"));
            text.push('\n');
            text.push_str(&fit(&self.style.paint(Tone::Secondary, &more), columns));
        }
        text
    }

    /// ` 120/197 60 %  3 failed  41 tenants/s, ETA 2 s`.
    fn overall(&self, now: Instant) -> String {
        let (done, to_do) = self.position();
        let mut text = format!(" {done}/{to_do} {} %", done * 100 / to_do.max(1));
        let failed = self.totals.failed;
        if failed > 0 {
            let failed = self.style.paint(Tone::Failure, &format!("{failed} failed"));
            text = format!("{text}  {failed}");
        }
        let more = [self.wave.clone(), self.throttled(), self.forecast(now)];
        for more in more.into_iter().flatten() {
            text = format!("{text}  {more}");
        }
        text
    }

    fn line(&self, at_work: &AtWork, now: Instant) -> String {
        let elapsed = duration(now.saturating_duration_since(at_work.since));
        let elapsed = self.style.paint(Tone::Secondary, &elapsed);
        let mut text = format!("  {}  {elapsed}", at_work.tenant);
        if at_work.attempt > 1 {
            let attempt = format!("attempt {}", at_work.attempt);
            text = format!("{text}  {}", self.style.paint(Tone::Warning, &attempt));
        }
        text
    }
}
