//! The rules of `lint`.

use std::collections::BTreeMap;

use super::check::Checker;
use super::file::Text;
use super::values::{may_hold_password, shown};
use super::{Lint, file, names};
use crate::lint::{self, Group, Level, Levels};
use crate::migration::Version;

/// How migrations are judged.
pub(super) fn check(checker: &mut Checker<'_>, file: file::Lint) -> Option<Lint> {
    let from = checker.value("lint.from", file.from, "0", version);
    let isolation = checker.value("lint.isolation", file.isolation, "deny", level);
    let lock_safety = checker.value("lint.lock_safety", file.lock_safety, "warn", level);
    let rules = rules(checker, file.rules.unwrap_or_default());
    let tenant_column = match file.tenant_column {
        Some(text) => checker
            .written("lint.tenant_column", &text, names::not_blank)
            .map(Some),
        None => Some(None),
    };
    Some(Lint {
        from: from?,
        levels: Levels {
            isolation: isolation?,
            lock_safety: lock_safety?,
            rules: rules?,
        },
        tenant_column: tenant_column?,
    })
}

/// The levels of single rules. A name that no rule has is refused: a typo must not look like an exception.
fn rules(
    checker: &mut Checker<'_>,
    rules: BTreeMap<String, Text>,
) -> Option<BTreeMap<String, Level>> {
    let mut levels = BTreeMap::new();
    let mut is_right = true;
    for (name, text) in rules {
        let key = format!("lint.rules.{name}");
        match lint::rule(&name) {
            Err(unknown) => {
                let problem = if may_hold_password(&name) {
                    shown(&name)
                } else {
                    unknown.to_string()
                };
                checker.refuse(
                    "lint.rules",
                    format!("hold a name that is wrong: {problem}"),
                );
                is_right = false;
            }
            Ok(rule) if rule.group == Group::Set => {
                checker.refuse(
                    "lint.rules",
                    format!("hold {name}, which no config changes"),
                );
                is_right = false;
            }
            Ok(_) => match checker.written(&key, text.as_deref().unwrap_or_default(), level) {
                Some(level) => {
                    levels.insert(name, level);
                }
                None => is_right = false,
            },
        }
    }
    is_right.then_some(levels)
}

fn level(text: &str) -> Result<Level, String> {
    Level::parse(text.trim())
        .ok_or_else(|| format!("must be `deny`, `warn` or `off`, not `{}`", shown(text)))
}

fn version(text: &str) -> Result<Version, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|version| *version >= 0)
        .ok_or_else(|| {
            format!(
                "must be the version of a migration file, not `{}`",
                shown(text)
            )
        })
}
