//! Maintenance windows: when tenants may be touched, such as `Sun 02:00-05:00 Europe/Zurich`.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp, Zoned};

use crate::tenant::{Tenant, TenantPattern};

const DAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "monday"),
    (Weekday::Tuesday, "tuesday"),
    (Weekday::Wednesday, "wednesday"),
    (Weekday::Thursday, "thursday"),
    (Weekday::Friday, "friday"),
    (Weekday::Saturday, "saturday"),
    (Weekday::Sunday, "sunday"),
];

/// Names of time zones that differ more are not proposed.
const ALIKE: f64 = 0.8;

/// On which days, from when to when, by which clock on the wall.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    text: String,
    /// Monday first.
    days: [bool; 7],
    opens: Time,
    closes: Close,
    zone: TimeZone,
}

/// When a window closes that has opened on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    /// On that day.
    SameDay(Time),
    /// On the next one.
    NextDay(Time),
}

/// Why a text is no window, in words that follow a key's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// Not three parts.
    #[error(
        "must be days, times and a time zone, such as `Sun 02:00-05:00 Europe/Zurich` or `daily 22:00-04:00 UTC`"
    )]
    Shape,
    /// No days.
    #[error("has no days that are known: write `Mon-Fri`, `Sat,Sun` or `daily`, not `{0}`")]
    Days(String),
    /// No times.
    #[error("has no times that are known: write `02:00-05:00`, not `{0}`")]
    Times(String),
    /// It would never be open.
    #[error("opens and closes at {0}: write 00:00-24:00 for the whole day")]
    Empty(String),
    /// No such time zone.
    #[error("has a time zone that is not known: `{zone}`{}", proposal(alike.as_deref()))]
    Zone {
        /// As written.
        zone: String,
        /// The nearest one.
        alike: Option<String>,
    },
}

fn proposal(alike: Option<&str>) -> String {
    let name = alike.map(|name| format!("; did you mean `{name}`?"));
    name.unwrap_or_else(|| "; write it as in Europe/Zurich, or UTC".to_owned())
}

impl Window {
    /// Reads a window: days (`Mon-Fri`, `Sat,Sun`, `daily`), times of the wall's clock (`22:00-04:00` passes
    /// midnight), and a time zone of the IANA database.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidWindow> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [days, times, zone] = parts[..] else {
            return Err(InvalidWindow::Shape);
        };
        let (opens, closes) = parse_times(times)?;
        Ok(Self {
            text: parts.join(" "),
            days: parse_days(days).ok_or_else(|| InvalidWindow::Days(shown(days)))?,
            opens,
            closes,
            zone: parse_zone(zone)?,
        })
    }

    /// Whether a tenant may be touched then.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let today = now.to_zoned(self.zone.clone()).date();
        // one that has opened yesterday may close today
        let days = [today.yesterday().ok(), Some(today)];
        days.into_iter().flatten().any(|day| {
            self.opening_on(day)
                .is_some_and(|(opens, closes)| opens.timestamp() <= now && now < closes)
        })
    }

    /// When it opens next, after that moment.
    pub fn next_opening(&self, now: Timestamp) -> Option<Zoned> {
        let today = now.to_zoned(self.zone.clone()).date();
        // a week is over after seven days; on the first of them it may be too late already
        (0..=8)
            .filter_map(|days| today.checked_add(Span::new().days(days)).ok())
            .filter_map(|day| Some(self.opening_on(day)?.0))
            .find(|opens| opens.timestamp() > now)
    }

    /// From when to when it is open that begins on a day. A time that the clock skips in spring is taken for the
    /// one as much later, of one that comes twice in autumn the first counts.
    fn opening_on(&self, day: Date) -> Option<(Zoned, Timestamp)> {
        if !self.days[usize::try_from(day.weekday().to_monday_zero_offset()).ok()?] {
            return None;
        }
        let closes = match self.closes {
            Close::SameDay(time) => day.to_datetime(time),
            Close::NextDay(time) => day.tomorrow().ok()?.to_datetime(time),
        };
        let at = |time: DateTime| time.to_zoned(self.zone.clone()).ok();
        Some((at(day.to_datetime(self.opens))?, at(closes)?.timestamp()))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Which tenants may be touched in a window.
#[derive(Clone, Debug)]
pub struct WindowRule {
    /// Those that match one of these; none: any name.
    pub tenants: Vec<TenantPattern>,
    /// Those that have all of these labels.
    pub labels: Vec<(String, String)>,
    /// The window.
    pub window: Window,
}

impl WindowRule {
    /// Whether it is about a tenant.
    pub fn is_about(&self, tenant: &Tenant) -> bool {
        let by_name = self.tenants.is_empty() || self.tenants.iter().any(|p| p.matches(&tenant.id));
        let has = |(key, value): &(String, String)| tenant.labels.get(key) == Some(value);
        by_name && self.labels.iter().all(has)
    }
}

/// The windows of a tenant, none of which is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    windows: Vec<String>,
    opens: Option<String>,
}

impl Closed {
    /// None where one is open, or no rule is about the tenant.
    pub(super) fn for_tenant(
        rules: &[WindowRule],
        tenant: &Tenant,
        now: Timestamp,
    ) -> Option<Self> {
        let windows: Vec<&Window> = rules
            .iter()
            .filter(|rule| rule.is_about(tenant))
            .map(|rule| &rule.window)
            .collect();
        if windows.is_empty() || windows.iter().any(|window| window.is_open(now)) {
            return None;
        }
        let next = windows
            .iter()
            .filter_map(|window| window.next_opening(now))
            .min_by_key(Zoned::timestamp);
        Some(Self {
            opens: next.map(|opens| opens.strftime("%a %Y-%m-%d %H:%M %:z").to_string()),
            windows: windows.iter().map(ToString::to_string).collect(),
        })
    }
}

/// `outside the window Sun 02:00-05:00 Europe/Zurich, which opens Sun 2026-11-29 02:00 +01:00`.
impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let windows = self.windows.join(" and ");
        let (noun, verb) = match self.windows.len() {
            1 => ("window", "opens"),
            _ => ("windows", "open"),
        };
        write!(f, "outside the {noun} {windows}")?;
        match &self.opens {
            Some(opens) => write!(f, ", which {verb} {opens}"),
            None => Ok(()),
        }
    }
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    if text.eq_ignore_ascii_case("daily") {
        return Some([true; 7]);
    }
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (parse_day(first)?, parse_day(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % days.len();
            days[day] = true;
        }
    }
    Some(days)
}

/// `Sun` or `Sunday`, Monday is 0.
fn parse_day(text: &str) -> Option<usize> {
    let text = text.to_ascii_lowercase();
    DAYS.iter()
        .position(|(_, name)| *name == text || name[..3] == text)
}

fn parse_times(text: &str) -> Result<(Time, Close), InvalidWindow> {
    let wrong = || InvalidWindow::Times(shown(text));
    let (opens, closes) = text.split_once('-').ok_or_else(wrong)?;
    let opening = parse_time(opens).ok_or_else(wrong)?;
    if closes == "24:00" {
        return Ok((opening, Close::NextDay(Time::midnight())));
    }
    let closing = parse_time(closes).ok_or_else(wrong)?;
    match closing.cmp(&opening) {
        std::cmp::Ordering::Equal => Err(InvalidWindow::Empty(opens.to_owned())),
        std::cmp::Ordering::Greater => Ok((opening, Close::SameDay(closing))),
        std::cmp::Ordering::Less => Ok((opening, Close::NextDay(closing))),
    }
}

/// `02:00`.
fn parse_time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str| {
        let is_plain = text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i8>().ok().filter(|_| is_plain)
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

/// The system's zones are the more recent ones, where it has them; a bare container has none, or a few.
fn parse_zone(text: &str) -> Result<TimeZone, InvalidWindow> {
    let bundled = TimeZoneDatabase::bundled();
    let found = TimeZone::get(text).or_else(|_| bundled.get(text));
    found.map_err(|_| {
        let name = text.to_ascii_lowercase();
        let alike = bundled
            .available()
            .map(|known| {
                let likeness = strsim::jaro_winkler(&known.as_str().to_ascii_lowercase(), &name);
                (likeness, known.to_string())
            })
            .filter(|(likeness, _)| *likeness >= ALIKE)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        InvalidWindow::Zone {
            zone: shown(text),
            alike: alike.map(|(_, known)| known),
        }
    })
}

/// What was written, cut and harmless.
fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
#[path = "window_tests.rs"]
mod tests;
