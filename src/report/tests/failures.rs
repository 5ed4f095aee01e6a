//! The failures of a run by cause, read by people.

use std::collections::HashSet;

use super::super::{Known, Verbosity, causes, failures, tenant_words};
use super::ledger::detail;
use super::*;
use crate::migration::{MigrationSet, Version};

/// What is known of the tenants by now.
fn known(versions: &[(&str, Version)]) -> Known {
    let known = versions.iter();
    Known {
        versions: known.map(|(schema, now)| (tenant(schema), *now)).collect(),
        unlike: HashSet::new(),
    }
}

/// A set in which V12 is this text.
fn files(text: &str) -> MigrationSet {
    let mut migration = migration("V12__unique_email", TransactionMode::Transactional);
    migration.body = text.into();
    MigrationSet::new(Path::new("m"), vec![migration])
}

#[test]
fn a_cause_has_all_that_helps_to_mend_it() {
    let files = files("SELECT 1;\n\nCREATE UNIQUE INDEX i\n  ON users\n  (email);\n");
    let mut detail = detail();
    detail.run.set_fingerprint = files.fingerprint().to_owned();
    for (attempt, column) in detail.failed_attempts.iter_mut().zip([0, 0, 6]) {
        let failure = attempt.failure.as_mut().unwrap();
        failure.column = (column > 0).then_some(column);
        failure.statement = Some(2);
    }
    // a run that goes on: e waits for another attempt
    let mut waiting = detail.failed_attempts[0].clone();
    waiting.tenant = tenant("e");
    detail.failed_attempts.push(waiting);
    let causes = causes(&detail, &known(&[("c", 12), ("d", 12)]), Ok(&files));
    assert_eq!(
        written(|out| failures(out, &detail.run, &causes, PLAIN, Verbosity::Normal)),
        "\
Run 20261123-161004-7f3a (migrate, failed): 3 of 5 tenants failed or were stopped, with 3 causes

✗ 1 tenant at V12__unique_email.sql:4: 23505 could not create unique index \"users_email_key\"
  cause      23505@V12.2
               3 │ CREATE UNIQUE INDEX i
             > 4 │   ON users
                 │      ^
               5 │   (email);
  detail     Key (email)=(ann@example.com) is duplicated.
  helps      find the rows that share a key in these tenants (SELECT … GROUP BY
             … HAVING count(*) > 1), merge or delete them, then resume
  note       no tenant of this run has V12__unique_email applied; 1 of these has got past it since
  tenants    main/c

✗ 1 tenant: the schema does not exist
  cause      message-0a8bd536
  tenants    main/d

✗ 1 tenant at V11__orders.sql:2: 55P03 canceling statement due to lock timeout
  cause      55P03@V11.2
  statement  2, which is not shown: the file is not among the migrations any more
  blocked by pid 4711, psql, idle in transaction for 2 h
  helps      resume when it is quieter; end or shorten what holds the lock, or
             raise execution.lock_timeout with care: whoever comes after a
             waiting ALTER TABLE waits too
  note       1 of these was stopped before another attempt
  tenants    main/e

Next:
  fleet failures 20261123-161004-7f3a --tenants-of message-0a8bd536  the tenants of one cause: … | fleet repair --tenants-from - --sql FILE
  fleet resume 20261123-161004-7f3a                                  when all of them are mended
"
    );
}

#[test]
fn the_words_of_a_cause_are_those_of_its_open_tenants() {
    let mut detail = detail();
    detail.tenants[2].tenant = tenant("it's \n c");
    detail.failed_attempts[2].tenant = tenant("it's \n c");
    let files = files("SELECT 1;\n");
    let all = causes(&detail, &known(&[("it's \n c", 11)]), Ok(&files));
    assert_eq!(
        written(|out| tenant_words(out, &all[0])),
        "main/it%27s%20%0A%20c\n"
    );
    let mended = causes(&detail, &known(&[("it's \n c", 12)]), Ok(&files));
    assert_eq!(written(|out| tenant_words(out, &mended[0])), "");
}
