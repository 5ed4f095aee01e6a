//! Which tenants are equal, for people.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::Verbosity;
use super::style::{Style, Tone};
use super::verified::{Verified, Whole};
use super::wording::{clean, clean_line, count, names, verb};
use crate::shape::{Change, ComparedGroup, ComparedVersion, Difference, Standard, Verification};
use crate::tenant::TenantId;

/// How many differences of a group are shown.
const DIFFERENCES: usize = 20;

/// How many lines of a definition are shown.
const LINES: usize = 12;

/// How much of two long definitions is shown around what differs.
const AROUND: usize = 30;

/// Writes the groups of each version, and in what the outliers differ.
///
/// # Errors
/// Those of the stream.
pub fn verification(
    out: &mut dyn Write,
    verified: &Verified,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let voice = Voice { style, verbosity };
    for version in &verified.asked.versions {
        voice.version(out, version, verified.whole(version.version))?;
    }
    voice.apart(out, &verified.asked)?;
    voice.ending(out, verified)
}

/// How it is said.
#[derive(Clone, Copy)]
struct Voice {
    style: Style,
    verbosity: Verbosity,
}

impl Voice {
    fn version(
        self,
        out: &mut dyn Write,
        version: &ComparedVersion,
        whole: &Whole,
    ) -> io::Result<()> {
        let sizes: Vec<String> = whole.sizes.iter().copied().map(thousands).collect();
        let mut headline = format!(
            "V{}: {}: {}",
            version.version,
            count(sizes.len(), "shape"),
            sizes.join(" / ")
        );
        let (asked, all) = (version.tenants(), whole.tenants());
        if asked < all {
            let (asked, all) = (thousands(asked), thousands(all));
            let _ = write!(headline, "; asked for: {asked} of {all}");
        }
        writeln!(out, "{}", self.style.paint(Tone::Strong, &headline))?;
        let invalid = version.invalid_indexes();
        let say = match (version.standard, &whole.first) {
            (Standard::Largest, Some(first)) if whole.sizes.len() > 1 => format!(
                "no shape has a majority; compared with that of {first} ({})",
                count(whole.sizes[0], "tenant")
            ),
            (Standard::NoReference, Some(first)) => format!(
                "the set does not hold this version, so there is no reference; compared with {first}"
            ),
            _ => String::new(),
        };
        if !say.is_empty() {
            writeln!(out, "  {}", self.style.paint(Tone::Warning, &say))?;
        }
        for group in version.outliers() {
            self.outlier(out, version.standard, group)?;
        }
        for (index, tenants) in invalid {
            let say = format!("{} is INVALID", clean(&index));
            let say = self.style.paint(Tone::Failure, &say);
            let number = count(tenants.len(), "tenant");
            let listed = self.listed(tenants.into_iter(), 4);
            writeln!(out, "  {say} in {number}: {listed}")?;
        }
        Ok(())
    }

    fn outlier(
        self,
        out: &mut dyn Write,
        standard: Standard,
        group: &ComparedGroup,
    ) -> io::Result<()> {
        let tenants = &group.group.tenants;
        let from = match standard {
            Standard::Majority => "the majority",
            Standard::Reference => "the reference",
            Standard::Largest | Standard::NoReference => "that",
        };
        let headline = format!(
            "{} {} from {from}:",
            count(tenants.len(), "tenant"),
            verb(tenants.len(), "differs", "differ")
        );
        let headline = self.style.paint(Tone::Failure, &headline);
        writeln!(out, "  {headline} {}", self.listed(tenants.iter(), 4))?;
        let shown = if self.verbosity == Verbosity::Verbose {
            group.differences.len()
        } else {
            DIFFERENCES
        };
        for difference in group.differences.iter().take(shown) {
            self.difference(out, difference)?;
        }
        let more = group.differences.len().saturating_sub(shown);
        if more > 0 {
            writeln!(out, "    … and {more} more; -v shows them")?;
        }
        Ok(())
    }

    fn difference(self, out: &mut dyn Write, difference: &Difference) -> io::Result<()> {
        let (sign, tone) = match difference.change {
            Change::Missing => ("-", Tone::Failure),
            Change::Additional => ("+", Tone::Warning),
            Change::Different => ("~", Tone::Warning),
        };
        let what = format!(
            "{sign} {}: {}",
            difference.change.word(),
            clean(&difference.item_name())
        );
        let what = self.style.paint(tone, &what);
        match (&difference.expected, &difference.found) {
            (Some(expected), Some(found)) => {
                writeln!(out, "    {what}")?;
                let (expected, found) = differing(expected, found);
                self.definition(out, "expected", &expected)?;
                self.definition(out, "found", &found)
            }
            (Some(one), None) | (None, Some(one)) => {
                let lines: Vec<&str> = one.trim_end().lines().collect();
                match lines[..] {
                    [] => writeln!(out, "    {what}"),
                    [line] => writeln!(
                        out,
                        "    {what}  {}",
                        self.style.paint(Tone::Secondary, &clean(line))
                    ),
                    _ => {
                        writeln!(out, "    {what}")?;
                        let lines: Vec<String> =
                            lines.iter().map(|line| (*line).to_owned()).collect();
                        self.definition(out, "", &lines)
                    }
                }
            }
            (None, None) => writeln!(out, "    {what}"),
        }
    }

    fn definition(self, out: &mut dyn Write, label: &str, lines: &[String]) -> io::Result<()> {
        let shown = if self.verbosity == Verbosity::Verbose {
            lines.len()
        } else {
            LINES
        };
        let mut label = if label.is_empty() {
            String::new()
        } else {
            format!("{label}: ")
        };
        for line in lines.iter().take(shown) {
            writeln!(out, "        {label:<10}{}", clean_line(line))?;
            label.clear();
        }
        if lines.len() > shown {
            writeln!(out, "        {:<10}…", "")?;
        }
        Ok(())
    }

    fn apart(self, out: &mut dyn Write, verification: &Verification) -> io::Result<()> {
        let mut reasons: Vec<(&str, bool, Vec<&TenantId>)> = Vec::new();
        for apart in &verification.apart {
            match reasons
                .iter_mut()
                .find(|(reason, ..)| *reason == apart.reason)
            {
                Some((_, _, tenants)) => tenants.push(&apart.tenant),
                None => reasons.push((&apart.reason, apart.is_finding, vec![&apart.tenant])),
            }
        }
        for (reason, is_finding, tenants) in reasons {
            let tone = if is_finding {
                Tone::Failure
            } else {
                Tone::Secondary
            };
            let say = format!("not compared ({})", clean(reason));
            let listed = self.listed(tenants.into_iter(), 2);
            writeln!(out, "{}: {listed}", self.style.paint(tone, &say))?;
        }
        if !verification.excluded.is_empty() {
            let listed = self.listed(verification.excluded.iter(), 2);
            writeln!(out, "not looked at (verify.exclude): {listed}")?;
        }
        Ok(())
    }

    fn ending(self, out: &mut dyn Write, verified: &Verified) -> io::Result<()> {
        let asked = &verified.asked;
        let (compared, differing) = (asked.compared(), asked.differing());
        let has_findings = verified.has_findings();
        let tenants = count_thousands(compared, "tenant");
        let others = match (verified.is_part, verified.others()) {
            (false, _) => String::new(),
            (true, 0) => " with no other".to_owned(),
            (true, others) => format!(" with {}", count_thousands(others, "other")),
        };
        let faults = faults(verified).join(" and ");
        let text = match (differing, has_findings) {
            _ if verified.is_vacuous() => "nothing was compared".to_owned(),
            (0, false) if compared == 0 => "there are no tenants to compare".to_owned(),
            (0, false) if verified.is_part => format!("{tenants} compared{others}: none differs"),
            (0, false) => format!("{tenants} compared: those of a version are equal"),
            (0, true) => format!("{tenants} compared{others}: none differs, but {faults}"),
            (differing, _) => {
                let compared = if verified.is_part { " compared" } else { "" };
                let (number, differs) =
                    (thousands(differing), verb(differing, "differs", "differ"));
                let faults = if faults.is_empty() {
                    faults
                } else {
                    format!("; {faults}")
                };
                format!("{number} of {tenants}{compared}{others} {differs}{faults}")
            }
        };
        let tone = if has_findings {
            Tone::Failure
        } else {
            Tone::Success
        };
        writeln!(out, "{}", self.style.paint(tone, &text))
    }

    fn listed<'a>(
        self,
        tenants: impl ExactSizeIterator<Item = &'a TenantId>,
        indent: usize,
    ) -> String {
        names(tenants, indent, self.style.width, self.verbosity)
    }
}

/// What is found beside differences.
fn faults(verified: &Verified) -> Vec<String> {
    let mut faults = Vec::new();
    match verified.invalid_indexes() {
        0 => {}
        1 => faults.push("1 index is invalid".to_owned()),
        several => faults.push(format!("{several} indexes are invalid")),
    }
    let missed = verified.missed();
    if missed > 0 {
        let tenants = count_thousands(missed, "tenant");
        faults.push(format!("{tenants} could not be compared"));
    }
    let undecided = verified.undecided();
    if undecided > 0 {
        let has = verb(undecided, "has", "have");
        let versions = count(undecided, "version");
        faults.push(format!("{versions} {has} no shape of a majority"));
    }
    let without = verified.without_reference();
    if without > 0 {
        let has = verb(without, "has", "have");
        faults.push(format!("{} {has} no reference", count(without, "version")));
    }
    faults
}

/// The lines in which two definitions differ; of two that have one line each what is around the difference.
fn differing(expected: &str, found: &str) -> (Vec<String>, Vec<String>) {
    let (a, b): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    if a == b {
        return (vec![line_ends(expected)], vec![line_ends(found)]);
    }
    if let ([a], [b]) = (&a[..], &b[..]) {
        let (a, b) = excerpts(a, b);
        return (vec![a], vec![b]);
    }
    let before = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let rest = a.len().min(b.len()) - before;
    let backwards = a.iter().rev().zip(b.iter().rev());
    let after = backwards.take(rest).take_while(|(a, b)| a == b).count();
    let part = |lines: &[&str]| -> Vec<String> {
        let part = &lines[before..lines.len() - after];
        if part.is_empty() {
            return vec!["(nothing in its place)".to_owned()];
        }
        part.iter().map(|line| (*line).to_owned()).collect()
    };
    (part(&a), part(&b))
}

/// How the lines end of a text that differs in nothing else from another one.
fn line_ends(text: &str) -> String {
    let (all, with_return) = (text.matches('\n').count(), text.matches("\r\n").count());
    let last = if text.ends_with('\n') {
        ""
    } else {
        ", the last one with nothing"
    };
    match with_return {
        0 => format!("(the same text, lines end with LF{last})"),
        some if some == all => format!("(the same text, lines end with CR LF{last})"),
        some => format!("(the same text, {some} of {all} lines end with CR LF{last})"),
    }
}

/// Two lines without what they have in common far from the difference.
fn excerpts(a: &str, b: &str) -> (String, String) {
    let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let before = x.iter().zip(&y).take_while(|(x, y)| x == y).count();
    let rest = x.len().min(y.len()) - before;
    let backwards = x.iter().rev().zip(y.iter().rev());
    let after = backwards.take(rest).take_while(|(x, y)| x == y).count();
    let cut = |chars: &[char]| {
        let start = if before > 2 * AROUND {
            before - AROUND
        } else {
            0
        };
        let end = if after > 2 * AROUND {
            chars.len() - after + AROUND
        } else {
            chars.len()
        };
        let middle: String = chars[start..end].iter().collect();
        let (left, right) = (
            if start > 0 { "…" } else { "" },
            if end < chars.len() { "…" } else { "" },
        );
        if middle.is_empty() {
            "(none)".to_owned()
        } else {
            format!("{left}{middle}{right}")
        }
    };
    (cut(&x), cut(&y))
}

/// `9,987`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn count_thousands(number: usize, noun: &str) -> String {
    format!(
        "{} {}",
        thousands(number),
        if number == 1 {
            noun.to_owned()
        } else {
            format!("{noun}s")
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_readable() {
        assert_eq!(thousands(7), "7");
        assert_eq!(thousands(9987), "9,987");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        let (expected, found) = differing("SELECT a,\n  b\nFROM t", "SELECT a,\n  c,\n  d\nFROM t");
        assert_eq!(expected, ["  b"]);
        assert_eq!(found, ["  c,", "  d"]);
        let (expected, found) = differing("one\ntwo", "one");
        assert_eq!(
            (expected, found),
            (
                vec!["two".to_owned()],
                vec!["(nothing in its place)".to_owned()]
            )
        );
    }

    #[test]
    fn where_only_line_ends_differ_that_is_said() {
        let (expected, found) = differing("one\ntwo", "one\r\ntwo");
        assert_eq!(
            (&*expected[0], &*found[0]),
            (
                "(the same text, lines end with LF, the last one with nothing)",
                "(the same text, lines end with CR LF, the last one with nothing)"
            )
        );
        let (expected, found) = differing("one\ntwo\n", "one\ntwo");
        assert_eq!(expected, ["(the same text, lines end with LF)"]);
        assert_ne!(expected, found);
        let (expected, found) = differing("one\ntwo", "one\r\n2");
        assert_eq!((&*expected[0], &*found[0]), ("two", "2"));
    }

    #[test]
    fn a_long_line_is_cut_around_the_difference() {
        let line = |word: &str| format!("{}{word}{}", "x".repeat(100), "y".repeat(100));
        let (expected, found) = differing(&line("one"), &line("two"));
        let around = |word: &str| format!("…{}{word}{}…", "x".repeat(AROUND), "y".repeat(AROUND));
        assert_eq!((&expected[0], &found[0]), (&around("one"), &around("two")));
        let (short, _) = differing("text", "text not null");
        assert_eq!(short, ["text"]);
    }
}
