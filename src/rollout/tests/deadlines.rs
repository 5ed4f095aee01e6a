//! Runs that have to be over in time.

use super::*;
use crate::run::{ExitCode, Outcome, RunOutcome};

const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

/// What is said when nothing is started any more: tenants left and in flight.
fn near(told: &Told) -> Vec<(usize, usize)> {
    let near = told.events.iter().filter_map(|event| match event {
        RolloutEvent::DeadlineNear {
            tenants, in_flight, ..
        } => Some((*tenants, *in_flight)),
        _ => None,
    });
    near.collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_started_that_would_not_be_done_in_time() {
    let mut script = Script::new(2).deadline(seconds(60));
    for n in 0..10 {
        script = script.tenant(&format!("t{n}"), Some(25_000), &[Does::Work(25_000)]);
    }
    let told = script.run().await;
    let summary = &told.end.summary;
    assert_eq!(summary.exit, ExitCode::Deadline);
    assert_eq!(summary.outcome, RunOutcome::Interrupted);
    assert_eq!((summary.totals.succeeded, summary.totals.skipped), (4, 6));
    assert_eq!(
        told.took,
        seconds(50),
        "a third pair would have ended at 75 s"
    );
    assert_eq!(near(&told).len(), 1);
    assert_eq!(told.closing.exit_code, 8);
    let reason = "not attempted: it would not have been done before the deadline";
    assert!(told.closing.left.iter().all(|left| left.reason == reason));
}

#[tokio::test(start_paused = true)]
async fn shorter_ones_fill_the_time_that_a_long_one_has_not() {
    let told = Script::new(1)
        .deadline(seconds(60))
        .tenant("giant", Some(90_000), &[Does::Work(90_000)])
        .tenant("large", Some(40_000), &[Does::Work(40_000)])
        .tenant("medium", Some(30_000), &[Does::Work(30_000)])
        .tenant("small", Some(10_000), &[Does::Work(10_000)])
        .run()
        .await;
    assert_eq!(told.started(), ["large", "small"]);
    assert_eq!(told.end.summary.exit, ExitCode::Deadline);
    let reasons = |name| {
        let mut left = told.closing.left.iter();
        let of_tenant = left.find(|left| left.tenant.schema.as_str() == name);
        of_tenant.unwrap().reason.clone()
    };
    assert!(reasons("giant").contains("longer than all the time up to the deadline"));
    assert!(reasons("medium").contains("would not have been done"));
}

/// 8 promises that the same command again gets further.
#[tokio::test(start_paused = true)]
async fn a_run_that_has_time_for_nobody_needs_somebody() {
    let told = Script::new(1)
        .deadline(seconds(60))
        .tenant("giant", Some(90_000), &[Does::Work(90_000)])
        .run()
        .await;
    assert_eq!(told.end.summary.exit, ExitCode::TenantsFailed);
    assert_eq!(told.outcomes(), ["giant skipped"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_done_in_time_is_a_success() {
    let told = Script::new(1)
        .deadline(seconds(60))
        .tenant("a", Some(20_000), &[Does::Work(20_000)])
        .tenant("b", None, &[Does::Work(20_000)])
        .run()
        .await;
    assert_eq!(told.end.summary.exit, ExitCode::Done);
    assert!(near(&told).is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_past_the_run_learns_from_its_own_tenants() {
    let mut script = Script::new(2).deadline(seconds(60));
    for n in 0..10 {
        script = script.tenant(&format!("t{n}"), None, &[Does::Work(25_000)]);
    }
    let told = script.run().await;
    assert_eq!(told.end.summary.totals.succeeded, 4);
    assert_eq!(told.took, seconds(50));
}

#[tokio::test(start_paused = true)]
async fn one_in_twenty_that_is_slow_does_not_keep_the_others_back() {
    let mut script = Script::new(1).deadline(seconds(60));
    for n in 0..60 {
        let ms = if n == 3 { 20_000 } else { 500 };
        script = script.tenant(&format!("t{n:02}"), None, &[Does::Work(ms)]);
    }
    let told = script.run().await;
    assert_eq!(told.end.summary.exit, ExitCode::Done, "{:?}", told.took);
}

/// The past was about other files: what is pending now may take a hundredth of it, or a hundred times as long.
#[tokio::test(start_paused = true)]
async fn what_tenants_take_now_counts_more_than_what_they_took() {
    let mut quick = Script::new(1).deadline(seconds(60));
    let mut slow = Script::new(1).deadline(seconds(60));
    for n in 0..20 {
        let name = format!("t{n:02}");
        let past = Some(if n == 0 { 10_000 } else { 600_000 });
        quick = quick.tenant(&name, past, &[Does::Work(if n == 0 { 100 } else { 2_000 })]);
        slow = slow.tenant(&name, Some(200), &[Does::Work(20_000)]);
    }
    let quick = quick.run().await;
    assert_eq!(quick.end.summary.exit, ExitCode::Done);
    let slow = slow.run().await;
    assert_eq!(slow.end.summary.totals.succeeded, 2);
    assert_eq!(slow.took, seconds(40));
}

/// Milliseconds of the past are noise: what is long now is as long for all of them.
#[tokio::test(start_paused = true)]
async fn short_pasts_do_not_tell_tenants_apart() {
    let told = Script::new(1)
        .deadline(seconds(60))
        .tenant("a", Some(2), &[Does::Work(18_000)])
        .tenant("b", Some(9), &[Does::Work(18_000)])
        .tenant("c", Some(5), &[Does::Work(18_000)])
        .run()
        .await;
    assert_eq!(
        told.end.summary.exit,
        ExitCode::Done,
        "{:?}",
        told.outcomes()
    );
}

#[tokio::test(start_paused = true)]
async fn in_flight_tenants_are_never_cancelled() {
    let told = Script::new(1)
        .deadline(seconds(10))
        .tenant("a", None, &[Does::Work(45_000)])
        .tenant("b", None, &[Does::Work(1_000)])
        .run()
        .await;
    assert_eq!(told.outcomes(), ["a succeeded", "b skipped"]);
    assert_eq!(told.took, seconds(45));
    assert_eq!(near(&told), [(1, 1)], "said when it was too late for b");
}

#[tokio::test(start_paused = true)]
async fn a_retry_beyond_the_deadline_is_left() {
    let told = Script::new(2)
        .deadline(seconds(3))
        .tenant("a", None, &[Does::Pass(1_000), Does::Work(100)])
        .tenant("b", None, &[Does::Work(2_000)])
        .run()
        .await;
    assert_eq!(told.outcomes(), ["a interrupted", "b succeeded"]);
    assert_eq!(told.end.summary.exit, ExitCode::Deadline);
    assert_eq!(told.took, seconds(2));
}

/// 8 promises that another run is all it takes.
#[tokio::test(start_paused = true)]
async fn a_failure_counts_more_than_the_deadline() {
    let told = Script::new(1)
        .deadline(seconds(10))
        .tenant("a", None, &[Does::Fail(100)])
        .tenant("b", None, &[Does::Work(6_000)])
        .tenant("c", None, &[Does::Work(6_000)])
        .run()
        .await;
    assert_eq!(told.outcomes(), ["a failed", "b succeeded", "c skipped"]);
    assert_eq!(told.end.summary.exit, ExitCode::TenantsFailed);
    assert_eq!(told.end.summary.outcome, RunOutcome::Failed);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_the_deadline_for_a_database_that_is_away() {
    let told = Script::new(1)
        .deadline(seconds(20))
        .tenant("a", None, &[Does::Vanish(1_000)])
        .tenant("b", None, &[Does::Work(1_000)])
        .run()
        .await;
    assert_eq!(told.outcomes(), ["a interrupted", "b skipped"]);
    assert_eq!(told.end.summary.exit, ExitCode::Deadline);
    assert!(told.took <= seconds(20), "{:?}", told.took);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_starts_nothing() {
    let told = Script::new(8)
        .deadline(Duration::from_millis(50))
        .tenant("a", None, &[Does::Work(1)])
        .tenant("b", Some(5), &[Does::Work(1)])
        .run()
        .await;
    assert_eq!(told.outcomes(), ["a skipped", "b skipped"]);
    assert_eq!(told.end.summary.exit, ExitCode::Deadline);
    assert!(told.started().is_empty());
    assert!(
        told.closing
            .left
            .iter()
            .all(|left| left.outcome == Outcome::Skipped)
    );
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_tenants_before_a_deadline() {
    let mut script = Script::new(8).deadline(seconds(600));
    for n in 0..10_000_u64 {
        // a fifth of them are giants for which there is no time
        let ms = if n % 5 == 0 { 700_000 } else { 300 + n % 100 };
        script = script.tenant(&format!("t{n:05}"), Some(ms), &[Does::Work(ms)]);
    }
    let begin = std::time::Instant::now();
    let told = script.run().await;
    assert_eq!(told.end.summary.totals.succeeded, 8_000);
    assert_eq!(told.end.summary.totals.skipped, 2_000);
    // far above what it takes, also without optimisation on a busy machine
    assert!(begin.elapsed() < seconds(20), "{:?}", begin.elapsed());
}
