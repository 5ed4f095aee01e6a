//! A run that another process executes, as the ledger tells it: a bar where one can move, else lines, on stderr;
//! with ndjson a line of JSON for each thing that happens, on stdout.

mod line;
mod scene;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::echo::MutedControlKeys;
use super::progress::{BAR, DRAW_EVERY, DRAWS_PER_SECOND, bar_style, stderr_size};
use super::sink::Sink;
use super::style::{Style, Tone};
use super::throttling;
use super::waves;
use super::wording::{cause, clean, count_u64, duration, version};
use super::{Format, Screen, Verbosity};
use crate::ledger::{EndedAttempt, Look, News, RunRecord};
use crate::run::{Outcome, PaceChange};
use scene::Scene;

/// How many failures get a line of their own: the end has them by cause.
const LISTED: u32 = 100;
/// A line of a log at the latest after this time, if something has changed.
const INTERVAL: Duration = Duration::from_secs(10);
/// And at the latest after that share of the tenants.
const STEP_PERCENT: u64 = 10;

/// Who tells what the looks have found.
pub struct Watching {
    style: Style,
    verbosity: Verbosity,
    scene: Arc<Mutex<Scene>>,
    bar: Option<Bar>,
    stderr: Sink,
    /// Events for scripts.
    stdout: Option<Sink>,
    failures: u32,
    milestone: Option<Milestone>,
}

/// A bar on the terminal; it is gone when this is.
struct Bar {
    bar: ProgressBar,
    _muted: Option<MutedControlKeys>,
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The last line of a log that said how far the run is.
struct Milestone {
    done: u64,
    percent: u64,
    at: Instant,
}

impl Watching {
    /// Chooses how, as a run does.
    pub fn new(format: Format, screen: Screen, verbosity: Verbosity) -> Self {
        let scene = Arc::new(Mutex::new(Scene::new(screen.stderr)));
        let is_live = screen.live && format != Format::Ndjson && verbosity != Verbosity::Quiet;
        Self {
            style: screen.stderr,
            verbosity,
            bar: is_live.then(|| open_bar(&scene, screen.stderr)),
            scene,
            stderr: Sink::stderr(),
            stdout: (format == Format::Ndjson).then(Sink::stdout),
            failures: 0,
            milestone: None,
        }
    }

    /// The run that is followed.
    pub fn begin(&mut self, run: &RunRecord) {
        if let Some(out) = &mut self.stdout {
            out.put(|out| line::begin(out, run));
        }
        let age = Duration::try_from_secs_f64(run.duration_s).unwrap_or_default();
        self.say(&format!(
            "Following run {}: {} by {}, for {}; Ctrl-C ends the watching, not the run",
            run.id,
            clean(&run.command),
            clean(&run.started_by),
            duration(age)
        ));
        lock(&self.scene).see(run, Instant::now());
    }

    /// Tells what a look has found.
    pub fn look(&mut self, look: &Look) {
        let now = Instant::now();
        lock(&self.scene).see(&look.run, now);
        if let Some(news) = &look.news {
            self.tell(news, &look.run);
            lock(&self.scene).hear(news, &look.run.id, now);
        }
        let (done, to_do) = lock(&self.scene).position();
        match &self.bar {
            Some(Bar { bar, .. }) => {
                bar.set_length(to_do);
                bar.set_position(done);
            }
            None => self.log(now),
        }
    }

    /// Something about the watching itself.
    pub fn notice(&mut self, text: &str) {
        let text = self.style.paint(Tone::Warning, &format!("! {text}"));
        self.say(&text);
    }

    /// Why events could not be delivered, as on a full disk.
    pub fn undelivered(&self) -> Option<String> {
        self.stdout.as_ref()?.undelivered()
    }

    fn tell(&mut self, news: &News, run: &RunRecord) {
        if let Some(out) = &mut self.stdout {
            let scene = lock(&self.scene);
            let started = news.at_work.iter().filter(|(id, n)| !scene.knows(id, *n));
            let started: Vec<_> = started.collect();
            drop(scene);
            out.put(|out| line::news(out, news, &started, run));
        }
        let changed = lock(&self.scene).changed_waves(&news.waves);
        for wave in &changed {
            if let Some((tone, text, _)) = waves::now(wave, &run.id, self.style) {
                let text = self.style.paint(tone, &text);
                self.say(&text);
            }
            if let Some(out) = &mut self.stdout {
                out.put(|out| line::wave(out, wave));
            }
        }
        for event in &news.events {
            let text = throttling::changed(&event.database, event.change);
            match event.change {
                PaceChange::Throttled { .. } => self.notice(&text),
                PaceChange::Released { .. } => {
                    let text = self.style.paint(Tone::Success, &format!("✓ {text}"));
                    self.say(&text);
                }
                PaceChange::Found { .. } if self.verbosity == Verbosity::Verbose => {
                    self.say(&format!("- {text}"));
                }
                PaceChange::Found { .. } => {}
            }
        }
        for ended in &news.ended {
            if let Some(text) = self.ended(ended) {
                self.say(&text);
            }
        }
    }

    fn ended(&mut self, ended: &EndedAttempt) -> Option<String> {
        let attempt = &ended.attempt;
        let tenant = &attempt.tenant;
        let why = attempt.failure.as_ref().map_or_else(String::new, cause);
        let number = attempt.attempt;
        let (tone, text) = match (attempt.outcome, ended.is_last) {
            (Outcome::Failed, true) => (Tone::Failure, format!("✗ {tenant} failed{why}")),
            (Outcome::Failed, false) => (
                Tone::Warning,
                format!("↻ {tenant}: attempt {number} failed{why}"),
            ),
            (Outcome::Interrupted, _) => (Tone::Warning, format!("! {tenant} interrupted")),
            (Outcome::Succeeded, _) if self.verbosity == Verbosity::Verbose => {
                let took = duration(Duration::from_millis(attempt.duration_ms));
                let (from, to) = (version(ended.from), version(ended.to));
                let sign = self.style.paint(Tone::Success, "✓");
                return Some(format!("{sign} {tenant} {from} → {to} in {took}"));
            }
            _ => return None,
        };
        self.failures += 1;
        if self.failures > LISTED && self.verbosity != Verbosity::Verbose {
            return (self.failures == LISTED + 1).then(|| {
                "… further failures are only counted here; the end has them by cause".to_owned()
            });
        }
        Some(self.style.paint(tone, &text))
    }

    /// How far it is, now and then.
    fn log(&mut self, now: Instant) {
        let scene = lock(&self.scene);
        let (done, to_do) = scene.position();
        let percent = done * 100 / to_do.max(1);
        let is_due = self.milestone.as_ref().is_none_or(|last| {
            done > last.done
                && (percent / STEP_PERCENT > last.percent / STEP_PERCENT
                    || now.duration_since(last.at) >= INTERVAL)
        });
        if !is_due || to_do == 0 {
            return;
        }
        let words = scene.words(now);
        drop(scene);
        self.milestone = Some(Milestone {
            done,
            percent,
            at: now,
        });
        let of = format!(
            "{done} of {} done ({percent} %)",
            count_u64(to_do, "tenant")
        );
        let text = format!("{of}{words}");
        let text = self.style.paint(Tone::Secondary, &text);
        self.say(&text);
    }

    /// Above the bar, or as a line.
    fn say(&mut self, text: &str) {
        match &self.bar {
            Some(Bar { bar, .. }) => bar.println(text),
            None if self.verbosity == Verbosity::Quiet => {}
            None => self.stderr.line(text),
        }
    }
}

fn open_bar(scene: &Arc<Mutex<Scene>>, style: Style) -> Bar {
    let drawn = Arc::clone(scene);
    let text = move || {
        let (rows, columns) = stderr_size();
        lock(&drawn).text(Instant::now(), rows, columns, BAR)
    };
    let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
    let bar = ProgressBar::with_draw_target(Some(0), target).with_style(bar_style(text, style));
    bar.enable_steady_tick(DRAW_EVERY);
    Bar {
        bar,
        _muted: MutedControlKeys::begin(),
    }
}

/// One that panicked must not stop the next draw.
fn lock(scene: &Mutex<Scene>) -> MutexGuard<'_, Scene> {
    scene.lock().unwrap_or_else(PoisonError::into_inner)
}
