//! The end of a run, read by people.

use super::super::{Stepwise, Style, Verbosity, summary};
use super::*;

fn shown(run: &RunSummary) -> String {
    written(|out| summary(out, run, &Stepwise::default(), PLAIN, Verbosity::Normal))
}

#[test]
fn all_good_is_one_line() {
    let mut tenants = many("a", 197, Outcome::Succeeded);
    tenants.extend(many("b", 3, Outcome::UpToDate));
    let run = summary_of(RunOutcome::Succeeded, ExitCode::Done, tenants);
    assert_eq!(
        shown(&run),
        "✓ 200 tenants at V12 in 4.2 s (197 migrated, 3 already there)\n"
    );
}

#[test]
fn nothing_to_do_is_one_line() {
    let run = |n| {
        summary_of(
            RunOutcome::Succeeded,
            ExitCode::Done,
            many("a", n, Outcome::UpToDate),
        )
    };
    assert_eq!(shown(&run(200)), "✓ Nothing to do: 200 tenants at V12\n");
    let mut one = run(1);
    assert_eq!(shown(&one), "✓ Nothing to do: 1 tenant at V12\n");
    one.target = Some(10);
    assert_eq!(shown(&one), "✓ Nothing to do: 1 tenant at V10 or later\n");
    one.target = None;
    assert_eq!(shown(&one), "✓ Nothing to do: the migration set is empty\n");
}

#[test]
fn three_failures_with_one_cause() {
    let mut tenants = many("a", 197, Outcome::Succeeded);
    tenants.extend(["acme", "globex", "initech"].map(|name| failed(name, failure())));
    let run = summary_of(RunOutcome::Failed, ExitCode::TenantsFailed, tenants);
    assert_eq!(
        shown(&run),
        "\
✗ 3 of 200 tenants failed with one cause in 4.2 s (197 migrated)

✗ 3 tenants at V12__unique_email.sql:4: 23505 could not create unique index \"users_email_key\"
  detail     Key (email)=(ann@example.com) is duplicated. (main/acme)
  note       197 tenants have V12__unique_email applied: look at the data of these; an edit of the file would make the others divergent
  tenants    main/acme, main/globex, main/initech

Nothing is half applied: each failed migration was rolled back.

Next:
  fleet failures 20261123-161004-7f3a  the statement, and what usually helps
  fleet resume 20261123-161004-7f3a    when the cause is mended; tenants that are done are not touched again
"
    );
}

#[test]
fn two_causes_and_refused_tenants() {
    let run = summary_of(
        RunOutcome::Failed,
        ExitCode::TenantsFailed,
        vec![
            failed("acme", lock_timeout()),
            failed("bolt", failure()),
            failed("cyan", failure()),
            because(
                "dune",
                Outcome::Skipped,
                "12 relations but no history table",
            ),
        ],
    );
    assert_eq!(
        shown(&run),
        "\
✗ 3 of 4 tenants failed with 2 causes, 1 skipped, in 4.2 s

✗ 2 tenants at V12__unique_email.sql:4: 23505 could not create unique index \"users_email_key\"
  detail     Key (email)=(ann@example.com) is duplicated. (main/bolt)
  note       no tenant of this run has V12__unique_email applied; tenants outside of it may
  tenants    main/bolt, main/cyan
✗ 1 tenant at V11__orders.sql:2: 55P03 canceling statement due to lock timeout
  blocked by pid 4711, psql, idle in transaction for 2 h
  tenants    main/acme

- 1 tenant skipped: 12 relations but no history table
  tenants    main/dune

Nothing is half applied: each failed migration was rolled back.

Next:
  fleet failures 20261123-161004-7f3a  the statement, and what usually helps
  fleet resume 20261123-161004-7f3a    when the cause is mended; tenants that are done are not touched again
"
    );
}

#[test]
fn only_refused_tenants() {
    let mut tenants = many("a", 2, Outcome::Succeeded);
    tenants.push(because("dune", Outcome::Skipped, "the file is missing: V3"));
    let run = summary_of(RunOutcome::Failed, ExitCode::Divergent, tenants);
    assert_eq!(
        shown(&run),
        "\
✗ 1 of 3 tenants skipped in 4.2 s (2 migrated)

- 1 tenant skipped: the file is missing: V3
  tenants    main/dune

Next:
  fleet status  where every tenant is, and what to do about these
"
    );
}

#[test]
fn an_interrupted_run_says_what_is_left_and_claims_nothing() {
    let mut tenants = many("a", 120, Outcome::Succeeded);
    tenants.push(because("b", Outcome::Interrupted, "canceled on request"));
    for n in 1..=79 {
        let name = format!("c{n:02}");
        tenants.push(because(&name, Outcome::Skipped, "not begun"));
    }
    let run = summary_of(RunOutcome::Interrupted, ExitCode::Interrupted, tenants);
    assert_eq!(
        shown(&run),
        "\
! Interrupted after 4.2 s: 120 of 200 tenants done, 80 left

- 79 tenants skipped: not begun
  tenants    main/c01, main/c02, main/c03, main/c04, main/c05, main/c06,
             main/c07, main/c08, main/c09, main/c10 and 69 more
- 1 tenant interrupted: canceled on request
  tenants    main/b

It is safe to resume: fleet reads each tenant's history first and carries on from what it says.

Next:
  fleet resume 20261123-161004-7f3a  carries on; tenants that are done are not touched again
"
    );
}

#[test]
fn a_run_that_had_to_end_says_so_and_how_to_carry_on() {
    let mut tenants = many("a", 2, Outcome::Succeeded);
    tenants.push(because("b", Outcome::Skipped, "not attempted: no time"));
    let run = summary_of(RunOutcome::Interrupted, ExitCode::Deadline, tenants);
    assert_eq!(
        shown(&run),
        "\
! Deadline reached after 4.2 s: 2 of 3 tenants done, 1 left

- 1 tenant skipped: not attempted: no time
  tenants    main/b

Next:
  fleet resume 20261123-161004-7f3a  carries on; tenants that are done are not touched again
"
    );
}

#[test]
fn a_lost_connection_or_a_stepwise_migration_is_not_called_rolled_back() {
    let mut lost = failure();
    lost.sqlstate = None;
    lost.message = "connection closed".to_owned();
    let one = |failure| {
        let tenants = vec![failed("acme", failure)];
        summary_of(RunOutcome::Failed, ExitCode::TenantsFailed, tenants)
    };
    assert!(!shown(&one(lost)).contains("Nothing is half applied"));
    let unreachable = Failure::new(FailureClass::Transient, "connection refused");
    assert!(shown(&one(unreachable)).contains("\nIt is safe to resume: "));
    let absent = Failure::new(FailureClass::Permanent, "the schema does not exist");
    assert!(shown(&one(absent)).contains("\nNothing is half applied.\n"));

    let steps = migration("V12__unique_email", TransactionMode::NonTransactional);
    let stepwise = Stepwise::of(&MigrationSet::new(Path::new("m"), vec![steps]));
    let text = written(|out| summary(out, &one(failure()), &stepwise, PLAIN, Verbosity::Normal));
    assert!(text.contains("V12__unique_email runs outside a transaction: what came before"));
    assert!(!text.contains("Nothing is half applied"));
}

#[test]
fn transient_causes_may_be_tried_again_as_they_are() {
    let tenants = vec![failed("acme", lock_timeout())];
    let run = summary_of(RunOutcome::Failed, ExitCode::TenantsFailed, tenants);
    assert!(shown(&run).contains("may succeed as it is"));
}

#[test]
fn two_thousand_causes_do_not_scroll_away() {
    let tenants = (0..2_000)
        .map(|n| {
            let text = format!("odd one {n} {}", "x".repeat(10_000));
            failed(
                &format!("t{n:04}"),
                Failure::new(FailureClass::Permanent, text),
            )
        })
        .collect();
    let run = summary_of(RunOutcome::Halted, ExitCode::Halted, tenants);
    let text = shown(&run);
    assert!(
        text.starts_with("✗ Halted after 4.2 s: 2000 of 2000 tenants failed with 2000 causes\n")
    );
    assert!(text.contains("… and 1990 tenants with 1990 other causes\n"));
    assert!(text.lines().count() < 40);
    assert!(text.len() < 10_000);
}

#[test]
fn colour_adds_nothing_but_colour() {
    let tenants = vec![failed("acme", failure()), result("b", Outcome::Succeeded)];
    let run = summary_of(RunOutcome::Failed, ExitCode::TenantsFailed, tenants);
    let color = Style {
        color: true,
        ..PLAIN
    };
    let painted = written(|out| summary(out, &run, &Stepwise::default(), color, Verbosity::Normal));
    assert!(painted.starts_with("\u{1b}[31m✗ 1 of 2 tenants failed with one cause\u{1b}[0m in"));
    assert_eq!(console::strip_ansi_codes(&painted), shown(&run));
}
