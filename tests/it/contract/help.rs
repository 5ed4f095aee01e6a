//! Help that names every flag, typos that are understood, and the example that works.

use crate::support::{Run, Server, TestDatabase, TestFleet, assert_nothing_left, tenants};

const SELECTION: [&str; 5] = [
    "--tenant <GLOB>",
    "--only <DATABASE/SCHEMA>...",
    "--tenants-from <FILE>",
    "--database <NAME>",
    "--label <KEY=VALUE>",
];

/// Flags of single commands.
const FLAGS: &[(&str, &[&str])] = &[
    (
        "migrate",
        &[
            "--to <VERSION>",
            "--dry-run",
            "--rehearse",
            "--canary <N>",
            "--no-canary",
            "--wave <WAVE>",
            "--concurrency <N|auto>",
            "--deadline <DURATION>",
            "--ignore-windows",
            "--until-stable",
        ],
    ),
    ("plan", &["--to <VERSION>", "--ignore-windows"]),
    ("approve", &["[RUN]"]),
    (
        "lint",
        &[
            "[FILE]...",
            "--path <DIR>",
            "--all",
            "--format <FORMAT>",
            "--rules",
        ],
    ),
    (
        "resume",
        &[
            "[RUN]",
            "--concurrency <N|auto>",
            "--deadline <DURATION>",
            "--ignore-windows",
        ],
    ),
    (
        "hold",
        &["[TENANT]...", "--until <WHEN>", "--reason <TEXT>"],
    ),
    (
        "pin",
        &[
            "[TENANT]...",
            "--to <VERSION>",
            "--until <WHEN>",
            "--reason <TEXT>",
        ],
    ),
    ("release", &["[TENANT]..."]),
    ("runs", &["--limit <N>"]),
    ("show", &["[RUN]"]),
    ("failures", &["[RUN]", "--tenants-of <CAUSE>"]),
    ("watch", &["[RUN]"]),
    ("gate", &["--min-version <VERSION>", "--wait <DURATION>"]),
    ("verify", &["--isolation", "--reference", "--fix-plan"]),
    ("embedded", &["start", "stop", "url"]),
    ("roles", &["plan", "apply"]),
    ("doctor", &[]),
    ("init", &[]),
];

#[test]
fn help_lists_every_command() {
    let help = help(&["--help"]);
    for command in [
        "migrate",
        "plan",
        "rehearse",
        "status",
        "resume",
        "runs",
        "show",
        "failures",
        "watch",
        "gate",
        "verify",
        "tenants",
        "reconcile",
        "repair",
        "skip",
        "baseline",
        "accept-divergent",
        "hold",
        "pin",
        "release",
        "roles",
        "doctor",
        "init",
        "embedded",
    ] {
        help.assert_stdout_has(&format!("\n  {command} "));
    }
    help.assert_stdout_has("Exit codes:");
}

#[test]
fn each_commands_help_names_its_flags() {
    let selecting = [
        "migrate",
        "plan",
        "rehearse",
        "status",
        "resume",
        "tenants",
        "verify",
        "reconcile",
        "hold",
        "pin",
        "release",
        "gate",
        "repair",
        "skip",
        "baseline",
        "accept-divergent",
    ];
    for command in selecting {
        let help = help(&[command, "--help"]);
        for flag in SELECTION {
            help.assert_stdout_has(flag);
        }
    }
    for action in ["plan", "apply"] {
        let help = help(&["roles", action, "--help"]);
        for flag in SELECTION {
            help.assert_stdout_has(flag);
        }
    }
    for (command, flags) in FLAGS {
        let help = help(&[command, "--help"]);
        for flag in *flags {
            help.assert_stdout_has(flag);
        }
        for flag in [
            "--config <FILE>",
            "--output <FORMAT>",
            "--color <WHEN>",
            "--verbose",
            "--quiet",
        ] {
            help.assert_stdout_has(flag);
        }
    }
}

#[test]
fn the_help_of_acts_names_their_flags() {
    for (command, flags) in [
        (
            "repair",
            &[
                "[TENANT]...",
                "--sql <FILE>",
                "--reason <TEXT>",
                "--no-migrate",
                "--again",
                "--dry-run",
            ][..],
        ),
        ("skip", &["<VERSION>", "[TENANT]...", "--reason <TEXT>"]),
        ("baseline", &["--at <VERSION>", "--reason <TEXT>"]),
        (
            "accept-divergent",
            &["--version <VERSION>", "--reason <TEXT>", "--dry-run"],
        ),
    ] {
        let help = help(&[command, "--help"]);
        for flag in flags {
            help.assert_stdout_has(flag);
        }
    }
}

#[test]
fn the_help_of_rehearse_says_what_it_costs() {
    let help = help(&["rehearse", "--help"]);
    for text in [
        "--to <VERSION>",
        "--concurrency <N>",
        "--sample <N>",
        "--seed <NUMBER>",
        "rolled back",
        "same locks",
        "sequences",
    ] {
        help.assert_stdout_has(text);
    }
}

#[test]
fn help_fits_a_terminal() {
    for command in ["migrate", "rehearse"] {
        for line in help(&[command, "--help"]).stdout.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }
}

#[test]
fn the_version_is_that_of_the_crate() {
    let run = TestFleet::without_database().fleet(&["--version"]);
    run.assert_code(0);
    assert_eq!(
        run.stdout.trim(),
        format!("fleet {}", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn an_unknown_flag_proposes_the_right_one() {
    let run = TestFleet::without_database().fleet(&["migrate", "--concurency", "3"]);
    run.assert_code(2)
        .assert_stderr_has("--concurency")
        .assert_stderr_has("--concurrency");
}

#[test]
fn an_unknown_command_proposes_the_right_one() {
    let run = TestFleet::without_database().fleet(&["migrat"]);
    run.assert_code(2).assert_stderr_has("'migrate'");
}

#[test]
fn the_example_config_and_the_example_migrations_work() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 2);
    let fleet = TestFleet::without_database().env("DATABASE_URL", &db.url());
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/fleet.example.yaml");
    let plan = fleet.json(&["-c", example, "plan"], 0);
    assert_eq!(plan["totals"]["migrate"], 2);
    fleet.json(&["-c", example, "migrate", "--tenant", "tenant_0001"], 0);
    let status = fleet.json(&["-c", example, "status"], 0);
    assert_eq!(status["totals"]["up_to_date"], 1);
    assert_nothing_left(&db);
}

#[test]
fn the_examples_values_are_the_defaults() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let example = include_str!("../../../fleet.example.yaml");
    for key in [
        "concurrency: 8",
        "lock_timeout: 3s",
        "statement_timeout: 15m",
        "max_connections: 8",
        "schema: fleet_control",
        "history_table: refinery_schema_history",
    ] {
        assert!(example.contains(key), "{key}");
    }
    let fleet = TestFleet::new(&db).migration(
        "V1__look",
        "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS lock, current_setting('statement_timeout') AS statement;\n",
    );
    fleet.json(&["migrate"], 0);
    let seen: String = db.query_one("SELECT lock || ' ' || statement FROM tenant_0001.seen");
    assert_eq!(seen, "3s 15min");
}

fn help(arguments: &[&str]) -> Run {
    let run = TestFleet::without_database().fleet(arguments);
    run.assert_code(0);
    assert!(run.stderr.is_empty(), "{run}");
    run
}
