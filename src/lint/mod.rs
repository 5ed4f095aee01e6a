//! What a migration must not do in a system of many tenants, found in its text before any database is touched:
//! isolation rules (what leaves the tenant's schema), rules about locks (those of a linter library), rules about
//! row security in tables that tenants share.
//!
//! ```text
//! file ── syntax (tree) ──► isolation ─┐
//!      ── squawk ─────────► locks ─────┼► levels, exceptions in the file ──► findings
//! set  ── rows ───────────► rows ──────┘
//! ```

mod allowing;
mod finding;
mod level;
mod rows;
mod rule;
mod squawk;
mod syntax;

use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

pub use allowing::unproven;
pub use finding::{Finding, refused};
pub use level::{Level, Levels};
pub use rule::{Group, RULES, Rule, UnknownRule, rule};

use finding::Found;
use syntax::Reading;

/// One file of a set.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Where it lies.
    pub path: &'a Path,
    /// Its text, without a byte order mark.
    pub text: &'a str,
    /// Whether it runs in a transaction.
    pub in_transaction: bool,
    /// Whether it is judged. The others are read for the tables that they make.
    pub is_judged: bool,
}

/// What is asked of the files.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// Schemas behind the tenant's own in every search path.
    pub shared: Vec<String>,
    /// How bad a finding of each rule is.
    pub levels: Levels,
    /// The column by which rows of shared tables belong to tenants.
    pub tenant_column: Option<String>,
}

/// The tree of a deeply nested expression is walked by recursion. PostgreSQL gives up at less.
const STACK_BYTES: usize = 256 << 20;
const DEEPEST: usize = 1000;
const THREAD: &str = "lint";

/// Longer than any file takes that somebody wrote: some chains of operators are read in quadratic time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Findings in the order of the files and of their places. Never fails: a file that cannot be read gives a note.
pub fn lint(scripts: &[Script<'_>], terms: &Terms) -> Vec<Finding> {
    silence_panics();
    lint_all(scripts, terms, PATIENCE)
}

fn lint_all(scripts: &[Script<'_>], terms: &Terms, patience: Duration) -> Vec<Finding> {
    let mut tables = rows::Tables::new(terms.tenant_column.as_deref());
    let mut found: Vec<Vec<Found>> = Vec::with_capacity(scripts.len());
    for (index, script) in scripts.iter().enumerate() {
        let mut of_file = Vec::new();
        if deepest(script.text) > DEEPEST {
            of_file.push(gave_up());
        } else if let Some((reading, locks)) = read(script, terms, patience) {
            tables.take(index, reading.tables);
            if script.is_judged {
                of_file.extend(reading.found);
                of_file.extend(locks);
            }
        } else {
            of_file.push(gave_up());
        }
        found.push(of_file);
    }
    for (index, finding) in tables.findings() {
        found[index].push(finding);
    }
    scripts
        .iter()
        .zip(found)
        .filter(|(script, _)| script.is_judged)
        .flat_map(|(script, found)| judge(script, found, terms))
        .collect()
}

/// None where a library breaks off or finds no end: its fault must not be in the way of a migration. A thread that
/// finds no end is left behind, and ends with the process.
fn read(script: &Script<'_>, terms: &Terms, patience: Duration) -> Option<(Reading, Vec<Found>)> {
    let text = script.text.to_owned();
    let shared = terms.shared.clone();
    let wants_locks = script.is_judged && terms.levels.are_locks_on();
    let in_transaction = script.in_transaction;
    let (done, reading) = mpsc::channel();
    let reader = move || {
        let read = AssertUnwindSafe(|| {
            let reading = syntax::read(&text, &shared);
            let locks = if wants_locks {
                squawk::locks(&text, in_transaction)
            } else {
                Vec::new()
            };
            (reading, locks)
        });
        if let Ok(read) = panic::catch_unwind(read) {
            // nobody listens any more where it took too long
            let _ = done.send(read);
        }
    };
    thread::Builder::new()
        .name(THREAD.to_owned())
        .stack_size(STACK_BYTES)
        .spawn(reader)
        .ok()?;
    reading.recv_timeout(patience).ok()
}

/// A panic on the linter's thread becomes a note, so that its message would only frighten.
fn silence_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current().name() != Some(THREAD) {
                usual(info);
            }
        }));
    });
}

fn gave_up() -> Found {
    Found::new(
        "unparsed",
        0..0,
        "the linter gave up on this file, which is too deep or too large for it, so nothing is known about it".to_owned(),
    )
}

/// How deep parentheses are nested, at most.
fn deepest(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' => depth = 0,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What is left of the findings when the levels and the file's own exceptions are applied.
fn judge(script: &Script<'_>, found: Vec<Found>, terms: &Terms) -> Vec<Finding> {
    let mut found = allowing::apply(script.text, found, &terms.levels);
    found.sort_by_key(|found| (found.range.start, found.range.end));
    found.dedup_by(|a, b| a.rule.name == b.rule.name && a.range == b.range);
    let findings = found.into_iter().filter_map(|found| {
        let level = terms.levels.of(found.rule);
        (level != Level::Off).then(|| finding::finding(script, found, level))
    });
    findings.collect()
}

#[cfg(test)]
mod tests;
