//! A model server tells what the governor makes of it: it does as many tenants at a time at full speed as it has
//! room for, beyond that all of them become slower.

#![expect(clippy::cast_precision_loss, reason = "a few tenants at a time")]

use proptest::prelude::*;

use super::*;

/// All tenants are alike to the governor.
const EACH: Option<Duration> = Some(Duration::from_millis(1));

/// A server that is asked for one tenant after the other.
struct Model {
    /// How long a tenant takes where there is room.
    each: Duration,
    /// How many there is room for.
    room: usize,
    /// How much slower all become for each one beyond that, beside sharing the room.
    harm: f64,
    /// What a new connection costs.
    connecting: Duration,
    /// How much slower all become with each tenant that is done.
    tiring: f64,
}

struct Outcome {
    took: Duration,
    tenants: usize,
    numbers: Vec<usize>,
}

impl Model {
    fn new(each_ms: u64, room: usize) -> Self {
        Self {
            each: Duration::from_millis(each_ms),
            room,
            harm: 0.0,
            connecting: Duration::from_millis(10),
            tiring: 0.0,
        }
    }

    /// How fast each of so many tenants gets on, beside being alone.
    fn speed(&self, in_flight: usize) -> f64 {
        let beyond = in_flight.saturating_sub(self.room) as f64;
        (self.room as f64 / in_flight as f64).min(1.0) / (1.0 + beyond * self.harm)
    }

    /// Runs a fleet through. `at_a_time`: a fixed number instead of the governor's.
    fn run(&self, fleet: u32, ceiling: usize, at_a_time: Option<usize>) -> Outcome {
        let mut random = fastrand::Rng::with_seed(7);
        let begin = Instant::now();
        let mut now = begin;
        let mut governor = Governor::new(ceiling, now);
        // what is left to do for each, in seconds of its own
        let mut running: Vec<(f64, Ticket)> = Vec::new();
        let (mut started, mut connections) = (0_u32, 0);
        let mut numbers = vec![governor.tenants()];
        while started < fleet || !running.is_empty() {
            let limit = at_a_time.unwrap_or(governor.tenants());
            assert!((1..=ceiling).contains(&limit));
            while started < fleet && running.len() < limit {
                let tired = 1.0 + self.tiring * f64::from(started);
                let mut work = self.each.mul_f64((0.8 + 0.4 * random.f64()) * tired);
                if running.len() >= connections {
                    connections += 1;
                    work += self.connecting;
                }
                running.push((work.as_secs_f64(), governor.started()));
                started += 1;
            }
            let speed = self.speed(running.len());
            let next = (0..running.len()).min_by(|a, b| running[*a].0.total_cmp(&running[*b].0));
            let (work, ticket) = running.swap_remove(next.unwrap());
            for (left, _) in &mut running {
                *left -= work;
            }
            now += Duration::from_secs_f64(work / speed);
            if governor.finished(ticket, EACH, now).is_some() {
                numbers.push(governor.tenants());
            }
        }
        Outcome {
            took: now - begin,
            tenants: governor.tenants(),
            numbers,
        }
    }

    /// How long it takes beside the best fixed number.
    fn ratio(&self, fleet: u32, ceiling: usize) -> f64 {
        let best = (1..=ceiling).map(|fixed| self.run(fleet, ceiling, Some(fixed)).took);
        let best = best.min().unwrap();
        self.run(fleet, ceiling, None).took.as_secs_f64() / best.as_secs_f64()
    }
}

#[test]
fn a_fleet_of_quick_tenants_is_soon_at_the_ceiling() {
    let model = Model::new(1, 100);
    let outcome = model.run(200, 8, None);
    assert_eq!(outcome.numbers[..3], [2, 4, 8], "{:?}", outcome.numbers);
    let ratio = model.ratio(200, 8);
    assert!(ratio < 1.7, "{ratio}");
    assert!(model.ratio(2_000, 8) < 1.1);
}

#[test]
fn a_fleet_of_slow_tenants_is_too() {
    let model = Model::new(10_000, 100);
    assert_eq!(model.run(200, 8, None).tenants, 8);
    let ratio = model.ratio(200, 8);
    assert!(ratio < 1.2, "{ratio}");
    // two hours, one by one
    assert!(Model::new(300_000, 100).ratio(24, 8) < 1.8);
}

#[test]
fn it_stays_near_the_knee() {
    for (each_ms, room) in [(1, 4), (5, 8), (100, 16), (5_000, 8)] {
        let model = Model::new(each_ms, room);
        let outcome = model.run(3_000, 64, None);
        let found = outcome.tenants;
        assert!(
            (room..=room * 3).contains(&found),
            "{each_ms} ms, room for {room}: {found}, {:?}",
            outcome.numbers
        );
        let ratio = model.ratio(3_000, 64);
        assert!(ratio < 1.15, "{each_ms} ms, room for {room}: {ratio}");
    }
}

#[test]
fn it_goes_back_where_more_at_a_time_do_harm() {
    let model = Model {
        harm: 0.2,
        ..Model::new(5, 4)
    };
    let outcome = model.run(5_000, 64, None);
    assert!(outcome.tenants <= 8, "{:?}", outcome.numbers);
    assert!(model.ratio(5_000, 64) < 1.2);
}

#[test]
fn a_server_that_becomes_slower_does_not_keep_it_low() {
    for tiring in [0.02, 0.05] {
        let model = Model {
            tiring,
            ..Model::new(20, 100)
        };
        let outcome = model.run(200, 8, None);
        assert_eq!(outcome.tenants, 8, "{tiring}: {:?}", outcome.numbers);
        let ratio = model.ratio(200, 8);
        assert!(ratio < 1.3, "{tiring}: {ratio}");
    }
}

#[test]
fn there_is_one_more_trial_from_time_to_time() {
    let begin = Instant::now();
    let mut governor = Governor::new(64, begin);
    let mut now = begin;
    governor.stay(PaceReason::NoGain, now);
    let mut numbers = Vec::new();
    for _ in 0..2_000 {
        let ticket = governor.started();
        now += Duration::from_millis(10);
        if governor.finished(ticket, EACH, now).is_some() {
            numbers.push(governor.tenants());
        }
    }
    // however many at a time, a tenant finishes every 10 ms
    assert!(numbers.len() >= 4, "{numbers:?}");
    assert!(numbers.chunks(2).all(|pair| pair[0] == 3), "{numbers:?}");
    assert!(
        numbers.chunks_exact(2).all(|pair| pair[1] == 2),
        "{numbers:?}"
    );
}

#[test]
fn a_lower_bound_counts_at_once_and_a_step_back_is_not_soon_forgotten() {
    let now = Instant::now();
    let mut governor = Governor::new(64, now);
    governor.set(32, now);
    assert_eq!(governor.bound_to(5, now), Some(PaceReason::FreeConnections));
    assert_eq!(governor.tenants(), 5);
    assert_eq!(governor.bound_to(50, now), None);
    let back = governor.step_back(2, PaceReason::LockWaits, now);
    assert_eq!((back, governor.tenants()), (Some(PaceReason::LockWaits), 2));
    assert_eq!(governor.step_back(2, PaceReason::LockWaits, now), None);
    let mut at = now;
    while governor.tenants() == 2 {
        let ticket = governor.started();
        at += Duration::from_millis(10);
        governor.finished(ticket, EACH, at);
    }
    assert!(at - now >= CAUTION, "{:?}", at - now);
}

#[test]
fn tenants_that_become_shorter_are_no_gain() {
    // the longest first, one after the other however many at a time
    let mut now = Instant::now();
    let mut governor = Governor::new(64, now);
    for number in 0..200 {
        let ticket = governor.started();
        let work = Duration::from_millis(5_000 - 20 * number);
        now += work;
        governor.finished(ticket, Some(work), now);
    }
    // and one more on trial
    assert!(governor.tenants() <= 5, "{}", governor.tenants());
}

#[derive(Clone, Debug)]
enum Happening {
    Start,
    Finish { after_ms: u64, is_work: bool },
    Bound(usize),
    StepBack(usize),
    Void,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => Just(Happening::Start),
        8 => (0_u64..3_000, any::<bool>())
            .prop_map(|(after_ms, is_work)| Happening::Finish { after_ms, is_work }),
        1 => (0_usize..100).prop_map(Happening::Bound),
        1 => (0_usize..100).prop_map(Happening::StepBack),
        1 => Just(Happening::Void),
    ]
}

proptest! {
    /// Whatever happens: never above the bounds, never none.
    #[test]
    fn the_number_keeps_within_its_bounds(
        ceiling in 1_usize..100,
        happenings in prop::collection::vec(happening(), 0..400),
    ) {
        let mut now = Instant::now();
        let mut governor = Governor::new(ceiling, now);
        let mut tickets = Vec::new();
        let mut available = ceiling;
        for happening in happenings {
            match happening {
                Happening::Start if tickets.len() < governor.tenants() => {
                    tickets.push(governor.started());
                }
                Happening::Start => {}
                Happening::Finish { after_ms, is_work } => {
                    now += Duration::from_millis(after_ms);
                    if let Some(ticket) = tickets.pop() {
                        governor.finished(ticket, EACH.filter(|_| is_work), now);
                    }
                }
                Happening::Bound(to) => {
                    available = to.max(1);
                    governor.bound_to(to, now);
                }
                Happening::StepBack(to) => {
                    governor.step_back(to, PaceReason::LockWaits, now);
                }
                Happening::Void => governor.void(now),
            }
            prop_assert!(governor.tenants() >= 1);
            prop_assert!(governor.tenants() <= ceiling.min(available));
        }
    }
}
