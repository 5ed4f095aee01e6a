//! Tenants as words: through pipes, shells and xargs, whatever they are called.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use super::one_of_three_fails;
use crate::support::{Server, TestDatabase, TestFleet, assert_says, each_tenants, quote};

/// Names that a shell, xargs, a glob or a reader of lines would take for something else.
const HOSTILE: [&str; 9] = [
    "t plain",
    "t it's \"quoted\"",
    "t $(touch hacked) `touch hacked`",
    "t *",
    "t [a-z]?",
    "t\nnew line",
    "t\\back/slash%20",
    "t --tenant -x #",
    "t ünïcode 🐘",
];

/// Hostile tenants that fail, and one more that fails too and is not meant.
fn hostile() -> (TestDatabase, TestFleet) {
    let db = TestDatabase::create(Server::A);
    for name in HOSTILE {
        db.execute(&format!("CREATE SCHEMA {}", quote(name)));
    }
    db.execute("CREATE SCHEMA other");
    let fleet = TestFleet::new(&db).unlinted()
        .config(|yaml| yaml["databases"][0]["tenants"] = json!({ "schemas": ["t*", "other"] }))
        .migration("V1__one", "CREATE TABLE one ();\nSELECT (schema || '!')::int FROM public.broken WHERE schema = current_schema();\nSELECT 1 / (SELECT count(*) FROM public.works WHERE schema = current_schema());\n");
    db.execute("CREATE TABLE public.works (schema text); CREATE TABLE public.broken AS SELECT 'other' AS schema");
    (db, fleet)
}

/// Runs a line of shell in which `fleet` is the built binary.
fn shell(fleet: &TestFleet, line: &str) -> std::process::Output {
    let binary = fleet.command(&[]);
    let script = format!(
        "fleet() {{ '{}' \"$@\"; }}; export FLEET='{}'; {line}",
        binary.get_program().display(),
        binary.get_program().display()
    );
    Command::new("bash")
        .args(["-c", &script])
        .current_dir(fleet.folder())
        .output()
        .expect("bash")
}

fn assert_all_but_other_are_done(
    db: &TestDatabase,
    fleet: &TestFleet,
    shelled: &std::process::Output,
) {
    let said = String::from_utf8_lossy(&shelled.stderr);
    assert!(shelled.status.success(), "{said}");
    for name in HOSTILE {
        let done: bool = db.query_one(&format!(
            "SELECT to_regclass({}) IS NOT NULL",
            quote_literal(&format!("{}.one", quote(name)))
        ));
        assert!(done, "{name:?} is not done: {said}");
    }
    let other: bool = db.query_one("SELECT to_regclass('other.one') IS NOT NULL");
    assert!(!other, "a tenant was touched that was not meant");
    assert!(
        !fleet.folder().join("hacked").exists(),
        "a name was executed"
    );
}

fn quote_literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The hostile ones fail and are repaired, `other` fails with another cause.
fn failed_and_repaired() -> (TestDatabase, TestFleet) {
    let (db, fleet) = hostile();
    fleet.json(&["migrate"], 4);
    db.execute(
        "DELETE FROM public.broken; INSERT INTO public.works SELECT nspname FROM pg_namespace",
    );
    let causes = fleet.json(&["failures"], 0);
    assert_eq!(causes["failures"][0]["cause"], "22012@V1.3");
    assert_eq!(causes["failures"][0]["count"], HOSTILE.len());
    assert_eq!(causes["failures"][1]["cause"], "22P02@V1.2");
    (db, fleet)
}

#[test]
fn any_name_passes_through_a_pipe() {
    let (db, fleet) = failed_and_repaired();
    let shelled = shell(
        &fleet,
        "set -o pipefail; fleet failures --tenants-of 22012@V1.3 | fleet resume --tenants-from -",
    );
    assert_all_but_other_are_done(&db, &fleet, &shelled);
}

#[test]
fn any_name_passes_through_the_words_of_a_shell() {
    let (db, fleet) = failed_and_repaired();
    let shelled = shell(
        &fleet,
        "fleet resume --only $(fleet failures --tenants-of 22012@v1.3)",
    );
    assert_all_but_other_are_done(&db, &fleet, &shelled);
}

#[test]
fn any_name_passes_through_xargs() {
    let (db, fleet) = failed_and_repaired();
    let shelled = shell(
        &fleet,
        "fleet failures --tenants-of 22012@V1.3 | xargs \"$FLEET\" resume --only",
    );
    assert_all_but_other_are_done(&db, &fleet, &shelled);
}

/// A command that failed or found nobody must not come to mean everybody.
#[test]
fn nothing_is_never_everything() {
    let (db, fleet) = failed_and_repaired();
    for line in [
        "fleet failures --tenants-of typo | fleet resume --tenants-from -",
        "fleet resume --only $(fleet failures --tenants-of typo)",
        "fleet failures --tenants-of typo | xargs \"$FLEET\" resume --only",
    ] {
        let shelled = shell(&fleet, line);
        let said = String::from_utf8_lossy(&shelled.stderr);
        assert!(!shelled.status.success(), "{line}: {said}");
        assert!(said.contains("no cause is called typo"), "{line}: {said}");
    }
    let touched: i64 = db.query_one("SELECT count(*) FROM pg_tables WHERE tablename = 'one'");
    assert_eq!(touched, 0);
}

#[test]
fn who_got_past_it_since_is_left_out() {
    let (db, fleet) = one_of_three_fails();
    let failed = fleet.json(&["migrate"], 4);
    let run = failed["run"].as_str().expect("a name");
    let arguments = ["failures", run, "--tenants-of", "23505@V2.1"];
    let seen = fleet.fleet(&arguments);
    seen.assert_code(0);
    assert_eq!(seen.stdout, "main/tenant_0002\n");
    assert_eq!(
        fleet.json(&arguments, 0),
        json!({ "run": run, "cause": "23505@V2.1", "mended": [],
                "tenants": [{ "database": "main", "schema": "tenant_0002" }] })
    );
    db.execute(
        "DELETE FROM tenant_0002.probe WHERE ctid <> (SELECT min(ctid) FROM tenant_0002.probe)",
    );
    fleet.json(&["migrate"], 0);
    let seen = fleet.fleet(&arguments);
    seen.assert_code(0)
        .assert_stderr_has("1 of the 1 tenants of this cause got past it since");
    assert_eq!(seen.stdout, "");
}

#[test]
fn a_cause_that_is_not_there_is_answered_with_those_that_are() {
    let (_db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    let refused = fleet.json(&["failures", "--tenants-of", "23505"], 2);
    assert_says(
        &refused["error"],
        &["no cause is called 23505", "23505@V2.1"],
    );
}

#[test]
fn a_name_that_leads_nowhere_is_an_error() {
    let (_db, fleet) = one_of_three_fails();
    fleet.write_file(
        "who",
        "# the big ones\nmain/tenant_0001\n\nmain/tenant_0009\n",
    );
    let refused = fleet.json(&["migrate", "--tenants-from", "who"], 2);
    assert_says(
        &refused["error"],
        &["no tenant is called main/tenant_0009", "finds 3"],
    );
    let refused = fleet.json(&["plan", "--only", "main/tenant_*"], 2);
    assert_says(&refused["error"], &["main/tenant_*"]);
    let refused = fleet.json(&["plan", "--only", "elsewhere/tenant_0001"], 2);
    assert_says(&refused["error"], &["elsewhere"]);
    for (text, says) in [
        ("# nobody\n", "names no tenant"),
        ("acme\n", "line 1: acme: write it as DATABASE/SCHEMA"),
    ] {
        fleet.write_file("who", text);
        let run = fleet.fleet(&["plan", "--tenants-from", "who"]);
        run.assert_code(2).assert_stderr_has(says);
    }
    fleet
        .fleet(&["plan", "--tenants-from", "nowhere"])
        .assert_code(2);
}

#[test]
fn named_tenants_are_what_every_command_is_about() {
    let (db, fleet) = one_of_three_fails();
    fleet.write_file("who", "main/tenant_0001\r\nmain/tenant_0003\r\n");
    let plan = fleet.json(&["plan", "--tenants-from", "who"], 0);
    assert_eq!(
        each_tenants(&plan, "action"),
        ["tenant_0001 migrate", "tenant_0003 migrate"]
    );
    let status = fleet.json(&["status", "--tenants-from", "who", "--tenant", "*3"], 0);
    assert_eq!(each_tenants(&status, "state"), ["tenant_0003 pending"]);
    fleet.json(
        &["migrate", "--only", "main/tenant_0003", "main/tenant_0001"],
        0,
    );
    let selection: String = db.query_one("SELECT selection FROM fleet_control.runs WHERE command = 'migrate' ORDER BY started_at DESC LIMIT 1");
    assert_eq!(selection, "--only main/tenant_0003 main/tenant_0001");
}

/// What came through a pipe cannot be read again: proposals write the names out.
#[test]
fn names_from_stdin_are_written_out() {
    let (_db, fleet) = one_of_three_fails();
    let mut child = fleet
        .command(&["plan", "--tenants-from", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(b"main/tenant_0002\n").expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("fleet migrate --only main/tenant_0002"),
        "{text}"
    );
}

/// The whole way: who failed is repaired by what comes through the pipe, and the others are left alone.
#[test]
fn the_tenants_of_a_cause_are_repaired() {
    let (db, fleet) = hostile();
    db.execute(
        "DELETE FROM public.broken; INSERT INTO public.works SELECT nspname FROM pg_namespace",
    );
    fleet.json(&["migrate"], 0);
    db.execute("DELETE FROM public.works WHERE schema <> 'other'");
    let fleet = fleet.migration(
        "V2__works",
        "SELECT 1 / (SELECT count(*) FROM public.works WHERE schema = current_schema());\n",
    );
    fleet.json(&["migrate"], 4);
    fleet.write_file(
        "fix.sql",
        "-- fleet: allow leak the test looks there\nINSERT INTO public.works SELECT current_schema();\n",
    );
    let shelled = shell(
        &fleet,
        "set -o pipefail; fleet failures --tenants-of 22012@V2.1 | fleet repair --tenants-from - --sql fix.sql --reason 'they work now'",
    );
    let said = String::from_utf8_lossy(&shelled.stdout);
    assert!(shelled.status.success(), "{said}");
    let mut repaired: Vec<String> =
        db.column("SELECT schema FROM public.works WHERE schema <> 'other'");
    repaired.sort();
    let mut meant = HOSTILE.map(str::to_owned);
    meant.sort();
    assert_eq!(repaired, meant);
    assert_eq!(
        fleet.json(&["status"], 0)["totals"]["up_to_date"],
        HOSTILE.len() + 1
    );
    let causes = fleet.json(&["failures"], 0);
    assert_eq!(
        causes["failures"][0]["mended"].as_array().map(Vec::len),
        Some(HOSTILE.len())
    );
}

#[test]
fn a_fix_that_fails_is_shown_as_it_was_run() {
    let (_db, fleet) = one_of_three_fails();
    fleet.json(&["migrate"], 4);
    fleet.write_file(
        "it's a fix.sql",
        "BEGIN;\nSELECT 1;\nDELETE FROM probe\n  WHERE vershion = 1;\nCOMMIT;\n",
    );
    let arguments = ["repair", "tenant_0002", "--sql", "it's a fix.sql"];
    fleet.json(&arguments, 4);

    let cause = &fleet.json(&["failures"], 0)["failures"][0];

    assert_eq!(cause["cause"], "42703@fix.2");
    assert_eq!((&cause["line"], &cause["column"]), (&json!(4), &json!(9)));
    assert_eq!(
        cause["excerpt"],
        json!([{ "line": 3, "text": "DELETE FROM probe" }, { "line": 4, "text": "  WHERE vershion = 1;" }])
    );
    let seen = fleet.fleet(&["failures"]);
    seen.assert_code(0)
        .assert_stdout_has("> 4 │   WHERE vershion = 1;")
        .assert_stdout_has("fleet repair");
}
