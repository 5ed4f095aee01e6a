use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::tenant::{DatabaseName, Presence, SchemaName, TenantId};

fn window(text: &str) -> Window {
    Window::parse(text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Whether it is open at each of these moments.
fn open(text: &str, moments: &[&str]) -> Vec<bool> {
    let window = window(text);
    moments.iter().map(|now| window.is_open(at(now))).collect()
}

#[test]
fn a_window_is_open_from_its_first_minute_to_before_its_last() {
    // 2026-11-29 is a Sunday, and Zurich is an hour ahead of UTC in winter
    let moments = [
        "2026-11-29T00:59:59Z",
        "2026-11-29T01:00:00Z",
        "2026-11-29T03:59:59Z",
        "2026-11-29T04:00:00Z",
        "2026-11-28T02:00:00Z",
    ];
    assert_eq!(
        open("Sun 02:00-05:00 Europe/Zurich", &moments),
        [false, true, true, false, false]
    );
}

#[test]
fn a_window_that_passes_midnight_belongs_to_the_day_it_opens_on() {
    // Friday night
    let moments = [
        "2026-11-27T21:59:59Z",
        "2026-11-27T22:00:00Z",
        "2026-11-28T03:59:59Z",
        "2026-11-28T04:00:00Z",
        "2026-11-27T03:00:00Z",
        "2026-11-28T22:30:00Z",
    ];
    assert_eq!(
        open("Fri 22:00-04:00 UTC", &moments),
        [false, true, true, false, false, false]
    );
}

#[test]
fn days_are_lists_and_ranges_and_a_day_has_24_hours() {
    let noon = |days: &str| {
        // Monday to Sunday
        let week = (23..=29).map(|day| format!("2026-11-{day}T12:00:00Z"));
        let window = window(&format!("{days} 00:00-24:00 UTC"));
        week.map(|now| if window.is_open(at(&now)) { 'x' } else { '.' })
            .collect::<String>()
    };
    assert_eq!(noon("daily"), "xxxxxxx");
    assert_eq!(noon("Mon-Fri"), "xxxxx..");
    assert_eq!(noon("sat,SUNDAY"), ".....xx");
    assert_eq!(noon("Fri-Mon"), "x...xxx");
    assert_eq!(noon("Wed"), "..x....");
    assert_eq!(noon("Mon-Tue,Sat"), "xx...x.");
}

#[test]
fn when_clocks_go_forward_a_window_keeps_what_the_night_has_left() {
    // 2026-03-29: 02:00 becomes 03:00, at 01:00 UTC
    let moments = [
        "2026-03-29T00:59:59Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T02:59:59Z",
        "2026-03-29T03:00:00Z",
    ];
    assert_eq!(
        open("Sun 02:00-05:00 Europe/Zurich", &moments),
        [false, true, true, false]
    );
    // one that lies in the hour that is skipped is an hour later
    let moments = [
        "2026-03-29T01:14:59Z",
        "2026-03-29T01:15:00Z",
        "2026-03-29T01:44:59Z",
        "2026-03-29T01:45:00Z",
    ];
    assert_eq!(
        open("Sun 02:15-02:45 Europe/Zurich", &moments),
        [false, true, true, false]
    );
}

#[test]
fn when_clocks_go_back_a_window_opens_once() {
    // 2026-10-25: 03:00 becomes 02:00, at 01:00 UTC
    let moments = [
        "2026-10-24T23:59:59Z",
        "2026-10-25T00:00:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T03:59:59Z",
        "2026-10-25T04:00:00Z",
    ];
    assert_eq!(
        open("Sun 02:00-05:00 Europe/Zurich", &moments),
        [false, true, true, true, false]
    );
    let moments = [
        "2026-10-25T00:15:00Z",
        "2026-10-25T00:45:00Z",
        "2026-10-25T01:15:00Z",
    ];
    assert_eq!(
        open("Sun 02:00-02:30 Europe/Zurich", &moments),
        [true, false, false]
    );
}

#[test]
fn the_next_opening_is_after_now_and_by_the_wall_s_clock() {
    let next = |text: &str, now: &str| window(text).next_opening(at(now)).unwrap().to_string();
    let text = "Sun 02:00-05:00 Europe/Zurich";
    assert_eq!(
        next(text, "2026-11-26T12:00:00Z"),
        "2026-11-29T02:00:00+01:00[Europe/Zurich]"
    );
    assert_eq!(
        next(text, "2026-11-29T01:00:00Z"),
        "2026-12-06T02:00:00+01:00[Europe/Zurich]"
    );
    assert_eq!(
        next(text, "2026-03-28T12:00:00Z"),
        "2026-03-29T03:00:00+02:00[Europe/Zurich]"
    );
}

#[test]
fn what_is_no_window_says_which_part() {
    let wrong = |text: &str| Window::parse(text).unwrap_err().to_string();
    for text in ["", "Sun 02:00-05:00", "Sun 02:00 - 05:00 UTC", "always"] {
        assert!(wrong(text).starts_with("must be days, times"), "{text}");
    }
    for text in ["Sum", "Mon-", "Mon,,Tue", "1", "", "weekdays"] {
        let text = format!("{text} 02:00-05:00 UTC");
        let problem = wrong(&text);
        assert!(problem.contains("days"), "{text}: {problem}");
    }
    for times in [
        "2:00-05:00",
        "02:00",
        "02:60-03:00",
        "24:00-05:00",
        "02:00-25:00",
        "02:00-24:01",
    ] {
        let problem = wrong(&format!("Sun {times} UTC"));
        assert!(problem.starts_with("has no times"), "{times}: {problem}");
    }
    assert!(wrong("Sun 02:00-02:00 UTC").starts_with("opens and closes at 02:00"));
    assert_eq!(
        wrong("Sun 02:00-05:00 Europe/Zuerich"),
        "has a time zone that is not known: `Europe/Zuerich`; did you mean `Europe/Zurich`?"
    );
    assert!(wrong("Sun 02:00-05:00 Q").contains("write it as in Europe/Zurich"));
}

fn tenant(plan: &str) -> Tenant {
    Tenant {
        id: TenantId {
            database: DatabaseName::new("main"),
            schema: SchemaName::parse("acme").unwrap(),
        },
        labels: Arc::new([("plan".to_owned(), plan.to_owned())].into()),
        presence: Presence::Present,
    }
}

fn rule(plan: &str, text: &str) -> WindowRule {
    WindowRule {
        tenants: Vec::new(),
        labels: vec![("plan".to_owned(), plan.to_owned())],
        window: window(text),
    }
}

#[test]
fn any_open_window_will_do_and_nobody_without_one_waits() {
    let rules = [
        rule("enterprise", "Sun 02:00-05:00 Europe/Zurich"),
        rule("enterprise", "Wed 02:00-03:00 UTC"),
    ];
    let now = at("2026-11-26T12:00:00Z");
    let closed = Closed::for_tenant(&rules, &tenant("enterprise"), now);
    assert_eq!(
        closed.unwrap().to_string(),
        "outside the windows Sun 02:00-05:00 Europe/Zurich and Wed 02:00-03:00 UTC, which open Sun 2026-11-29 02:00 +01:00"
    );
    assert_eq!(Closed::for_tenant(&rules, &tenant("free"), now), None);
    let wednesday = at("2026-12-02T02:30:00Z");
    assert_eq!(
        Closed::for_tenant(&rules, &tenant("enterprise"), wednesday),
        None
    );
}

proptest! {
    /// Whatever is written, it is read or refused.
    #[test]
    fn no_text_breaks_the_reading(text in "\\PC{0,40}") {
        let _ = Window::parse(&text);
    }

    /// What is not open opens within eight days, and is open then.
    #[test]
    fn a_window_is_open_when_it_has_said_it_would_open(
        day in 0..7_usize,
        opens in 0..1440_u32,
        length in 1..1440_u32,
        now in 1_700_000_000_i64..2_000_000_000,
        zone in prop::sample::select(vec!["UTC", "Europe/Zurich", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    ) {
        let clock = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let text = format!("{} {}-{} {zone}", &DAYS[day].1[..3], clock(opens), clock(opens + length));
        let window = window(&text);
        let now = Timestamp::from_second(now).unwrap();
        let next = window.next_opening(now).unwrap().timestamp();
        prop_assert!(next > now);
        prop_assert!(next.duration_since(now) <= jiff::SignedDuration::from_hours(8 * 24));
        // a window of minutes may fall into an hour that the clock repeats or skips as a whole
        if length > 120 {
            prop_assert!(window.is_open(next), "{text} at {next}");
            let before = next.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap();
            prop_assert!(!window.is_open(before), "{text} before {next}");
        }
    }
}
