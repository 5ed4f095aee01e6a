//! Who starts next.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::plan::HistorySnapshot;
use crate::rollout::brake::ThrottleLimits;
use crate::rollout::policy::{DatabaseLimits, Pace};
use crate::tenant::{Presence, SchemaName, Tenant, TenantId};

const ANYBODY: Gate<'static> = Gate::OPEN;

pub(in crate::rollout) fn job(database: &str, schema: &str) -> Job {
    Job {
        assignment: Assignment {
            tenant: Tenant {
                id: TenantId {
                    database: DatabaseName::new(database),
                    schema: SchemaName::parse(schema).unwrap(),
                },
                labels: Arc::default(),
                presence: Presence::Present,
            },
            history: HistorySnapshot::NoTable { relations: 0 },
            knowledge: Knowledge::Planned,
            pending: Arc::from([1]),
            target: None,
            attempt: 1,
            task: Task::Migrate,
            has_turn: false,
            checks_leaks: false,
        },
        applied: Applied::default(),
        spent: Duration::ZERO,
        worked: Duration::ZERO,
        expected: None,
        last_failure: None,
        is_claimed: false,
        recorded: Recorded::default(),
        ticket: Ticket::default(),
    }
}

fn queue(fleet: usize, each: usize, jobs: Vec<Job>) -> Queue {
    let limits = DatabaseLimits {
        tenants: NonZeroUsize::new(each).unwrap(),
        index_builds: NonZeroUsize::MIN,
    };
    let databases = ["a", "b"]
        .map(|name| (DatabaseName::new(name), limits))
        .into();
    let concurrency = Concurrency {
        fleet: NonZeroUsize::new(fleet).unwrap(),
        pace: Pace::Fixed,
        throttle: ThrottleLimits::NONE,
        databases,
    };
    let mut queue = Queue::new(concurrency);
    for job in jobs {
        queue.append(job);
    }
    queue
}

fn names(jobs: &[Job]) -> Vec<String> {
    jobs.iter()
        .map(|job| job.assignment.tenant.id.to_string())
        .collect()
}

#[test]
fn databases_take_turns() {
    let mut queue = queue(9, 9, vec![job("a", "1"), job("a", "2"), job("b", "3")]);
    assert_eq!(names(&queue.take_pending(2, &ANYBODY)), ["a/1", "b/3"]);
    assert_eq!(names(&queue.take_pending(9, &ANYBODY)), ["a/2"]);
    assert!(queue.is_empty());
}

#[test]
fn slots_are_bounded_by_database_and_over_the_fleet() {
    let jobs = vec![job("a", "1"), job("a", "2"), job("b", "3"), job("b", "4")];
    let mut queue = queue(3, 1, vec![]);
    queue.add_claimed(jobs);
    let mut started = Vec::new();
    while let Some(job) = queue.start_next(&ANYBODY) {
        started.push(job);
    }
    assert_eq!(started.len(), 2, "one a database: {:?}", names(&started));
    queue.finished(&mut job("a", "1"));
    assert_eq!(names(&[queue.start_next(&ANYBODY).unwrap()]), ["a/2"]);
}

#[test]
fn claimed_tenants_of_a_busy_database_do_not_stand_in_for_those_of_another() {
    let jobs = vec![job("a", "1"), job("b", "2"), job("b", "3")];
    let mut queue = queue(3, 1, jobs);
    queue.add_claimed(vec![job("a", "4"), job("a", "5"), job("a", "6")]);
    assert!(queue.runs_low(&ANYBODY));
    let taken = queue.take_pending(9, &ANYBODY);
    assert_eq!(names(&taken), ["b/2", "b/3"]);
}

#[test]
fn a_waiting_tenant_comes_back_when_it_is_due() {
    let mut queue = queue(1, 1, vec![]);
    let now = Instant::now();
    queue.wait_until(now + Duration::from_secs(5), job("a", "1"));
    queue.promote_due(now);
    assert!(queue.take_pending(1, &ANYBODY).is_empty());
    queue.promote_due(now + Duration::from_secs(5));
    assert_eq!(queue.take_pending(1, &ANYBODY).len(), 1);
}

#[test]
fn a_turn_is_for_one_tenant_of_a_database_and_others_go_on_meanwhile() {
    let mut queue = queue(9, 9, vec![]);
    let jobs = ["1", "2", "3"].map(|name| job("a", name));
    queue.add_claimed(jobs.into());
    let started: Vec<Job> = std::iter::from_fn(|| queue.start_next(&ANYBODY)).collect();
    for mut deferred in started {
        queue.finished(&mut deferred);
        queue.defer(deferred);
    }
    queue.add_claimed(vec![job("a", "4")]);

    let mut started: Vec<Job> = std::iter::from_fn(|| queue.start_next(&ANYBODY)).collect();
    assert_eq!(names(&started), ["a/1", "a/4"]);
    let turns: Vec<bool> = started.iter().map(|job| job.assignment.has_turn).collect();
    assert_eq!(turns, [true, false]);
    queue.finished(&mut started[0]);
    assert_eq!(names(&[queue.start_next(&ANYBODY).unwrap()]), ["a/2"]);
    assert!(queue.start_next(&ANYBODY).is_none());
}

#[test]
fn tenants_that_have_had_the_turn_go_on_when_all_builds_are_done() {
    let mut queue = queue(9, 9, vec![]);
    let start_all = |queue: &mut Queue| -> Vec<Job> {
        std::iter::from_fn(|| queue.start_next(&ANYBODY)).collect()
    };
    for name in ["1", "2", "3"] {
        queue.defer(job("a", name));
    }
    for build in ["a/1", "a/2", "a/3"] {
        let mut started = start_all(&mut queue);
        assert_eq!(names(&started), [build]);
        queue.finished(&mut started[0]);
        queue.go_on(started.remove(0), false);
    }
    let started = start_all(&mut queue);
    assert_eq!(names(&started), ["a/1", "a/2", "a/3"]);
    assert!(started.iter().all(|job| !job.assignment.has_turn));
    assert!(queue.is_empty());
}

#[test]
fn nothing_starts_in_a_closed_database_and_few_after_it_was_opened() {
    let jobs = ["1", "2", "3", "4", "5"].map(|name| job("a", name));
    let mut queue = queue(9, 9, vec![]);
    queue.add_claimed(jobs.into());
    let database = DatabaseName::new("a");
    queue.close_database(&database);
    assert!(queue.start_next(&ANYBODY).is_none());
    let now = Instant::now();
    queue.open_database(&database, now);
    assert_eq!(std::iter::from_fn(|| queue.start_next(&ANYBODY)).count(), 1);
    queue.promote_due(queue.next_due().unwrap());
    assert_eq!(std::iter::from_fn(|| queue.start_next(&ANYBODY)).count(), 1);
    queue.promote_due(now + Duration::from_mins(1));
    assert_eq!(std::iter::from_fn(|| queue.start_next(&ANYBODY)).count(), 3);
}

#[test]
fn a_stop_keeps_only_what_is_in_doubt() {
    let mut doubtful = job("a", "1");
    doubtful.assignment.knowledge = Knowledge::InDoubt;
    let mut queue = queue(9, 9, vec![job("a", "2")]);
    queue.wait_until(Instant::now(), doubtful);
    assert_eq!(names(&queue.keep_in_doubt()), ["a/2"]);
    assert_eq!(
        queue.start_next(&ANYBODY).unwrap().assignment.task,
        Task::Settle
    );
}
