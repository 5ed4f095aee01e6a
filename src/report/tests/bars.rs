//! Bars, seen through a terminal in memory.

use std::fmt;
use std::num::NonZero;
use std::time::Instant;

use indicatif::{ProgressDrawTarget, TermLike};

use super::super::progress::Progress;
use super::super::{Reporter, Verbosity};
use super::live::{cancel, some_end, totals_of};
use super::*;
use crate::run::{CancelReason, StopSignal};

/// A terminal in memory.
#[derive(Clone)]
struct Screen(Arc<Mutex<vt100::Parser>>);

impl Screen {
    fn new() -> Self {
        let (rows, columns) = (NonZero::new(12).unwrap(), NonZero::new(70).unwrap());
        Self(Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0))))
    }

    fn put(&self, text: &str) -> io::Result<()> {
        let mut parser = self.0.lock().map_err(|_| ErrorKind::Other)?;
        parser.process(text.as_bytes());
        Ok(())
    }

    fn lines(&self) -> Vec<String> {
        let parser = self.0.lock().unwrap();
        let rows = parser.screen().rows(0, 70);
        rows.map(|row| row.trim_end().to_owned())
            .filter(|row| !row.is_empty())
            .collect()
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        70
    }

    fn height(&self) -> u16 {
        12
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n == 0 {
            Ok(())
        } else {
            self.put(&format!("\u{1b}[{n}A"))
        }
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n == 0 {
            Ok(())
        } else {
            self.put(&format!("\u{1b}[{n}B"))
        }
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n == 0 {
            Ok(())
        } else {
            self.put(&format!("\u{1b}[{n}C"))
        }
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n == 0 {
            Ok(())
        } else {
            self.put(&format!("\u{1b}[{n}D"))
        }
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.put(&format!("{s}\r\n"))
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.put(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.put("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn bars(screen: &Screen) -> Progress {
    let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
    Progress::new(target, || (12, 70), PLAIN, Verbosity::Normal)
}

#[test]
fn bars_show_the_run_and_who_is_busy() {
    let screen = Screen::new();
    let mut bars = bars(&screen);
    bars.report(&started(197, totals_of(0, 0)));
    for schema in ["acme", "bolt", "cyan"] {
        bars.report(&attempt(schema, 1));
    }
    bars.report(&finished(failed("acme", failure()), totals_of(0, 1)));
    bars.report(&attempt("dune", 2));
    bars.report(&migration_of("dune"));
    bars.draw();
    let lines = screen.lines();
    let notice = "✗ main/acme failed at V12__unique_email line 4: 23505 could not create";
    assert!(lines.iter().any(|line| line == notice), "{lines:?}");
    let bar = &lines[lines.len() - 4..];
    assert!(bar[0].ends_with(" 1/197 0 %  1 failed"), "{bar:?}");
    // dune has the place that acme left
    assert!(
        bar[1].starts_with("  main/dune  V12__unique_email  "),
        "{bar:?}"
    );
    assert!(bar[1].ends_with(" ms  attempt 2"), "{bar:?}");
    assert!(bar[2].starts_with("  main/bolt  "), "{bar:?}");
    assert!(bar[3].starts_with("  main/cyan  "), "{bar:?}");
    bars.report(&some_end());
    assert!(!screen.lines().iter().any(|line| line.contains("main/bolt")));
}

#[test]
fn a_tenant_that_waits_for_its_turn_has_no_line_and_a_build_shows_how_far_it_is() {
    let screen = Screen::new();
    let mut bars = bars(&screen);
    bars.report(&started(197, totals_of(0, 0)));
    for schema in ["acme", "bolt"] {
        bars.report(&attempt(schema, 1));
    }
    bars.report(&RolloutEvent::TenantPutOff {
        tenant: tenant("bolt"),
    });
    bars.report(&RolloutEvent::TenantProgress {
        tenant: tenant("acme"),
        progress: crate::run::Progress::IndexBuild {
            phase: "building index: scanning table".to_owned(),
            percent: Some(40),
            waits_for: None,
        },
    });
    bars.draw();
    let lines = screen.lines();
    assert!(
        !lines.iter().any(|line| line.contains("main/bolt")),
        "{lines:?}"
    );
    let line = "  main/acme  building index: scanning table 40 %  ";
    assert!(
        lines.iter().any(|shown| shown.starts_with(line)),
        "{lines:?}"
    );
}

#[test]
fn many_workers_leave_room_for_what_was_said() {
    let screen = Screen::new();
    let mut bars = bars(&screen);
    bars.report(&started(197, totals_of(0, 0)));
    for n in 0..40 {
        bars.report(&attempt(&format!("t{n:02}"), 1));
    }
    bars.report(&cancel(CancelReason::Drain, Some(StopSignal::Interrupt)));
    bars.draw();
    let lines = screen.lines();
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("draining: 8 tenants in flight; press"))
    );
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with(" 0/197 0 %  stopping"))
    );
    assert_eq!(lines.last().unwrap(), "  … and 32 more workers");
}

#[test]
fn a_million_events_do_not_slow_a_run() {
    let target = ProgressDrawTarget::term_like(Box::new(Screen::new()));
    let mut bars = Progress::new(target, || (12, 70), PLAIN, Verbosity::Normal);
    bars.report(&started(197, totals_of(0, 0)));
    bars.report(&attempt("acme", 1));
    let begin = Instant::now();
    let event = migration_of("acme");
    for _ in 0..1_000_000 {
        bars.report(&event);
    }
    // far above what it takes, also without optimisation on a busy machine
    assert!(begin.elapsed() < Duration::from_secs(20));
}
