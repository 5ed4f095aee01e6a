//! The failures of a run by cause, with all that helps to mend them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use super::Verbosity;
use super::advice::advice;
use super::causes::{CAUSES, INDENT, count_causes, fact, headline, write_facts};
use super::excerpt::write_excerpt;
use super::safety::is_version;
use super::style::{Style, Tone};
use super::summary::{Step, write_next};
use super::wording::{clean, count, count_u64, names, paragraph, verb};
use crate::ledger::{FixRecord, RunDetail, RunRecord, RunState, RunTenantRecord};
use crate::migration::{MigrationSet, Version};
use crate::run::{Act, CauseName, Failure, FailureClass, FailureGroup, Outcome, group_failures};
use crate::sql::{self, Excerpt};
use crate::tenant::TenantId;

/// One cause, the tenants that it has stopped, and what became of them.
pub struct Cause {
    /// What it is called.
    pub name: CauseName,
    /// An example, and every tenant.
    pub group: FailureGroup,
    /// Tenants that have not failed for good: the run has another attempt for them, or had.
    pub unsettled: usize,
    /// Tenants that have got past it since.
    pub mended: BTreeSet<TenantId>,
    /// How many tenants of the run have the migration applied; None where a version does not tell.
    pub passed: Option<u64>,
    /// The statement, where the failure names one.
    pub statement: Option<Statement>,
    /// Whether the migration is applied all the same, and their shape is unlike that of the others.
    pub is_shape: bool,
}

/// What is known of tenants by now.
pub struct Known {
    /// Their versions.
    pub versions: BTreeMap<TenantId, Version>,
    /// Those that were found to be unlike the others, and not to be like them since.
    pub unlike: HashSet<TenantId>,
}

/// A statement that failed.
pub enum Statement {
    /// As it was run.
    Shown(Excerpt),
    /// The files do not tell what it was, for this reason.
    Lost(String),
}

impl Cause {
    /// Tenants that have not got past it yet.
    pub fn open(&self) -> impl Iterator<Item = &TenantId> {
        let tenants = self.group.tenants.iter();
        tenants.filter(|tenant| !self.mended.contains(tenant))
    }
}

/// The causes of a run's failures: for each tenant that has failed, was stopped or is not done, the last failure.
/// `known` is what the ledger knows of the tenants by now; `files` are the migrations, or why they cannot be
/// read.
pub fn causes(detail: &RunDetail, known: &Known, files: Result<&MigrationSet, &str>) -> Vec<Cause> {
    let mut last: HashMap<&TenantId, &Failure> = HashMap::new();
    for attempt in &detail.failed_attempts {
        if let Some(failure) = &attempt.failure {
            last.insert(&attempt.tenant, failure);
        }
    }
    let mut unsettled: BTreeSet<&TenantId> = BTreeSet::new();
    let mut in_place: BTreeSet<&TenantId> = BTreeSet::new();
    let mut failed: Vec<(&TenantId, Failure)> = Vec::new();
    for row in &detail.tenants {
        let failure = match (row.outcome, last.get(&row.tenant)) {
            (Some(Outcome::Failed), Some(failure)) => (*failure).clone(),
            // a tenant can fail without an attempt, where the plan found it broken
            (Some(Outcome::Failed), None) => {
                let reason = row.reason.as_deref().unwrap_or("no attempt is recorded");
                Failure::new(FailureClass::Permanent, reason)
            }
            (Some(Outcome::Interrupted) | None, Some(failure)) => {
                unsettled.insert(&row.tenant);
                (*failure).clone()
            }
            _ => continue,
        };
        if row.outcome == Some(Outcome::Failed) && is_of_shape(&failure, row) {
            in_place.insert(&row.tenant);
        }
        failed.push((&row.tenant, failure));
    }
    let groups = group_failures(failed.iter().map(|(tenant, failure)| (*tenant, failure)));
    let cause = |group: FailureGroup| {
        let is_shape = group.tenants.iter().all(|tenant| in_place.contains(tenant));
        let tenants = group.tenants.iter();
        Cause {
            name: CauseName::of(&group.example),
            unsettled: tenants.filter(|tenant| unsettled.contains(tenant)).count(),
            mended: if is_shape {
                let tenants = group.tenants.iter();
                let alike = tenants.filter(|tenant| !known.unlike.contains(tenant));
                alike.cloned().collect()
            } else {
                mended(&group, &known.versions)
            },
            passed: passed(&group.example, detail).filter(|_| !is_shape),
            statement: statement(&group.example, detail, files),
            is_shape,
            group,
        }
    };
    groups.into_iter().map(cause).collect()
}

/// Whether a tenant has failed for its shape: no statement has, and the migration is applied.
fn is_of_shape(failure: &Failure, row: &RunTenantRecord) -> bool {
    let stem = failure.migration.as_deref();
    failure.statement.is_none()
        && failure.sqlstate.is_none()
        && stem.is_some_and(|stem| is_version(stem, row.to.or(row.from)))
}

/// The version that says that the migration is applied. There is none where a failure names no migration, and with
/// files that may come behind later ones.
fn telling_version(failure: &Failure) -> Option<Version> {
    let stem = failure.migration.as_deref()?;
    version_of(stem).filter(|_| stem.starts_with('V'))
}

/// How many tenants have the migration applied, by this run or before.
fn passed(failure: &Failure, detail: &RunDetail) -> Option<u64> {
    let needed = telling_version(failure)?;
    let reached = |row: &&RunTenantRecord| row.to.or(row.from).is_some_and(|now| now >= needed);
    let number = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
    let listed = number(detail.tenants.iter().filter(reached).count());
    // tenants that had nothing to do have no row
    let others = detail.run.totals.tenants;
    let others = others.saturating_sub(number(detail.tenants.len()));
    let is_meant = detail.run.target.is_some_and(|target| target >= needed);
    Some(if is_meant { listed + others } else { listed })
}

/// Tenants whose version says that the migration is applied by now.
fn mended(group: &FailureGroup, versions: &BTreeMap<TenantId, Version>) -> BTreeSet<TenantId> {
    let Some(needed) = telling_version(&group.example) else {
        return BTreeSet::new();
    };
    let is_past = |tenant: &&TenantId| versions.get(tenant).is_some_and(|now| *now >= needed);
    group.tenants.iter().filter(is_past).cloned().collect()
}

fn version_of(stem: &str) -> Option<Version> {
    stem.get(1..)?.split("__").next()?.parse().ok()
}

fn statement(
    failure: &Failure,
    detail: &RunDetail,
    files: Result<&MigrationSet, &str>,
) -> Option<Statement> {
    let stem = failure.migration.as_deref()?;
    let pointer = sql::Pointer {
        statement: failure.statement?,
        line: failure.line,
        column: failure.column,
    };
    let lost = |what: &str| Some(Statement::Lost(what.to_owned()));
    if let Some(fix) = &detail.acts.fix
        && fix.name == stem
    {
        return match statement_of_fix(fix, pointer) {
            Some(excerpt) => Some(Statement::Shown(excerpt)),
            None => lost("the ledger does not have all of its text"),
        };
    }
    let set = match files {
        Ok(set) => set,
        Err(why) => {
            let reason = format!("the migration files cannot be read: {why}");
            return Some(Statement::Lost(reason));
        }
    };
    let migration = version_of(stem)
        .and_then(|version| set.get(version))
        .filter(|migration| migration.to_string() == stem);
    let Some(migration) = migration else {
        return lost("the file is not among the migrations any more");
    };
    if !set.begins_with(&detail.run.set_fingerprint) {
        return lost("the migration files are not those of this run any more");
    }
    match sql::excerpt(&migration.body, pointer) {
        Some(excerpt) => Some(Statement::Shown(excerpt)),
        None => lost("the file does not have it any more"),
    }
}

/// The fix of a repair as the ledger has kept it. BEGIN and COMMIT around it are no statements of it, so that the
/// line says which one it is.
fn statement_of_fix(fix: &FixRecord, pointer: sql::Pointer) -> Option<Excerpt> {
    let text = fix.text.trim_start_matches('\u{feff}');
    let statement = match pointer.line {
        Some(line) => {
            let statements = sql::split(text);
            let before = statements.iter().filter(|s| s.place.line <= line).count();
            u32::try_from(before).ok()?
        }
        None => pointer.statement,
    };
    let pointer = sql::Pointer {
        statement,
        ..pointer
    };
    sql::excerpt(text, pointer)
}

/// Writes the causes and what to type next.
///
/// # Errors
/// Those of the stream.
pub fn failures(
    out: &mut dyn Write,
    run: &RunRecord,
    causes: &[Cause],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let state = run.state.as_str();
    let head = format!("Run {} ({}, {state})", run.id, clean(&run.command));
    let failed: usize = causes.iter().map(|cause| cause.group.tenants.len()).sum();
    if failed == 0 {
        return writeln!(out, "{head}: no tenant has failed");
    }
    let groups: Vec<FailureGroup> = causes.iter().map(|cause| cause.group.clone()).collect();
    let tenants = count_u64(run.totals.tenants, "tenant");
    let causes_in_words = count_causes(&groups);
    let is_settled = causes.iter().all(|cause| cause.unsettled == 0);
    let stopped = if is_settled { "" } else { " or were stopped" };
    writeln!(
        out,
        "{head}: {failed} of {tenants} failed{stopped}, with {causes_in_words}"
    )?;
    let shown = if verbosity == Verbosity::Verbose {
        causes.len()
    } else {
        CAUSES
    };
    for cause in causes.iter().take(shown) {
        writeln!(out)?;
        write_cause(out, cause, run, style, verbosity)?;
    }
    if let Some(rest) = causes.get(shown..).filter(|rest| !rest.is_empty()) {
        let tenants = rest.iter().map(|cause| cause.group.tenants.len()).sum();
        let (tenants, others) = (count(tenants, "tenant"), count(rest.len(), "other cause"));
        writeln!(out, "\n… and {tenants} with {others}; all of them: -v")?;
    }
    write_next(out, &next_steps(run, causes, style), style)
}

fn write_cause(
    out: &mut dyn Write,
    cause: &Cause,
    run: &RunRecord,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let group = &cause.group;
    writeln!(out, "{}", headline(group, style))?;
    fact(out, "cause", &clean(cause.name.as_str()), style)?;
    match &cause.statement {
        Some(Statement::Shown(excerpt)) => write_excerpt(out, excerpt, style)?,
        Some(Statement::Lost(why)) => {
            let number = group.example.statement.unwrap_or_default();
            let text = format!("{number}, which is not shown: {why}");
            fact(out, "statement", &paragraph(&text, INDENT), style)?;
        }
        None => {}
    }
    write_facts(out, &group.example, Some(group), style)?;
    if let Some(advice) = advice(&group.example) {
        let words: Vec<&str> = advice.split(' ').collect();
        fact(out, "helps", &filled(&words, style.width), style)?;
    }
    if let Some(note) = note(cause, run) {
        fact(out, "note", &note, style)?;
    }
    let tenants = names(group.tenants.iter(), INDENT, style.width, verbosity);
    fact(out, "tenants", &tenants, style)
}

/// Words in lines that fit behind a fact's label.
fn filled(words: &[&str], width: u16) -> String {
    let mut text = String::new();
    let mut column = INDENT;
    for word in words {
        let taken = console::measure_text_width(word) + 1;
        if column > INDENT && column + taken > usize::from(width) {
            let _ = write!(text, "\n{:INDENT$}", "");
            column = INDENT;
        } else if column > INDENT {
            text.push(' ');
        }
        text.push_str(word);
        column += taken;
    }
    text
}

/// What became of the tenants, where they did not all fail for good.
fn note(cause: &Cause, run: &RunRecord) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(passed_in_words(cause));
    if cause.is_shape {
        parts.push("the migration is applied; it is the shape that differs".to_owned());
    }
    if cause.unsettled > 0 {
        let number = cause.unsettled;
        parts.push(match run.state {
            RunState::Running => format!("{number} of these to be tried again in this run"),
            RunState::Abandoned | RunState::Finished(_) => format!(
                "{number} of these {} stopped before another attempt",
                verb(number, "was", "were")
            ),
        });
    }
    if !cause.mended.is_empty() {
        let number = cause.mended.len();
        let has = verb(number, "has", "have");
        parts.push(if cause.is_shape {
            format!("{number} of these {has} been found to be like the others since")
        } else {
            format!("{number} of these {has} got past it since")
        });
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// Whether the file is to blame or the tenants are the odd ones; what passes by itself says nothing about either.
fn passed_in_words(cause: &Cause) -> Option<String> {
    let failure = &cause.group.example;
    let passed = cause.passed?;
    if failure.class != FailureClass::Permanent {
        return None;
    }
    let stem = clean(failure.migration.as_deref()?);
    Some(match passed {
        0 => format!("no tenant of this run has {stem} applied"),
        1 => format!("one tenant of this run has {stem} applied"),
        _ => format!("{passed} tenants of this run have {stem} applied"),
    })
}

fn next_steps(run: &RunRecord, causes: &[Cause], style: Style) -> Vec<Step> {
    if run.state == RunState::Running {
        let what = "follows the run to its end".to_owned();
        return vec![(format!("fleet watch {}", run.id), what)];
    }
    let open: Vec<&Cause> = causes
        .iter()
        .filter(|c| c.open().next().is_some())
        .collect();
    let Some(first) = open.first() else {
        return Vec::new();
    };
    let tenants_of = format!("fleet failures {} --tenants-of {}", run.id, first.name);
    // an act is typed again, not carried on
    let is_act = Act::parse(&run.command).is_some();
    let passes = first.group.example.class == FailureClass::Transient;
    let of_one = if passes && !is_act {
        format!("fleet resume {} --tenants-from -", run.id)
    } else {
        "fleet repair --tenants-from - --sql FILE".to_owned()
    };
    let of_one = style.invocation.command(&of_one);
    let what = format!("the tenants of one cause: … | {of_one}");
    let mut steps = Vec::new();
    if open.iter().any(|cause| cause.is_shape) {
        let what = "in what shapes differ; --fix-plan prints SQL that aligns them";
        steps.push(("fleet verify".to_owned(), what.to_owned()));
    }
    // the file is to be mended, and no tenant
    if !first.group.example.is_leak() {
        steps.push((tenants_of, what));
    }
    if !is_act {
        let mended = verb(open.len(), "the cause is", "all of them are");
        let resume = format!("fleet resume {}", run.id);
        steps.push((resume, format!("when {mended} mended")));
    }
    steps
}

/// Writes the tenants of a cause that are still open, a word a line.
///
/// # Errors
/// Those of the stream.
pub fn tenant_words(out: &mut dyn Write, cause: &Cause) -> io::Result<()> {
    for tenant in cause.open() {
        writeln!(out, "{}", tenant.to_word())?;
    }
    Ok(())
}

/// The names of causes, as somebody may have meant them.
pub fn cause_names(causes: &[Cause]) -> String {
    let names: Vec<String> = causes
        .iter()
        .map(|cause| clean(cause.name.as_str()))
        .collect();
    names.join(", ")
}

/// Says that there is nothing to show.
///
/// # Errors
/// Those of the stream.
pub fn no_failures(out: &mut dyn Write, style: Style) -> io::Result<()> {
    writeln!(
        out,
        "{}",
        style.paint(Tone::Success, "No recorded run has failures")
    )
}
