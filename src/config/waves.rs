//! The rules of `rollout.waves`, which `--wave` shares: whom a wave takes, and what holds for it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::check::Checker;
use super::values::{self, shown};
use super::{file, names};
use crate::plan::{WaveRule, WaveSelector, WaveSize};
use crate::run::{CheckKind, WaveCheck, WaveGate, WaveTerms};

/// How long a check may take where nothing is said.
const CHECK_TIMEOUT: &str = "1m";

/// Every wave that is written.
pub(super) fn check(
    checker: &mut Checker<'_>,
    waves: Vec<Option<file::Wave>>,
) -> Option<Vec<WaveRule>> {
    let number = waves.len();
    let rules: Vec<Option<WaveRule>> = waves
        .into_iter()
        .enumerate()
        .map(|(index, wave)| {
            let key = format!("rollout.waves[{index}]");
            let is_last = index + 1 == number;
            rule(checker, &key, wave.unwrap_or_default(), index, is_last)
        })
        .collect();
    let rules: Vec<WaveRule> = rules.into_iter().collect::<Option<_>>()?;
    for (index, rule) in rules.iter().enumerate() {
        let is_taken = |other: &WaveRule| other.terms.name == rule.terms.name;
        if rules[..index].iter().any(is_taken) {
            let problem = format!("there are two waves called {}", shown(&rule.terms.name));
            checker.refuse(&format!("rollout.waves[{index}].name"), problem);
        }
    }
    Some(rules)
}

fn rule(
    checker: &mut Checker<'_>,
    key: &str,
    wave: file::Wave,
    index: usize,
    is_last: bool,
) -> Option<WaveRule> {
    let of = |name: &str| format!("{key}.{name}");
    let name = match wave.name {
        Some(text) => checker.written(&of("name"), &text, wave_name),
        None => Some(format!("wave-{}", index + 1)),
    };
    let whom = whom(checker, key, wave.tenants, wave.labels);
    let size = optional(checker, &of("count"), wave.count, size);
    let seed = optional(checker, &of("random"), wave.random, seed);
    let concurrency = optional(checker, &of("concurrency"), wave.concurrency, values::count);
    let soak = checker.value(&of("soak"), wave.soak, "0", values::duration);
    let gate = checker.value(&of("gate"), wave.gate, "auto", gate);
    let max_failures = optional(
        checker,
        &of("max_failures"),
        wave.max_failures,
        values::failure_budget,
    );
    let check = match wave.check {
        Some(check) => wave_check(checker, &of("check"), check).map(Some),
        None => Some(None),
    };
    let (size, seed) = (size.ok()?, seed.ok()?);
    if seed.is_some() && size.is_none() {
        let problem = "needs `count`: without it the wave takes everybody";
        checker.refuse(&of("random"), problem);
    }
    let selector = WaveSelector {
        size: size.unwrap_or_default(),
        seed,
        ..whom?
    };
    if !is_last && selector.takes_the_rest() {
        let problem =
            "takes all tenants, and others follow it: say whom it takes (tenants, labels, count)";
        checker.refuse(key, problem);
    }
    let gate = gate?;
    if is_last && gate == WaveGate::Manual && selector.takes_the_rest() {
        checker.refuse(
            &of("gate"),
            "manual: no wave follows that could wait for it",
        );
    }
    Some(WaveRule {
        selector,
        terms: WaveTerms {
            name: name?,
            concurrency: concurrency.ok()?,
            soak: soak?,
            check: check?,
            gate,
            max_failures: max_failures.ok()?,
        },
    })
}

/// The patterns and labels of a wave.
fn whom(
    checker: &mut Checker<'_>,
    key: &str,
    tenants: Option<Vec<Option<String>>>,
    of_labels: Option<BTreeMap<String, Option<String>>>,
) -> Option<WaveSelector> {
    let is_empty = tenants.as_ref().is_some_and(Vec::is_empty)
        || of_labels.as_ref().is_some_and(BTreeMap::is_empty);
    if is_empty {
        let problem = "has a list of tenants or labels that is empty: leave the key out, or say whom it takes";
        checker.refuse(key, problem);
    }
    let patterns = checker.items(
        &format!("{key}.tenants"),
        tenants.unwrap_or_default(),
        names::pattern,
    );
    let labels = labels(
        checker,
        &format!("{key}.labels"),
        of_labels.unwrap_or_default(),
    );
    Some(WaveSelector {
        tenants: patterns?,
        labels: labels?,
        ..WaveSelector::default()
    })
}

/// A value is wrong; it was said what with it.
struct Wrong;

/// A value that need not be there.
fn optional<T>(
    checker: &mut Checker<'_>,
    key: &str,
    text: Option<String>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, Wrong> {
    let Some(text) = text else {
        return Ok(None);
    };
    let written = checker.written(key, &text, parse);
    written.map(Some).ok_or(Wrong)
}

fn labels(
    checker: &mut Checker<'_>,
    key: &str,
    labels: BTreeMap<String, Option<String>>,
) -> Option<Vec<(String, String)>> {
    let written: Vec<Option<(String, String)>> = labels
        .into_iter()
        .map(|(label, value)| {
            let text = value.unwrap_or_default();
            let value =
                checker.written(&format!("{key}.{label}"), &text, |text| Ok(text.to_owned()));
            Some((label, value?))
        })
        .collect();
    written.into_iter().collect()
}

fn wave_check(checker: &mut Checker<'_>, key: &str, check: file::Check) -> Option<WaveCheck> {
    let timeout = checker.value(
        &format!("{key}.timeout"),
        check.timeout,
        CHECK_TIMEOUT,
        check_timeout,
    );
    let given = [
        (
            "tenant",
            check.tenant,
            CheckKind::Tenants as fn(String) -> CheckKind,
        ),
        ("database", check.database, CheckKind::Databases),
        ("command", check.command, CheckKind::Command),
    ];
    let mut given = given
        .into_iter()
        .filter_map(|(name, text, kind)| Some((name, text?, kind)));
    let (Some((name, text, kind)), None) = (given.next(), given.next()) else {
        let problem = "needs exactly one of `tenant` (a query in each tenant of the wave), `database` (one in each database) and `command`";
        checker.refuse(key, problem);
        return None;
    };
    let text = checker.written(&format!("{key}.{name}"), &text, names::not_blank);
    Some(WaveCheck {
        kind: kind(text?),
        timeout: timeout?,
    })
}

/// `rollout.canary`: how many tenants, 0 for none.
pub(super) fn canary(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| {
        format!(
            "must be a whole number of tenants, or 0 for no canary, not `{}`",
            shown(text)
        )
    })
}

/// `rollout.same_failures`: how many tenants, 0 for any number.
pub(super) fn same_failures(text: &str) -> Result<u32, String> {
    text.trim().parse().map_err(|_| {
        format!(
            "must be a whole number of tenants, or 0 for no limit, not `{}`",
            shown(text)
        )
    })
}

fn wave_name(text: &str) -> Result<String, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    names::not_blank(text)
}

fn size(text: &str) -> Result<WaveSize, String> {
    let problem = || {
        format!(
            "must be a number of tenants or a percentage such as `5%`, not `{}`",
            shown(text)
        )
    };
    let text = text.trim();
    let Some(share) = text.strip_suffix('%') else {
        let tenants: NonZeroU32 = text.parse().map_err(|_| problem())?;
        return Ok(WaveSize::Tenants(tenants));
    };
    let share = share.trim_end();
    // keeps out `inf`, `nan`, signs and exponents, which a float may have
    let is_plain = share.chars().all(|c| c.is_ascii_digit() || c == '.');
    let share = share.parse::<f64>().ok().filter(|_| is_plain);
    let share = share.ok_or_else(problem)?;
    if share > 0.0 && share <= 100.0 {
        Ok(WaveSize::Percent(share))
    } else {
        Err("must be above 0% and at most 100%".to_owned())
    }
}

fn seed(text: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| {
        format!(
            "must be a seed, a whole number: the same one draws the same tenants; not `{}`",
            shown(text)
        )
    })
}

fn gate(text: &str) -> Result<WaveGate, String> {
    match text.trim() {
        "auto" => Ok(WaveGate::Auto),
        "manual" => Ok(WaveGate::Manual),
        _ => Err(format!(
            "must be `auto` or `manual` (fleet approve lets the next wave begin), not `{}`",
            shown(text)
        )),
    }
}

fn check_timeout(text: &str) -> Result<Duration, String> {
    let timeout = values::timeout(text)?;
    if timeout.is_zero() {
        return Err("must be above 0: nobody watches a check that hangs".to_owned());
    }
    Ok(timeout)
}

/// A wave as `--wave` has it: `5`, `10%`, or pairs such as `name=beta,label=plan:free,count=5%,soak=10m`. A check takes
/// all that follows it.
///
/// # Errors
/// What is wrong with it.
pub fn parse_wave(text: &str) -> Result<WaveRule, String> {
    let mut rule = WaveRule {
        selector: WaveSelector::default(),
        terms: WaveTerms::named(""),
    };
    let mut left = text.trim();
    if left.contains('=') {
        let mut keys = Vec::new();
        while !left.is_empty() {
            let key = left.split('=').next().unwrap_or_default().trim();
            // several patterns and several labels add up
            if keys.contains(&key) && !matches!(key, "tenant" | "label") {
                return Err(format!("`{}` is there twice", shown(key)));
            }
            keys.push(key);
            left = take_pair(&mut rule, left)?;
        }
    } else {
        rule.selector.size = size(left).map_err(|problem| {
            format!("{problem}; or write pairs such as name=beta,label=plan:free,count=5%")
        })?;
    }
    if rule.selector.seed.is_some() && rule.selector.size == WaveSize::All {
        return Err("random needs count: without it the wave takes everybody".to_owned());
    }
    Ok(rule)
}

/// Takes in the first pair, and answers what follows it.
fn take_pair<'a>(rule: &mut WaveRule, text: &'a str) -> Result<&'a str, String> {
    let (key, rest) = text
        .split_once('=')
        .ok_or_else(|| format!("`{}` is no pair KEY=VALUE", shown(text)))?;
    let key = key.trim();
    let (value, rest) = if key.starts_with("check") {
        (rest, "")
    } else {
        rest.split_once(',').unwrap_or((rest, ""))
    };
    let (selector, terms) = (&mut rule.selector, &mut rule.terms);
    let wrong = |problem: String| format!("{key} {problem}");
    match key {
        "name" => terms.name = wave_name(value).map_err(wrong)?,
        "tenant" => selector.tenants.push(names::pattern(value).map_err(wrong)?),
        "label" => {
            let (label, value) = value
                .split_once(':')
                .ok_or_else(|| "label is written as label=KEY:VALUE".to_owned())?;
            selector.labels.push((label.to_owned(), value.to_owned()));
        }
        "count" => selector.size = size(value).map_err(wrong)?,
        "random" => selector.seed = Some(seed(value).map_err(wrong)?),
        "concurrency" => terms.concurrency = Some(values::count(value).map_err(wrong)?),
        "soak" => terms.soak = values::duration(value).map_err(wrong)?,
        "gate" => terms.gate = gate(value).map_err(wrong)?,
        "max_failures" => terms.max_failures = Some(values::failure_budget(value).map_err(wrong)?),
        "check" | "check_database" | "check_command" => {
            let text = names::not_blank(value).map_err(wrong)?;
            let kind = match key {
                "check" => CheckKind::Tenants(text),
                "check_database" => CheckKind::Databases(text),
                _ => CheckKind::Command(text),
            };
            let timeout = check_timeout(CHECK_TIMEOUT)?;
            terms.check = Some(WaveCheck { kind, timeout });
        }
        _ => {
            return Err(format!(
                "`{}` is no key of a wave; there is name, tenant, label, count, random, concurrency, soak, gate, \
                 max_failures, and at the end check, check_database or check_command",
                shown(key)
            ));
        }
    }
    Ok(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_can_be_typed() {
        let five = parse_wave("5").unwrap();
        assert_eq!(
            five.selector.size,
            WaveSize::Tenants(NonZeroU32::new(5).unwrap())
        );
        assert_eq!(
            parse_wave("2.5%").unwrap().selector.size,
            WaveSize::Percent(2.5)
        );
        let wave = parse_wave(
            "name=beta,label=plan:free,count=10%,random=7,concurrency=2,soak=10m,gate=manual,max_failures=1,\
             check=SELECT count(*) > 0, true FROM a WHERE b = 'c'",
        )
        .unwrap();
        assert_eq!(wave.terms.name, "beta");
        assert_eq!(
            wave.selector.labels,
            [("plan".to_owned(), "free".to_owned())]
        );
        assert_eq!(wave.selector.seed, Some(7));
        assert_eq!(wave.terms.gate, WaveGate::Manual);
        assert_eq!(wave.terms.soak, Duration::from_mins(10));
        let check = wave.terms.check.unwrap();
        assert_eq!(
            check.kind,
            CheckKind::Tenants("SELECT count(*) > 0, true FROM a WHERE b = 'c'".to_owned())
        );
    }

    #[test]
    fn a_wave_that_is_typed_wrong_says_what() {
        for (text, problem) in [
            ("many", "must be a number of tenants"),
            ("0", "must be a number of tenants"),
            ("101%", "at most 100%"),
            ("cuont=5", "`cuont` is no key of a wave"),
            ("count=5,oops", "`oops` is no pair"),
            ("label=plan", "label=KEY:VALUE"),
            ("random=1", "random needs count"),
            ("gate=maybe,count=1", "gate must be `auto` or `manual`"),
            ("count=1,check=", "check "),
            ("count=1,count=2", "`count` is there twice"),
        ] {
            let error = parse_wave(text).unwrap_err();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
