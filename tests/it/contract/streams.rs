//! Results on stdout, the rest on stderr, and a stream that nobody reads changes nothing.

use std::process::Command;

use super::one_of_two_will_fail;
use crate::support::{
    Child, Run, Server, TestDatabase, TestFleet, assert_applied_exactly_once, assert_nothing_left,
    tenants,
};

/// F61: nobody listens to stdout.
#[test]
fn a_closed_stdout_changes_nothing_about_the_run() {
    for format in ["human", "json", "ndjson"] {
        let (db, fleet) = one_of_two_will_fail();
        let run = shell(&fleet, &format!("\"$FLEET\" -o {format} migrate >&-"));
        run.assert_code(4);
        assert!(!run.stderr.contains("panicked"), "{run}");
        assert_eq!(history(&db), "2 1");
        assert_nothing_left(&db);
    }
}

/// F61: nobody listens to stderr.
#[test]
fn a_closed_stderr_changes_nothing_about_the_run() {
    let (db, fleet) = one_of_two_will_fail();
    let run = shell(&fleet, "\"$FLEET\" -o json migrate 2>&-");
    run.assert_code(4);
    assert_eq!(run.json()["exit_code"], 4);
    assert_eq!(history(&db), "2 1");
}

/// F54: a disk that is full where the result should go. There is no log file of fleet's own.
#[test]
fn a_document_that_a_full_disk_swallows_is_no_success() {
    let db = TestDatabase::create(Server::A);
    let schemas = tenants(&db, 2);
    let fleet = TestFleet::new(&db).probe_migrations(1..=1);
    let run = shell(&fleet, "\"$FLEET\" -o json migrate >/dev/full");
    run.assert_code(1).assert_stderr_has("could not be written");
    assert_applied_exactly_once(&db, &schemas, &[1]);
}

#[test]
fn both_streams_closed_change_nothing_about_the_run() {
    let (db, fleet) = one_of_two_will_fail();
    shell(&fleet, "\"$FLEET\" migrate >&- 2>&-").assert_code(4);
    assert_eq!(history(&db), "2 1");
}

/// F61: `fleet … | head -1`.
#[test]
fn a_reader_that_goes_away_changes_nothing_about_the_run() {
    for format in ["human", "json", "ndjson"] {
        let (db, fleet) = one_of_two_will_fail();
        let script =
            format!("\"$FLEET\" -v -o {format} migrate | head -1; exit ${{PIPESTATUS[0]}}");
        let run = shell(&fleet, &script);
        run.assert_code(4);
        assert!(!run.stderr.contains("panicked"), "{run}");
        assert_eq!(history(&db), "2 1");
    }
}

#[test]
fn a_progress_that_nobody_reads_changes_nothing_about_the_run() {
    let (db, fleet) = one_of_two_will_fail();
    let script = "\"$FLEET\" -v migrate 2> >(true) >/dev/null; exit $?";
    shell(&fleet, script).assert_code(4);
    assert_eq!(history(&db), "2 1");
}

#[test]
fn commands_that_look_end_quietly_when_their_reader_goes_away() {
    let (_db, fleet) = one_of_two_will_fail();
    // warnings about locks go to stderr
    let fleet = fleet.set("lint.lock_safety", "off");
    for command in ["plan", "status", "tenants", "runs", "show", "--help"] {
        let run = shell(
            &fleet,
            &format!("\"$FLEET\" {command} | true; exit ${{PIPESTATUS[0]}}"),
        );
        run.assert_code(0);
        assert!(run.stderr.is_empty(), "{run}");
    }
}

#[test]
fn progress_is_on_stderr_and_the_document_alone_on_stdout() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.fleet(&["-o", "json", "migrate"]);
    run.assert_code(4).assert_stderr_has("tenant_0002");
    assert_eq!(run.stdout.lines().count(), 1);
    assert!(run.json().is_object());
}

#[test]
fn quiet_says_nothing_where_all_is_well() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.fleet(&["-q", "migrate", "--tenant", "*1"]);
    run.assert_code(0);
    assert_eq!(
        (run.stdout.as_str(), run.stderr.as_str()),
        ("", ""),
        "{run}"
    );
}

#[test]
fn quiet_still_says_what_failed() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.fleet(&["-q", "migrate"]);
    run.assert_code(4);
    let seen = format!("{}{}", run.stdout, run.stderr);
    for part in ["tenant_0002", "V2__unique", "23505"] {
        assert!(seen.contains(part), "{part}\n{run}");
    }
}

#[test]
fn quiet_documents_are_whole() {
    let (_db, fleet) = one_of_two_will_fail();
    let run = fleet.fleet(&["-q", "-o", "json", "migrate"]);
    run.assert_code(4);
    assert_eq!(run.json()["totals"]["failed"], 1);
}

#[test]
fn colour_is_only_where_it_is_wanted() {
    let (_db, fleet) = one_of_two_will_fail();
    let coloured = |fleet: &TestFleet, arguments: &[&str]| {
        let run = fleet.fleet(arguments);
        format!("{}{}", run.stdout, run.stderr).contains('\u{1b}')
    };
    assert!(!coloured(&fleet, &["plan"]), "a pipe");
    assert!(!coloured(&fleet, &["--color", "never", "plan"]));
    assert!(coloured(&fleet, &["--color", "always", "migrate"]));
    assert!(
        coloured(&fleet, &["--color", "always", "plan", "--database", "x"]),
        "errors"
    );
    let fleet = fleet.env("NO_COLOR", "1");
    assert!(!coloured(&fleet, &["status"]));
}

/// F62: `NO_COLOR` and `TERM=dumb`.
#[test]
fn no_color_and_a_dumb_terminal_are_honoured_on_a_terminal() {
    let (_db, fleet) = one_of_two_will_fail();
    let on_terminal = |fleet: &TestFleet| {
        let run = shell(fleet, "script -qec '\"$FLEET\" status' /dev/null");
        run.assert_stdout_has("tenant");
        run.stdout.contains('\u{1b}')
    };
    let colourful = fleet.env("TERM", "xterm");
    assert!(on_terminal(&colourful), "a terminal shows colour");
    assert!(!on_terminal(&colourful.env("NO_COLOR", "1")));
    let (_db, fleet) = one_of_two_will_fail();
    assert!(!on_terminal(&fleet.env("TERM", "dumb")));
}

/// The versions of both tenants.
fn history(db: &crate::support::TestDatabase) -> String {
    db.query_one(
        "SELECT (SELECT max(version) FROM tenant_0001.refinery_schema_history) || ' ' ||
                (SELECT max(version) FROM tenant_0002.refinery_schema_history)",
    )
}

/// A script with the binary as `$FLEET`, in the folder and the environment of the fleet.
fn shell(fleet: &TestFleet, script: &str) -> Run {
    let binary = fleet.command(&[]);
    let mut bash = Command::new("bash");
    bash.args(["-c", script])
        .current_dir(fleet.folder())
        .env_clear()
        .envs(
            binary
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .env("FLEET", binary.get_program());
    Child::spawn(bash).wait()
}
