//! Servers that say too much, and terminals that say nothing of themselves.

use crate::support::{
    Child, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_says, tenants,
};

/// F59: megabytes of warnings are neither kept nor shown.
#[test]
fn a_flood_of_warnings_is_no_obstacle() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1).migration(
        "V2__loud",
        "DO $$ BEGIN FOR n IN 1..10000 LOOP RAISE WARNING '%', repeat('flood', 2000); END LOOP; END $$;\n\
         INSERT INTO probe VALUES (2);\n",
    );
    let (run, kilobytes) = fleet
        .spawn(&["-o", "json", "migrate"])
        .wait_with_peak_memory();
    run.assert_code(0);
    assert_applied_exactly_once(&db, &schemas, &[1, 2]);
    assert!(kilobytes < 60_000, "{kilobytes} kB for 200 MB of warnings");
    let said = run.stdout.len() + run.stderr.len();
    assert!(said < 100_000, "{said} bytes of output");
}

/// F59: binary junk in a message reaches neither a terminal nor the ledger as it is.
#[test]
fn junk_in_a_message_is_taken_out() {
    let db = TestDatabase::create(Server::A);
    tenants(&db, 1);
    let fleet = TestFleet::new(&db).migration(
        "V1__junk",
        "DO $$ BEGIN RAISE EXCEPTION E'before\\x1b[2J\\x07\\x01after'\n\
           USING DETAIL = E'\\x1b]0;title\\x07detail', HINT = E'\\x1b[31mhint'; END $$;\n",
    );
    for format in ["human", "json", "ndjson"] {
        let run = fleet.fleet(&["-v", "-o", format, "migrate"]);
        run.assert_code(4);
        let seen = format!("{}{}", run.stdout, run.stderr);
        assert!(!seen.contains(['\u{1b}', '\u{7}', '\u{1}']), "{run}");
        assert!(!seen.contains("\\u001b"), "{run}");
    }
    let shown = fleet.json(&["show"], 0);
    assert_says(
        &shown["failed_attempts"][0]["failure"]["message"],
        &["before[2Jafter"],
    );
    let kept: i64 = db.query_one(
        "SELECT count(*) FROM fleet_control.attempts WHERE message ~ '[\\x01-\\x08\\x1b]' OR detail ~ '[\\x01-\\x08\\x1b]'",
    );
    assert_eq!(kept, 0);
}

/// F62: a terminal that does not know its width gets lines of a width that people can read.
#[test]
fn a_terminal_without_a_width_is_no_obstacle() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let binary = fleet.command(&[]);
    for command in ["plan", "migrate", "status", "--help"] {
        let mut script = std::process::Command::new("script");
        script
            .args([
                "-qec",
                &format!("stty cols 0 rows 0; \"$FLEET\" {command}"),
                "/dev/null",
            ])
            .current_dir(fleet.folder())
            .env_clear()
            .envs(
                binary
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("FLEET", binary.get_program())
            .env("TERM", "xterm");
        let run = Child::spawn(script).wait();
        run.assert_code(0);
        assert!(!run.stdout.contains("panicked"), "{run}");
    }
    assert_applied_exactly_once(&db, &schemas, &[1]);
}
