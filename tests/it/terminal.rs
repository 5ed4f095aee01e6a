//! What people see: a real terminal, a dumb one, a narrow one, and none at all.

use crate::support::{
    LockGuard, Server, Terminal, TestDatabase, TestFleet, assert_history_is_truth, tenants,
    wait_until,
};

const CTRL_C: &[u8] = b"\x03";
/// What bars are made of.
const BAR: [char; 3] = ['█', '▌', '░'];

/// Tenants that stand at a gate in their second migration, two at a time.
fn gated(schemas: usize) -> (TestDatabase, Vec<String>, TestFleet, LockGuard) {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, schemas);
    let fleet = TestFleet::new(&db)
        .probe_migrations(1..=1)
        .migration(
            "V2__wait_at_the_gate",
            "SELECT pg_advisory_xact_lock_shared(4711);\nINSERT INTO probe (version) VALUES (2);\n",
        )
        .set("execution.concurrency", 2)
        .set("execution.lock_timeout", "10m");
    let gate = db.hold_lock("SELECT pg_advisory_xact_lock(4711)");
    (db, schemas, fleet, gate)
}

/// No line of a finished screen is a part of a bar or of a worker's line.
#[track_caller]
fn assert_no_leftovers(lines: &[String]) {
    for line in lines {
        assert!(!line.contains(BAR), "a bar is left:\n{}", lines.join("\n"));
        assert!(
            !line.contains("V2__wait_at_the_gate"),
            "a worker is left:\n{}",
            lines.join("\n")
        );
    }
}

#[test]
fn bars_show_the_run_and_what_every_busy_worker_does() {
    let (_db, _, fleet, gate) = gated(6);
    let terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 100);

    for tenant in ["main/tenant_0001", "main/tenant_0002"] {
        wait_until("the worker is on the screen", || {
            terminal.shows(&[tenant, "V2__wait_at_the_gate"])
        });
    }
    wait_until("the whole run is on the screen", || {
        terminal.shows(&["0/6", "0 %", "░"])
    });
    assert!(!terminal.shows(&["tenant_0003"]), "nobody works on it yet");
    gate.release();

    let (code, lines, written) = terminal.end();
    assert_eq!(code, 0);
    assert!(lines.iter().any(|line| line.contains("✓ 6 tenants at V2")));
    assert!(written.contains("\u{1b}[32m"), "no colour");
    assert_no_leftovers(&lines);
}

#[test]
fn a_deadline_is_on_the_bar() {
    let (_db, _, fleet, gate) = gated(2);
    let arguments = ["migrate", "--deadline", "9m"];
    let terminal = Terminal::start(&fleet, &arguments, "xterm-256color", 100);
    wait_until("the deadline is on the screen", || {
        terminal.shows(&["0/2", "░", "deadline in 8 min"])
    });
    gate.release();

    let (code, lines, _) = terminal.end();
    assert_eq!(code, 0);
    assert!(lines[0].contains(", deadline in 9 min (run "), "{lines:#?}");
    assert_no_leftovers(&lines);
}

#[test]
fn ctrl_c_drains_says_so_and_leaves_a_clean_screen() {
    let (db, schemas, fleet, gate) = gated(6);
    let mut terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 100);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);

    terminal.press(CTRL_C);
    wait_until("the drain is announced", || {
        terminal.shows(&["draining: 2 tenants in flight; press Ctrl-C again"])
    });
    wait_until("the bar says it too", || {
        terminal.shows(&["0/6", "stopping"])
    });
    gate.release();

    let (code, lines, _) = terminal.end();
    assert_eq!(code, 130);
    let text = lines.join("\n");
    assert!(text.contains("2 of 6 tenants done, 4 left"), "{text}");
    assert!(text.contains("fleet resume "), "{text}");
    assert_no_leftovers(&lines);
    assert_history_is_truth(&db, &schemas);
}

#[test]
fn a_second_ctrl_c_cancels_what_runs() {
    let (db, schemas, fleet, gate) = gated(6);
    let mut terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 100);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    terminal.press(CTRL_C);
    wait_until("the drain is announced", || {
        terminal.shows(&["draining: 2 tenants"])
    });

    terminal.press(CTRL_C);

    let (code, lines, _) = terminal.end();
    assert_eq!(code, 130);
    let text = lines.join("\n");
    assert!(
        text.contains("cancelling the statements of 2 tenants"),
        "{text}"
    );
    assert_no_leftovers(&lines);
    assert_history_is_truth(&db, &schemas);
    gate.release();
}

#[test]
fn bars_fit_a_narrow_terminal() {
    let (_db, _, fleet, gate) = gated(6);
    let terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 40);

    wait_until("both workers are on the screen", || {
        terminal.shows(&["main/tenant_0001", "V2__"])
            && terminal.shows(&["main/tenant_0002", "V2__"])
    });
    wait_until("the whole run is on the screen", || {
        terminal.shows(&["░", "0/6"])
    });
    let lines = terminal.lines();
    let bars: Vec<usize> = (0..lines.len())
        .filter(|&line| lines[line].contains(BAR))
        .collect();
    let [bar] = bars[..] else {
        panic!("one bar, and not again elsewhere: {lines:#?}");
    };
    let workers = &lines[bar + 1..];
    assert_eq!(workers.len(), 2, "a line each: {lines:#?}");
    assert!(workers.iter().all(|line| line.contains("main/tenant_000")));
    gate.release();

    let (code, lines, _) = terminal.end();
    assert_eq!(code, 0);
    assert_no_leftovers(&lines);
    assert!(lines.iter().any(|line| line.contains("6 tenants at V2")));
}

#[test]
fn lists_of_tenants_are_wrapped_to_a_narrow_terminal() {
    let (db, schemas, fleet, gate) = gated(9);
    gate.release();
    fleet.fleet(&["migrate"]).assert_code(0);
    for schema in &schemas {
        db.execute(&format!("DROP TABLE {schema}.probe"));
    }
    fleet.write_migration("V3__more", "INSERT INTO probe (version) VALUES (3);\n");
    let fleet = fleet.set("rollout.same_failures", 0);
    fleet.fleet(&["migrate"]).assert_code(4);

    let terminal = Terminal::start(&fleet, &["status"], "xterm-256color", 40);

    let (code, lines, written) = terminal.end();
    assert_eq!(code, 0);
    for line in console::strip_ansi_codes(&written).lines() {
        if line.contains("main/tenant") {
            assert!(line.len() <= 40, "{line}");
        }
    }
    for schema in &schemas {
        assert!(lines.iter().any(|line| line.contains(schema)), "{lines:#?}");
    }
}

/// F62: a terminal that can do nothing.
#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let (_db, _, fleet, gate) = gated(6);
    let terminal = Terminal::start(&fleet, &["migrate"], "dumb", 100);
    wait_until("two tenants stand at the gate", || gate.waiters() == 2);
    gate.release();

    let (code, lines, written) = terminal.end();

    assert_eq!(code, 0);
    assert!(!written.contains('\u{1b}'), "escape codes: {written:?}");
    assert!(!written.replace("\r\n", "").contains('\r'), "{written:?}");
    assert!(lines[0].starts_with("Migrating 6 of 6 tenants to V2, 2 at a time"));
    assert_no_leftovers(&lines);
}

#[test]
fn no_color_leaves_the_bars_and_takes_the_colours() {
    let (_db, _, fleet, gate) = gated(6);
    let fleet = fleet.env("NO_COLOR", "1");
    let terminal = Terminal::start(&fleet, &["migrate"], "xterm-256color", 100);
    wait_until("the bar is on the screen", || terminal.shows(&["0/6", "░"]));
    gate.release();

    let (code, _, written) = terminal.end();

    assert_eq!(code, 0);
    for colour in [
        "\u{1b}[1m",
        "\u{1b}[2m",
        "\u{1b}[31m",
        "\u{1b}[32m",
        "\u{1b}[33m",
    ] {
        assert!(!written.contains(colour), "{colour:?} in {written:?}");
    }
}

/// F62: no terminal.
#[test]
fn without_a_terminal_there_are_no_escape_codes() {
    let (_db, _, fleet, gate) = gated(6);
    gate.release();
    let fleet = fleet.env("TERM", "xterm-256color");
    fleet.write_migration("V3__broken", "SELECT 1 / 0;\n");
    for arguments in [
        &["migrate"][..],
        &["-v", "status"],
        &["plan"],
        &["runs"],
        &["show"],
    ] {
        let run = fleet.fleet(arguments);
        let written = [&run.stdout[..], &run.stderr].concat();
        assert!(
            !written.contains('\u{1b}') && !written.contains('\r'),
            "{run}"
        );
        assert!(!written.contains(BAR), "{run}");
    }
}
