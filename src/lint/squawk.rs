//! Rules about locks: squawk's, without those that contradict what fleet does itself. The library changes every
//! week or two without promises, so it is pinned, and this file is the only one that knows it.

use std::ops::Range;

use squawk_linter::{Linter, LinterSettings, Rule as SquawkRule};
use squawk_syntax::SourceFile;

use super::finding::Found;
use super::rule::{Group, RULES};

/// What a file does to tables that the application uses.
pub(super) fn locks(text: &str, in_transaction: bool) -> Vec<Found> {
    let mut linter = Linter::from(rules());
    // of the versions that we serve the oldest whose locks differ from the newest's in nothing squawk knows
    linter.settings = LinterSettings {
        assume_in_transaction: in_transaction,
        ..LinterSettings::default()
    };
    let parse = SourceFile::parse(text);
    let violations = linter.lint(&parse, text);
    violations
        .into_iter()
        .filter_map(|violation| {
            let name = violation.code.to_string();
            let rule = RULES
                .iter()
                .find(|rule| rule.group == Group::Locks && rule.name == name)?;
            let range: Range<usize> = violation.text_range.into();
            let mut found = Found::new(rule.name, range, one_line(&violation.message));
            if rule.how.is_empty() {
                found.how = violation.help.as_deref().map(one_line);
            }
            Some(found)
        })
        .collect()
}

/// The rules of ours that are squawk's.
fn rules() -> impl Iterator<Item = SquawkRule> {
    RULES
        .iter()
        .filter(|rule| rule.group == Group::Locks)
        .filter_map(|rule| SquawkRule::try_from(rule.name).ok())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_about_locks_is_one_of_squawk_s() {
        let ours = RULES.iter().filter(|rule| rule.group == Group::Locks);
        assert_eq!(rules().count(), ours.count());
        for rule in rules() {
            assert!(!rule.is_opt_in(), "{rule} is off by squawk's own choice");
        }
    }
}
