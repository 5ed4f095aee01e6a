//! How bad a finding is.

use std::collections::BTreeMap;
use std::fmt;

use super::rule::{Group, Rule};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is none.
    Off,
    /// Worth knowing, of no consequence.
    Note,
    /// Told.
    Warn,
    /// The file is refused.
    Deny,
}

impl Level {
    /// `deny`, `warn` or `off`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "deny" => Self::Deny,
            "warn" => Self::Warn,
            "off" => Self::Off,
            _ => return None,
        })
    }

    /// As in documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Note => "note",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The level of each rule.
#[derive(Clone, Debug)]
pub struct Levels {
    /// The worst that an isolation rule is.
    pub isolation: Level,
    /// What the rules about locks are.
    pub lock_safety: Level,
    /// Single rules, by name.
    pub rules: BTreeMap<String, Level>,
}

impl Default for Levels {
    fn default() -> Self {
        Self {
            isolation: Level::Deny,
            lock_safety: Level::Warn,
            rules: BTreeMap::new(),
        }
    }
}

impl Levels {
    /// The level of a rule.
    pub fn of(&self, rule: &Rule) -> Level {
        if rule.group == Group::Set {
            return rule.level;
        }
        if let Some(level) = self.rules.get(rule.name) {
            return *level;
        }
        match rule.group {
            Group::Set | Group::Rows => rule.level,
            Group::Isolation => rule.level.min(self.isolation),
            Group::Locks => self.lock_safety,
        }
    }

    /// Whether any rule about locks is on.
    pub(super) fn are_locks_on(&self) -> bool {
        self.lock_safety != Level::Off || !self.rules.is_empty()
    }
}
