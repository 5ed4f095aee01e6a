//! Bars on a terminal.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::board::Board;
use super::echo::MutedControlKeys;
use super::notices::Notices;
use super::style::Style;
use super::{Reporter, Verbosity};
use crate::rollout::RolloutEvent;
use crate::run::Act;

/// How often the terminal is drawn, whatever happens: elapsed times move also where nothing does,
/// and a million events cost no more than a thousand.
pub(super) const DRAW_EVERY: Duration = Duration::from_millis(125);
pub(super) const DRAWS_PER_SECOND: u8 = 10;
/// Columns of the bar; indicatif wants them in the template.
pub(super) const BAR: usize = 24;

/// Rows and columns of the terminal, asked at each draw: people resize windows.
pub(super) type Size = fn() -> (u16, u16);

/// One bar whose text is the [`Board`], and notices above it.
pub(super) struct Progress {
    bar: ProgressBar,
    board: Arc<Mutex<Board>>,
    notices: Notices,
    muted: Option<MutedControlKeys>,
}

impl Progress {
    /// On stderr.
    pub(super) fn stderr(style: Style, verbosity: Verbosity) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND);
        let mut progress = Self::new(target, stderr_size, style, verbosity);
        progress.muted = MutedControlKeys::begin();
        progress
    }

    /// The same for an act.
    pub(super) fn about(mut self, act: Option<Act>) -> Self {
        self.notices.act = act;
        self
    }

    /// On any terminal.
    pub(super) fn new(
        target: ProgressDrawTarget,
        size: Size,
        style: Style,
        verbosity: Verbosity,
    ) -> Self {
        let board = Arc::new(Mutex::new(Board::new(style)));
        let drawn = Arc::clone(&board);
        let text = move || {
            let (rows, columns) = size();
            lock(&drawn).text(Instant::now(), rows, columns, BAR)
        };
        let bar = ProgressBar::with_draw_target(Some(0), target).with_style(bar_style(text, style));
        Self {
            bar,
            board,
            notices: Notices::new(style, verbosity),
            muted: None,
        }
    }

    /// What is on the bar now, drawn at once.
    #[cfg(test)]
    pub(super) fn draw(&self) {
        self.bar.force_draw();
    }
}

impl Reporter for Progress {
    fn report(&mut self, event: &RolloutEvent) {
        // the guard ends here: drawing locks the bar first and the board then
        let position = {
            let mut board = lock(&self.board);
            board.apply(event, Instant::now());
            board.position()
        };
        if let Some((done, to_migrate)) = position {
            if matches!(event, RolloutEvent::RunStarted { .. }) {
                self.bar.set_length(to_migrate);
                self.bar.enable_steady_tick(DRAW_EVERY);
            }
            self.bar.set_position(done);
        }
        if let Some(line) = self.notices.line(event) {
            self.bar.println(line);
        }
        if matches!(event, RolloutEvent::RunFinished { .. }) {
            self.bar.finish_and_clear();
            self.muted = None;
        }
    }
}

/// A run that ends without its last event leaves no dead bar behind.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A bar, and everything behind it.
pub(super) fn bar_style(
    text: impl Fn() -> String + Clone + Send + Sync + 'static,
    style: Style,
) -> ProgressStyle {
    let template = if style.color {
        format!("{{bar:{BAR}.green}}{{board}}")
    } else {
        format!("{{bar:{BAR}}}{{board}}")
    };
    ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("█▌░")
        .with_key(
            "board",
            move |_: &ProgressState, out: &mut dyn fmt::Write| {
                let _ = out.write_str(&text());
            },
        )
}

pub(super) fn stderr_size() -> (u16, u16) {
    let (rows, columns) = console::Term::stderr().size();
    // a terminal that does not know its size says 0
    (
        if rows == 0 { 24 } else { rows },
        if columns == 0 { 80 } else { columns },
    )
}

/// A reporter that panicked must not stop the next draw.
fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
