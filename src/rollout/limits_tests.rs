use std::num::NonZeroUsize;

use super::*;
use crate::rollout::policy::DatabaseLimits;

fn limits(pace: Pace, lock_waits: u32) -> Limits {
    let eight = NonZeroUsize::new(8).unwrap();
    let of_one = DatabaseLimits {
        tenants: eight,
        index_builds: NonZeroUsize::MIN,
    };
    let mut limits = Limits::new(Concurrency {
        fleet: eight,
        pace,
        throttle: ThrottleLimits {
            lock_waits,
            ..ThrottleLimits::NONE
        },
        databases: [(main(), of_one)].into(),
    });
    limits.add(&main());
    limits
}

fn main() -> DatabaseName {
    DatabaseName::new("main")
}

fn seen(lock_waits: u64) -> Pressure {
    Pressure {
        slots: 100,
        free_slots: 90,
        workers: 1,
        lock_waits,
        ..Pressure::default()
    }
}

#[test]
fn nothing_is_started_before_the_first_look_or_until_it_takes_too_long() {
    let mut unwatched = limits(Pace::Fixed, 0);
    assert_eq!(unwatched.tenants(&main()), 8);
    assert_eq!(unwatched.next_change(), None);
    unwatched.rise(Instant::now());

    let mut late = limits(Pace::Fixed, 10);
    assert_eq!((late.tenants(&main()), late.prospect(&main())), (0, 8));
    let due = late.next_change().unwrap();
    late.rise(due);
    assert_eq!(late.tenants(&main()), 8);

    let mut failed = limits(Pace::Fixed, 10);
    assert!(failed.looked(&main(), None, Instant::now()).is_empty());
    assert_eq!(failed.tenants(&main()), 8);
}

#[test]
fn a_look_has_a_connection_of_its_own_or_waits_for_one() {
    let mut limits = limits(Pace::Fixed, 10);
    let now = Instant::now();
    limits.looked(&main(), Some(&seen(0)), now);
    assert!(!limits.begin_look(&main(), 8));
    assert_eq!(limits.tenants(&main()), 8);
    assert!(limits.begin_look(&main(), 7));
    assert_eq!(limits.tenants(&main()), 7);
    limits.looked(&main(), None, now);
    assert_eq!(limits.tenants(&main()), 8);
}

#[test]
fn the_lowest_of_all_limits_counts() {
    let mut limits = limits(Pace::Fixed, 10);
    let now = Instant::now();
    limits.looked(&main(), Some(&seen(0)), now);
    assert_eq!(limits.tenants(&main()), 8);
    limits.shrink(&main(), 5, now);
    assert_eq!(limits.tenants(&main()), 5);
    limits.looked(&main(), Some(&seen(11)), now);
    assert_eq!(limits.tenants(&main()), 2);
    assert_eq!(limits.ahead(&main()), 4);
    limits.rise(now + Duration::from_mins(1));
    assert_eq!(limits.tenants(&main()), 2);
    limits.stop();
    assert_eq!(limits.tenants(&main()), 8, "a stop is not held up");
}

#[test]
fn auto_keeps_to_what_is_free_beside_the_application_s_share() {
    let mut limits = limits(Pace::Auto, 0);
    let now = Instant::now();
    let few = Pressure {
        free_slots: 12,
        ..seen(0)
    };
    // 1 + 12 less a tenth of 100
    assert!(limits.looked(&main(), Some(&few), now).is_empty());
    assert_eq!(limits.tenants(&main()), 2);
    let fewer = Pressure {
        free_slots: 0,
        ..seen(0)
    };
    let change = limits.looked(&main(), Some(&fewer), now);
    let reason = PaceReason::FreeConnections;
    assert_eq!(change, [PaceChange::Found { tenants: 1, reason }]);
    let of_role = Pressure {
        free_for_role: Some(2),
        ..seen(0)
    };
    assert_eq!(available(&of_role), 3);
    assert_eq!(available(&seen(0)), 81);
}

#[test]
fn auto_steps_back_when_it_is_in_the_way_of_others() {
    let mut limits = limits(Pace::Auto, 0);
    let now = Instant::now();
    let blocking = Pressure {
        behind_fleet: 2,
        ..seen(2)
    };
    let change = limits.looked(&main(), Some(&blocking), now);
    let reason = PaceReason::LockWaits;
    assert_eq!(change, [PaceChange::Found { tenants: 1, reason }]);
}
