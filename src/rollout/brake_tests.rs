use super::*;

const LIMITS: ThrottleLimits = ThrottleLimits {
    replica_lag: Duration::from_secs(30),
    active_sessions: SessionLimit::Percent(90.0),
    lock_waits: 10,
};

fn waiting(lock_waits: u64) -> Pressure {
    Pressure {
        slots: 100,
        lock_waits,
        ..Pressure::default()
    }
}

/// What comes of looks that are a second apart: how many at a time, None where it is off.
fn tenants(looks: &[u64], free: usize) -> Vec<Option<usize>> {
    let mut brake = Brake::new(LIMITS);
    let mut now = Instant::now();
    looks
        .iter()
        .map(|lock_waits| {
            now += Duration::from_secs(1);
            brake.look(&waiting(*lock_waits), free, now);
            brake.tenants()
        })
        .collect()
}

#[test]
fn half_as_many_with_each_look_then_none_then_slowly_all() {
    let some = |numbers: &[usize]| numbers.iter().copied().map(Some).collect::<Vec<_>>();
    assert_eq!(tenants(&[10, 10], 8), [None, None]);
    assert_eq!(tenants(&[11; 6], 8), some(&[4, 2, 1, 0, 0, 0]));
    let eased = tenants(&[11, 11, 11, 11, 0, 0, 0, 0], 8);
    assert_eq!(eased[3..7], some(&[0, 1, 2, 4]));
    assert_eq!(eased[7], None);
    assert_eq!(tenants(&[11, 11], 1), some(&[1, 0]));
    // nothing was started yet
    assert_eq!(tenants(&[11], 0), some(&[0]));
}

#[test]
fn just_under_the_limit_is_no_reason_to_start_more() {
    let seen = tenants(&[11, 11, 9, 9, 8], 8);
    assert_eq!(seen, [4, 2, 2, 2, 4].map(Some));
}

#[test]
fn the_worst_of_several_measures_is_the_reason() {
    let mut brake = Brake::new(LIMITS);
    let seen = Pressure {
        active_sessions: 91,
        replica_lag: Some(Duration::from_secs(90)),
        ..waiting(11)
    };
    let Some(PaceChange::Throttled { reason, .. }) = brake.look(&seen, 8, Instant::now()) else {
        panic!("not throttled");
    };
    assert_eq!(reason.measure, Measure::ReplicaLagMs);
    assert_eq!((reason.value, reason.limit), (90_000, 30_000));
    let seen = Pressure {
        active_sessions: 91,
        ..waiting(0)
    };
    let worst = LIMITS.worst(&seen).unwrap();
    assert_eq!((worst.measure, worst.limit), (Measure::ActiveSessions, 90));
}

#[test]
fn the_end_of_a_run_is_the_end_of_easing_and_not_of_a_pause() {
    let mut brake = Brake::new(LIMITS);
    let now = Instant::now();
    brake.look(&waiting(11), 0, now);
    assert_eq!(brake.let_go(now), None);
    brake.look(&waiting(0), 8, now);
    let after = Duration::from_secs(1);
    let released = brake.let_go(now + after);
    assert_eq!(released, Some(PaceChange::Released { after }));
}

#[test]
fn a_limit_that_is_off_brakes_nothing() {
    let mut brake = Brake::new(ThrottleLimits::NONE);
    let seen = Pressure {
        active_sessions: 1000,
        replica_lag: Some(Duration::from_hours(1)),
        ..waiting(1000)
    };
    assert_eq!(brake.look(&seen, 8, Instant::now()), None);
}

#[test]
fn what_is_not_seen_is_told_only_where_it_has_a_limit() {
    let seen = Pressure {
        unseen: crate::migrator::Unseen {
            sessions: true,
            replicas: true,
        },
        ..waiting(0)
    };
    let both = [Measure::ReplicaLagMs, Measure::ActiveSessions];
    assert_eq!(LIMITS.unseen(&seen), both);
    assert!(ThrottleLimits::NONE.unseen(&seen).is_empty());
}

#[test]
fn the_time_is_counted_by_reason() {
    let mut brake = Brake::new(LIMITS);
    let begin = Instant::now();
    let second = |n| begin + Duration::from_secs(n);
    brake.look(&waiting(11), 8, second(0));
    brake.look(&waiting(40), 8, second(10));
    let lagging = Pressure {
        replica_lag: Some(Duration::from_secs(45)),
        ..waiting(0)
    };
    brake.look(&lagging, 8, second(11));
    for look in 12..20 {
        brake.look(&waiting(0), 8, second(look));
    }
    let spent: Vec<_> = brake
        .spent(second(60))
        .iter()
        .map(|(worst, lasted)| (worst.measure, worst.value, lasted.as_secs()))
        .collect();
    assert_eq!(
        spent,
        [
            (Measure::LockWaits, 40, 11),
            (Measure::ReplicaLagMs, 45_000, 3)
        ]
    );
}
