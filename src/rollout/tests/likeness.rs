//! Tenants that are done and unlike the others have failed, and no other wave begins.

use std::time::Duration;

use super::waves::{checked, id, plain, two_waves};
use super::*;
use crate::run::{Halt, Outcome, RunOutcome, WaveState};

/// What a comparison finds of tenants, by name; and whom each was about.
#[derive(Clone, Default)]
pub(super) struct Shapes {
    differing: Vec<&'static str>,
    known: Vec<&'static str>,
    problem: Option<&'static str>,
    takes: Duration,
    compared: Arc<Mutex<Vec<Vec<String>>>>,
}

pub(super) fn comparer(shapes: Shapes) -> Comparer {
    Box::new(move |members| {
        let shapes = shapes.clone();
        Box::pin(async move {
            let shown = |(tenant, version): &AtVersion| match version {
                Some(version) => format!("{}@{version}", tenant.schema),
                None => tenant.schema.to_string(),
            };
            let order = members.iter().map(shown).collect();
            shapes.compared.lock().unwrap().push(order);
            tokio::time::sleep(shapes.takes).await;
            if let Some(problem) = shapes.problem {
                return Err(problem.to_owned());
            }
            let since = |name: &str| {
                if shapes.differing.contains(&name) {
                    let failure = Failure::new(FailureClass::Permanent, "it lacks a constraint");
                    return Some(UnlikeSince::Run(Box::new(failure)));
                }
                let is_known = shapes.known.contains(&name);
                is_known.then(|| UnlikeSince::Before("it has a column of its own".to_owned()))
            };
            let unlike = members.iter().filter_map(|(tenant, _)| {
                Some(Unlike {
                    since: since(&tenant.schema.to_string())?,
                    tenant: tenant.clone(),
                })
            });
            Ok(unlike.collect())
        })
    })
}

const ALL: [&str; 5] = ["a", "b", "c", "d", "e"];

fn compared(wave: &mut RolloutWave) {
    wave.likeness.is_asked = true;
}

/// A canary that is compared, and three others.
fn compared_canary(shapes: Shapes) -> Script {
    let mut script = two_waves(compared).tenants(&ALL, &[Does::Work(10)]);
    script.shapes = shapes;
    script
}

fn differing(names: &[&'static str]) -> Shapes {
    Shapes {
        differing: names.to_vec(),
        ..Shapes::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_of_one_shape_lets_the_others_follow() {
    let shapes = Shapes::default();
    let told = compared_canary(shapes.clone()).run().await;
    assert_eq!(told.end.summary.exit.code(), 0);
    assert_eq!(told.waves(), ["canary passed", "rest passed"]);
    assert_eq!(*shapes.compared.lock().unwrap(), [["a@1", "b@1"]]);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_unlike_the_others_of_its_wave_has_failed_and_halts_the_run() {
    let told = compared_canary(differing(&["b"])).run().await;
    let summary = &told.end.summary;
    assert_eq!(summary.exit.code(), 5);
    assert_eq!(told.started(), ["a", "b"]);
    let outcomes = [
        "a succeeded",
        "b failed",
        "c skipped",
        "d skipped",
        "e skipped",
    ];
    assert_eq!(told.outcomes(), outcomes);
    assert_eq!((summary.totals.succeeded, summary.totals.failed), (1, 1));
    let canary = summary.waves[0].totals;
    assert_eq!((canary.succeeded, canary.failed), (1, 1));
    assert_eq!(told.waves(), ["canary halted", "rest pending"]);
    assert_eq!(summary.failures[0].tenants, [id("b")]);
    assert_eq!(
        summary.halt.as_ref().unwrap().to_string(),
        "the shapes of wave canary: a/b differs from the others"
    );
    assert_eq!(told.reversals[0].tenant, id("b"));
    assert_eq!(told.reversals[0].attempts, 1);
    let finished = |event: &RolloutEvent| matches!(event, RolloutEvent::TenantFinished { result, .. } if result.tenant == id("b"));
    let differs = |event: &RolloutEvent| matches!(event, RolloutEvent::TenantDiffers { result, totals } if result.outcome == Outcome::Failed && totals.failed == 1);
    let first = told.events.iter().position(finished).unwrap();
    assert!(told.events[first..].iter().any(differs));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_difference_that_is_known() {
    let mut script = two_waves(|wave| {
        compared(wave);
        checked(wave);
        wave.terms.soak = Duration::from_mins(10);
    });
    script = script.tenants(&ALL, &[Does::Work(10)]);
    script.shapes = differing(&["a"]);
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert!(told.took < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn in_the_last_wave_it_is_a_failure_and_no_halt() {
    let script = Script::new(8).wave("all", &ALL, compared);
    let mut script = script.tenants(&ALL, &[Does::Work(10)]);
    script.shapes = differing(&["c"]);
    let told = script.run().await;
    let summary = &told.end.summary;
    assert_eq!(summary.exit.code(), 4);
    assert!(summary.halt.is_none());
    // whoever carries it on looks again
    assert_eq!(told.waves(), ["all halted"]);
    assert_eq!(told.waves.last().unwrap().state, WaveState::Halted);
}

#[tokio::test(start_paused = true)]
async fn a_run_without_waves_is_compared_at_its_end() {
    let run = |differ: &[&'static str]| {
        let mut script = Script::new(8).tenants(&ALL, &[Does::Work(10)]);
        script.at_the_end.is_asked = true;
        script.shapes = differing(differ);
        script.run()
    };
    let told = run(&[]).await;
    assert_eq!(told.end.summary.exit.code(), 0);
    let told = run(&["d"]).await;
    assert_eq!(told.end.summary.exit.code(), 4);
    assert_eq!(told.end.summary.totals.failed, 1);
    assert!(told.end.summary.waves.is_empty() && told.waves.is_empty());
}

/// The plan had nothing to do in it, and it is all that is left.
#[tokio::test(start_paused = true)]
async fn a_tenant_that_was_there_before_is_looked_at_again() {
    let run = |differ: &[&'static str]| {
        let mut script = Script::new(8).tenant("a", None, &[]);
        script.tenants[0].action = Action::UpToDate;
        script.tenants[0].from = Some(1);
        script.at_the_end.is_asked = true;
        script.at_the_end.there = vec![(id("a"), Some(1))];
        script.shapes = differing(differ);
        script.run()
    };
    assert_eq!(run(&[]).await.end.summary.exit.code(), 0);
    let told = run(&["a"]).await;
    let summary = &told.end.summary;
    assert_eq!(summary.exit.code(), 4);
    assert_eq!((summary.totals.up_to_date, summary.totals.failed), (0, 1));
    assert_eq!(summary.tenants[0].to, Some(1));
    assert_eq!(told.reversals[0].attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn a_difference_that_was_there_before_is_told_and_no_failure() {
    let shapes = Shapes {
        known: vec!["a"],
        ..Shapes::default()
    };
    let told = compared_canary(shapes).run().await;
    assert_eq!(told.end.summary.exit.code(), 0);
    let notes = &told.end.summary.tenants[0].notes;
    assert_eq!(*notes, ["it has a column of its own"]);
    let known = |event: &RolloutEvent| matches!(event, RolloutEvent::DifferenceKnown { .. });
    assert!(told.events.iter().any(known));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_not_equal() {
    let shapes = Shapes {
        problem: Some("a/b is locked"),
        ..Shapes::default()
    };
    let told = compared_canary(shapes.clone()).run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.started(), ["a", "b"]);
    let halt = told.end.summary.halt.clone().unwrap();
    let reason = "the shapes of wave canary: could not be compared: a/b is locked";
    assert_eq!(halt.to_string(), reason);

    let mut script = Script::new(8).tenants(&ALL, &[Does::Work(10)]);
    script.at_the_end.is_asked = true;
    script.shapes = shapes;
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.end.summary.outcome, RunOutcome::Halted);
    assert!(matches!(told.closing.halt, Some(Halt::Shapes { .. })));
}

#[tokio::test(start_paused = true)]
async fn only_tenants_at_their_target_are_compared() {
    let shapes = Shapes::default();
    let mut script = Script::new(8)
        .wave("canary", &["a", "b", "c"], |wave| {
            compared(wave);
            wave.likeness.there = vec![(id("x"), Some(1))];
        })
        .wave("rest", &["d"], plain)
        .tenants(&["a"], &[Does::Fail(10)])
        .tenants(&["b", "c", "d"], &[Does::Work(10)]);
    script.shapes = shapes.clone();
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 4);
    assert_eq!(*shapes.compared.lock().unwrap(), [["b@1", "c@1", "x@1"]]);
}

/// Carried on after a death between the last tenant and the comparison; not again where a gate was reached.
#[tokio::test(start_paused = true)]
async fn a_wave_that_was_not_compared_is_before_the_next_one_begins() {
    let carried_on = |state: WaveState, shapes: Shapes| {
        let mut script = Script::new(8)
            .wave("canary", &[], |wave| {
                compared(wave);
                wave.state = state;
                wave.likeness.there = vec![(id("a"), Some(1)), (id("b"), Some(1))];
            })
            .wave("rest", &["c"], plain)
            .tenants(&["c"], &[Does::Work(10)]);
        script.shapes = shapes;
        script.run()
    };
    let told = carried_on(WaveState::Running, differing(&["b"])).await;
    assert_eq!(told.end.summary.exit.code(), 5);
    assert_eq!(told.started(), [""; 0]);
    let told = carried_on(WaveState::Halted, Shapes::default()).await;
    assert_eq!(told.started(), ["c"]);
    let shapes = differing(&["b"]);
    let told = carried_on(WaveState::Awaiting, shapes.clone()).await;
    assert_eq!(told.started(), ["c"]);
    assert!(shapes.compared.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_comparison_and_leaves_the_run_undone() {
    let slow = Shapes {
        takes: Duration::from_hours(1),
        ..Shapes::default()
    };
    let mut script = Script::new(8).tenants(&ALL, &[Does::Work(10)]);
    script = script.deadline(Duration::from_mins(1));
    script.at_the_end.is_asked = true;
    script.shapes = slow;
    let told = script.run().await;
    assert_eq!(told.end.summary.exit.code(), 8);
    assert_eq!(told.end.summary.totals.succeeded, 5);
    assert!(told.took < Duration::from_mins(2));
}

/// A check that passes after the last wave ends the run.
#[tokio::test(start_paused = true)]
async fn a_last_wave_that_is_well_is_the_end() {
    let script = Script::new(8).wave("all", &ALL, |wave| {
        compared(wave);
        checked(wave);
    });
    let told = script.tenants(&ALL, &[Does::Work(10)]).run().await;
    assert_eq!(told.end.summary.exit.code(), 0);
    assert_eq!(told.waves(), ["all passed"]);
    let states: Vec<&str> = told.waves.iter().map(|w| w.state.as_str()).collect();
    assert_eq!(states, ["running", "checking", "passed"]);
}
