//! Whether a failure tells of a bad migration or of an odd tenant: the same SQLSTATE at the same statement
//! nearly everywhere is the file's fault, on a few among many it is theirs.

use std::collections::HashMap;

use crate::run::{BadMigration, Failure};

/// Of those that tried a statement, at least one in so many must get past it.
const ONE_IN: u64 = 10;

/// What each migration has done to the tenants of a run so far.
#[derive(Clone, Debug, Default)]
pub struct Blame {
    migrations: HashMap<String, Tried>,
}

/// How it went with one migration.
#[derive(Clone, Debug, Default)]
struct Tried {
    passed: u64,
    failed: HashMap<Fault, u64>,
}

/// Where in a file, and with what. The place that is not known is the first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Fault {
    statement: u32,
    sqlstate: String,
}

impl Blame {
    /// A tenant has these migrations applied.
    pub fn passed(&mut self, stems: &[String]) {
        for stem in stems {
            self.migrations.entry(stem.clone()).or_default().passed += 1;
        }
    }

    /// A tenant has failed for good. Answers the migration that seems to be bad, once `same` tenants have
    /// failed in the same way. 0: never.
    pub fn failed(&mut self, failure: &Failure, same: u32) -> Option<BadMigration> {
        let (stem, sqlstate) = (failure.migration.as_ref()?, failure.sqlstate.as_ref()?);
        let tried = self.migrations.entry(stem.clone()).or_default();
        let fault = Fault {
            statement: failure.statement.unwrap_or_default(),
            sqlstate: sqlstate.clone(),
        };
        let here = fault.statement;
        let failed = tried.failed.entry(fault).or_default();
        *failed += 1;
        let failed = *failed;
        let at = |reaches: fn(u32, u32) -> bool| -> u64 {
            let faults = tried.failed.iter();
            let reached = faults.filter(|(fault, _)| reaches(fault.statement, here));
            reached.map(|(_, count)| count).sum()
        };
        let got_past = tried.passed + at(|there, here| there > here);
        let all = got_past + at(|there, here| there == here);
        let is_bad = same > 0 && failed >= u64::from(same) && got_past * ONE_IN < all;
        is_bad.then(|| BadMigration {
            migration: stem.clone(),
            statement: failure.statement,
            sqlstate: sqlstate.clone(),
            failed,
            tried: all,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::FailureClass;

    fn failure(statement: u32, sqlstate: &str) -> Failure {
        Failure {
            migration: Some("V12__unique_email".to_owned()),
            statement: Some(statement),
            sqlstate: Some(sqlstate.to_owned()),
            ..Failure::new(FailureClass::Permanent, "could not")
        }
    }

    fn pass(blame: &mut Blame, tenants: usize) {
        for _ in 0..tenants {
            blame.passed(&["V12__unique_email".to_owned()]);
        }
    }

    #[test]
    fn the_same_failure_on_three_tenants_where_nobody_passes_is_a_bad_migration() {
        let mut blame = Blame::default();
        assert_eq!(blame.failed(&failure(1, "42601"), 3), None);
        assert_eq!(blame.failed(&failure(1, "42601"), 3), None);
        let bad = blame.failed(&failure(1, "42601"), 3).unwrap();
        assert_eq!((bad.failed, bad.tried, bad.statement), (3, 3, Some(1)));
    }

    #[test]
    fn on_a_few_among_many_it_is_these_tenants() {
        let mut blame = Blame::default();
        pass(&mut blame, 495);
        for _ in 0..5 {
            assert_eq!(blame.failed(&failure(1, "23505"), 3), None);
        }
    }

    #[test]
    fn one_in_ten_that_got_past_it_speaks_for_the_migration() {
        let mut blame = Blame::default();
        pass(&mut blame, 1);
        let verdicts: Vec<bool> = (0..10)
            .map(|_| blame.failed(&failure(1, "23505"), 3).is_some())
            .collect();
        // nine failures beside one that passed are one in ten; the tenth failure makes it fewer
        assert_eq!(verdicts.iter().filter(|is_bad| **is_bad).count(), 1);
        assert!(verdicts[9]);
    }

    #[test]
    fn who_fails_at_a_later_statement_got_past_this_one() {
        let mut blame = Blame::default();
        for _ in 0..3 {
            blame.failed(&failure(2, "23505"), 0);
        }
        for _ in 0..3 {
            assert_eq!(blame.failed(&failure(1, "42601"), 3), None);
        }
    }

    #[test]
    fn different_faults_and_failures_before_any_statement_are_not_added_up() {
        let mut blame = Blame::default();
        for sqlstate in ["42601", "23505", "23503"] {
            assert_eq!(blame.failed(&failure(1, sqlstate), 3), None);
        }
        let lost = Failure::new(FailureClass::Transient, "connection lost");
        for _ in 0..5 {
            assert_eq!(blame.failed(&lost, 3), None);
        }
    }
}
