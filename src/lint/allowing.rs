//! Exceptions that files make: `-- fleet: allow RULE reason` at a statement.

use super::finding::Found;
use super::level::{Level, Levels};
use super::rule::{Group, rule};
use crate::sql::{self, Allow};

/// Why nothing proves, when a file runs, that it keeps to its tenant; None where that is proven.
pub fn unproven(text: &str, in_transaction: bool) -> Option<String> {
    match sql::allows_leak(text) {
        Some(reason) => Some(format!("allow leak: {reason}")),
        None => (!in_transaction).then(|| "no transaction".to_owned()),
    }
}

/// Takes out what is allowed, and adds what is wrong with the exceptions themselves.
pub(super) fn apply(text: &str, found: Vec<Found>, levels: &Levels) -> Vec<Found> {
    let allows = sql::allows(text);
    if allows.is_empty() {
        return found;
    }
    let starts: Vec<usize> = sql::split(text).iter().map(|s| s.offset).collect();
    let statement_of = |offset: usize| starts.partition_point(|&start| start <= offset).max(1) - 1;
    let mut is_used = vec![false; allows.len()];
    let mut left = Vec::with_capacity(found.len());
    for finding in found {
        let statement = statement_of(finding.range.start);
        let allowing = allows.iter().position(|allow| {
            allow.statement == Some(statement)
                && allow.rule == finding.rule.name
                && finding.rule.group != Group::Set
        });
        match allowing {
            Some(index) => {
                is_used[index] = true;
                if allows[index].reason.is_empty() {
                    left.push(finding);
                }
            }
            None => left.push(finding),
        }
    }
    for (allow, is_used) in allows.iter().zip(is_used) {
        left.extend(complaint(text, allow, is_used, levels));
    }
    left
}

/// What is wrong with an exception.
fn complaint(text: &str, allow: &Allow, is_used: bool, levels: &Levels) -> Option<Found> {
    let end = text[allow.offset..]
        .find('\n')
        .map_or(text.len(), |length| allow.offset + length);
    let range = allow.offset..end;
    if allow.rule == sql::LEAK && !allow.reason.is_empty() {
        return None;
    }
    let known = match rule(&allow.rule) {
        _ if allow.rule == sql::LEAK => {
            let message = "leak is allowed here without a reason".to_owned();
            return Some(Found::new("allow-without-reason", range, message));
        }
        Ok(known) => known,
        Err(unknown) => {
            return Some(Found::new("allow-unknown-rule", range, unknown.to_string()));
        }
    };
    if allow.reason.is_empty() {
        let message = format!("{} is allowed here without a reason", known.name);
        return Some(Found::new("allow-without-reason", range, message));
    }
    // the leak check looks at these as well, and a rule that is off finds nothing
    let could_be_used = levels.of(known) != Level::Off && known.group == Group::Isolation;
    (!is_used && could_be_used).then(|| {
        let message = format!("nothing here breaks {}", known.name);
        Found::new("allow-unused", range, message)
    })
}
