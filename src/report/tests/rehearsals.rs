//! Rehearsals, read by people.

use std::num::NonZeroUsize;

use super::super::{Verbosity, rehearsal};
use super::*;
use crate::rollout::{Rehearsal, RehearsalStop, RunForecast, Sample};
use crate::run::{
    LockMode, MigrationStem, NotRehearsed, NotRehearsedCause, RehearsalOutcome, RehearsedMigration,
    StopSignal, TableLock, TenantRehearsal,
};

fn stem(version: Version) -> MigrationStem {
    MigrationStem::of(set().get(version).unwrap())
}

fn lock(table: &str, mode: LockMode, held_ms: u64) -> TableLock {
    TableLock {
        table: table.into(),
        mode,
        held: Duration::from_millis(held_ms),
    }
}

fn went_through(schema: &str, held_ms: u64) -> TenantRehearsal {
    TenantRehearsal {
        duration: Duration::from_millis(held_ms),
        migrations: vec![RehearsedMigration {
            migration: stem(11),
            duration: Duration::from_millis(held_ms),
            locks: vec![
                lock("orders", LockMode::AccessExclusive, held_ms),
                lock("public.rates", LockMode::RowExclusive, 1),
            ],
        }],
        not_rehearsed: vec![NotRehearsed {
            migration: stem(12),
            cause: NotRehearsedCause::NonTransactional,
        }],
        ..TenantRehearsal::new(tenant(schema), Some(10), RehearsalOutcome::WouldSucceed)
    }
}

fn would_fail(schema: &str) -> TenantRehearsal {
    TenantRehearsal {
        failure: Some(failure()),
        ..TenantRehearsal::new(tenant(schema), Some(11), RehearsalOutcome::WouldFail)
    }
}

fn whole(tenants: Vec<TenantRehearsal>) -> Rehearsal {
    Rehearsal {
        target: Some(12),
        head: Some(12),
        tenants,
        sample: None,
        stopped: None,
        forecast: None,
        waves: Vec::new(),
        duration: Duration::from_millis(4_200),
    }
}

#[test]
fn what_would_fail_comes_first_and_what_is_not_known_is_said() {
    let busy = TenantRehearsal {
        failure: Some(lock_timeout()),
        ..TenantRehearsal::new(tenant("d"), Some(10), RehearsalOutcome::Busy)
    };
    let refused = TenantRehearsal {
        reason: Some("3 relations but no history (restore it)".to_owned()),
        ..TenantRehearsal::new(tenant("e"), None, RehearsalOutcome::Refused)
    };
    let sampled = Rehearsal {
        sample: Some(Sample {
            seed: 7,
            left_out: 40,
        }),
        waves: Vec::new(),
        forecast: Some(RunForecast {
            wall: Duration::from_secs(12),
            at_most: Duration::from_secs(48),
            at_a_time: NonZeroUsize::new(8).unwrap(),
            measured: 3,
            supposed: 41,
        }),
        ..whole(vec![
            went_through("a", 12),
            went_through("b", 900),
            would_fail("c"),
            busy,
            refused,
        ])
    };
    let text = written(|out| rehearsal(out, &sampled, PLAIN, Verbosity::Normal));
    assert_eq!(
        text,
        "\
✗ 1 of 4 tenants would fail with one cause (2 would succeed, 1 busy, 1 refused, 40 not in the sample of seed 7); rehearsed in 4.2 s

✗ 1 tenant at V12__unique_email.sql:4: 23505 could not create unique index \"users_email_key\"
  detail     Key (email)=(ann@example.com) is duplicated.
  note       no tenant got past V12__unique_email
  tenants    main/c

- 1 tenant busy: 55P03 canceling statement due to lock timeout
  blocked by pid 4711, psql, idle in transaction for 2 h
  tenants    main/d

✗ 1 tenant refused
  main/e  3 relations but no history (restore it)

- Not rehearsed
  V12__unique_email in 2 tenants: it runs without a transaction

MIGRATION    TABLE   LOCK              BLOCKS            TENANTS  MEDIAN  WORST   WHERE
V11__orders  orders  ACCESS EXCLUSIVE  reads and writes  2        12 ms   900 ms  main/b

A run would take about 12 s with 8 tenants at a time, or up to 48 s where they slow each other down (by 3 tenants, and 41 others taken for the one in the middle), without what was not rehearsed.

Everything was rolled back. Sequences have moved on, and dead rows stay until the next vacuum.

Next:
  fleet rehearse  again, when the cause is mended
"
    );
}

#[test]
fn all_is_well_in_a_few_lines() {
    let mut fine = whole(vec![went_through("a", 12)]);
    fine.tenants[0].not_rehearsed.clear();
    fine.tenants[0].migrations[0].locks.remove(0);
    let text = written(|out| rehearsal(out, &fine, PLAIN, Verbosity::Normal));
    assert_eq!(
        text,
        "\
✓ 1 tenant would reach V12; rehearsed in 4.2 s

No table is locked against those who read or write.

Everything was rolled back. Sequences have moved on, and dead rows stay until the next vacuum.

Next:
  fleet migrate  does it
"
    );
    let verbose = written(|out| rehearsal(out, &fine, PLAIN, Verbosity::Verbose));
    assert!(verbose.contains("public.rates  ROW EXCLUSIVE"), "{verbose}");
}

#[test]
fn a_stop_is_said_with_how_far_it_came() {
    let mut stopped = whole(vec![went_through("a", 12), would_fail("b")]);
    stopped.tenants.push(TenantRehearsal {
        not_rehearsed: vec![NotRehearsed {
            migration: stem(12),
            cause: NotRehearsedCause::Stopped,
        }],
        ..TenantRehearsal::new(tenant("c"), Some(11), RehearsalOutcome::NotRehearsed)
    });
    stopped.stopped = Some(RehearsalStop::Signal(StopSignal::Terminate));
    let text = written(|out| rehearsal(out, &stopped, PLAIN, Verbosity::Normal));
    assert!(
        text.starts_with(
            "! Terminated after 4.2 s: 2 of 3 tenants rehearsed (1 would succeed, 1 not rehearsed)\n"
        ),
        "{text}"
    );
    assert!(
        text.contains("\n✗ 1 tenant at V12__unique_email.sql:4"),
        "{text}"
    );
}

#[test]
fn hostile_names_stay_harmless() {
    let mut hostile = whole(vec![went_through("a", 12)]);
    hostile.tenants[0].migrations[0].locks = vec![lock("a\u{1b}[2J", LockMode::Share, 1)];
    let text = written(|out| rehearsal(out, &hostile, PLAIN, Verbosity::Normal));
    assert!(!text.contains('\u{1b}'), "{text:?}");
}
