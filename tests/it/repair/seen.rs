//! A repair as somebody reads it.

use serde_json::Value;

use super::{head, with_bad_rows};
use crate::support::steady_text as steady;

#[test]
fn what_somebody_sees_of_a_repair() {
    let (_db, fleet) = with_bad_rows(12, &["tenant_0003", "tenant_0011"]);
    fleet.fleet(&["migrate"]).assert_code(4);
    fleet.write_file("wrong.sql", "DELETE FROM\n  prob;\n");
    let repair = |file: &str| {
        let reason = "doubled by the import";
        let arguments = ["repair", "*03", "*11", "--sql", file, "--reason", reason];
        steady(&fleet.fleet(&arguments).stdout)
    };
    assert_eq!(
        repair("wrong.sql"),
        "✗ 2 of 2 tenants failed with one cause in TIME\n\
         \n\
         ✗ 2 tenants at wrong.sql:2: 42P01 relation \"prob\" does not exist\n\
         \x20 tenants    main/tenant_0003, main/tenant_0011\n\
         \n\
         Nothing is half applied: each failed migration was rolled back.\n\
         \n\
         Next:\n\
         \x20 fleet failures RUN  the statement, and what usually helps\n\
         \x20 fleet status                         where every tenant is, and what is left to do\n"
    );
    assert_eq!(
        repair("fix.sql"),
        "✓ 2 tenants repaired, and at V2 (TIME)\n"
    );
    let shown = steady(&fleet.fleet(&["show"]).stdout);
    let (head, acts) = shown.split_once("  reason     ").expect("a reason");
    assert!(head.contains("  command    repair\n"), "{head}");
    assert_eq!(
        acts.split_once("sha256 ").map(|(before, _)| before),
        Some("doubled by the import\n  fix        fix.sql (220 bytes, ")
    );
    let acts = acts.split_once(")\n").map(|(_, after)| after);
    assert_eq!(
        acts,
        Some(
            "             -- the import of May has doubled them\n\
             \x20            DELETE FROM probe a USING probe b WHERE a.version = b.version AND a.ctid > b.ctid;\n\
             \x20            CREATE TABLE IF NOT EXISTS fixed (at timestamptz DEFAULT now());\n\
             \x20            INSERT INTO fixed DEFAULT VALUES;\n\
             \n\
             Acts:\n\
             \x20 WHEN  main/tenant_0003 repair V2: done\n\
             \x20 WHEN  main/tenant_0011 repair V2: done\n"
        )
    );
}

#[test]
fn the_tenants_of_a_cause_are_piped_into_a_repair() {
    let (db, fleet) = with_bad_rows(6, &["tenant_0002", "tenant_0005"]);
    fleet.json(&["migrate"], 4);
    let causes = fleet.json(&["failures"], 0);
    let cause = causes["failures"][0]["cause"].as_str().expect("a name");
    let tenants = fleet.fleet(&["failures", "--tenants-of", cause]).stdout;
    fleet.write_file("tenants.txt", &tenants);

    let run = fleet.json(
        &[
            "repair",
            "--tenants-from",
            "tenants.txt",
            "--sql",
            "fix.sql",
        ],
        0,
    );

    assert_eq!(run["totals"]["succeeded"], 2);
    assert_eq!(head(&db, "tenant_0005"), 2);
    fleet.json(&["resume"], 0);
}

#[test]
fn a_fix_that_is_bad_for_all_is_not_tried_in_all() {
    let (_db, fleet) = with_bad_rows(12, &[]);
    let fleet = fleet.set("execution.concurrency", 1);
    fleet.write_file("a fix.sql", "DELETE FROM prob;\n");
    let run = fleet.fleet(&["repair", "*", "--sql", "a fix.sql"]);
    run.assert_code(5).assert_stdout_has("halted: ");
    let failures = fleet.json(&["failures"], 0);
    assert_eq!(failures["failures"][0]["count"], Value::from(3));
    let seen = fleet.fleet(&["failures"]);
    seen.assert_code(0).assert_stdout_has("a fix.sql:1");
    assert!(!seen.stdout.contains("fleet resume"), "{seen}");
}
