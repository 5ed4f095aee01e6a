//! Migrations are judged before they are run: what is denied is refused before the lease is taken, warnings are told
//! with the plan.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::deed::Deed;
use super::fleet::{Fleet, Found};
use super::options::Selection;
use super::output::Output;
use crate::config::Config;
use crate::lint::{self, Finding, Group, Level, RULES, Script, Terms};
use crate::migration::{Migration, MigrationSet, TransactionMode, Version};
use crate::plan::{Action, HistorySnapshot, Plan};
use crate::report::{self, Verbosity};

/// More warnings than anybody reads in front of a run.
const MOST_TOLD: usize = 10;

/// Files that must not be run.
#[derive(Debug)]
pub(super) struct LintRefused {
    /// Why, file by file.
    pub(super) findings: Vec<Finding>,
}

impl fmt::Display for LintRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let denied = report::FindingCounts::of(&self.findings).denied;
        let noun = if denied == 1 { "finding" } else { "findings" };
        write!(
            f,
            "the migrations that are to be run are refused by the lint, {denied} {noun}:\n{}",
            report::findings_block(&self.findings)
        )
    }
}

impl std::error::Error for LintRefused {}

/// What can be done about it.
pub(super) const REFUSED_HINT: &str = "change the file; or put `-- fleet: allow RULE reason` in front of the statement; or set the rule's level in lint.rules of the config";

/// What the config asks of files.
pub(super) fn terms(config: &Config) -> Terms {
    Terms {
        shared: config.shared_schemas(),
        levels: config.lint.levels.clone(),
        tenant_column: config.lint.tenant_column.clone(),
    }
}

/// Refuses what is denied in files that are pending for a selected tenant and that no tenant has. The databases are
/// asked only where something is denied.
pub(super) async fn refuse(
    fleet: &Fleet,
    (set, target): (&MigrationSet, Option<Version>),
    selection: &Selection,
) -> anyhow::Result<()> {
    let config = &fleet.config;
    let mut terms = terms(config);
    if !may_deny(&terms, Group::Locks) {
        // the slower half of the work, and all of its findings would be dropped
        terms.levels.lock_safety = Level::Off;
        terms.levels.rules.retain(|name, _| is_no_lock(name));
    }
    let is_meant = |migration: &Migration| {
        let version = migration.version();
        version >= config.lint.from && target.is_none_or(|target| version <= target)
    };
    let findings = judge(set, is_meant, &terms).await?;
    if findings.iter().all(|finding| finding.level != Level::Deny) {
        return Ok(());
    }
    let tenants = fleet.tenants(selection).await?;
    let pending = pending(fleet, set, tenants).await?;
    let findings: Vec<Finding> = findings
        .into_iter()
        .filter(|finding| finding.level == Level::Deny)
        .filter(|finding| pending.contains(&*finding.path))
        .collect();
    if findings.is_empty() {
        return Ok(());
    }
    Err(LintRefused { findings }.into())
}

/// Whether [`refuse`] would.
pub(super) async fn is_refused(
    fleet: &Fleet,
    set: (&MigrationSet, Option<Version>),
    selection: &Selection,
) -> anyhow::Result<bool> {
    match refuse(fleet, set, selection).await {
        Ok(()) => Ok(false),
        Err(error) if error.is::<LintRefused>() => Ok(true),
        Err(error) => Err(error),
    }
}

/// Tells what was found in the files of a plan, shortly and once.
pub(super) async fn tell(
    fleet: &Fleet,
    (set, plan): (&MigrationSet, &Plan),
    deed: Option<&Deed>,
    output: &Output,
) {
    let runs_files = deed.is_none_or(Deed::migrates);
    if !runs_files || output.verbosity == Verbosity::Quiet {
        return;
    }
    if fleet.is_linted.swap(true, Ordering::Relaxed) {
        return;
    }
    let terms = Terms {
        // what a table must have at the end is no matter of the files that are pending
        tenant_column: None,
        ..terms(&fleet.config)
    };
    let mut pending: HashSet<Version> = HashSet::new();
    for tenant in &plan.tenants {
        if let Action::Migrate(versions) = &tenant.action {
            pending.extend(versions.iter());
        }
    }
    for tenant in &plan.tenants {
        if pending.is_empty() {
            return;
        }
        if let HistorySnapshot::Rows { rows, .. } = &tenant.history {
            for row in rows.iter() {
                pending.remove(&row.version);
            }
        }
    }
    tell_of_unproven(set, &pending, output);
    let from = fleet.config.lint.from;
    let is_meant = |migration: &Migration| {
        migration.version() >= from && pending.contains(&migration.version())
    };
    let Ok(mut findings) = judge(set, is_meant, &terms).await else {
        return;
    };
    findings.retain(|finding| finding.level >= Level::Warn);
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    for finding in findings.iter().take(MOST_TOLD) {
        output.lint(&report::finding_line(finding));
    }
    if let Some(more @ 1..) = findings.len().checked_sub(MOST_TOLD) {
        output.lint(&format!("and {more} more"));
    }
    if !findings.is_empty() {
        output.lint("fleet lint --all says why, and how to write it");
    }
}

/// Names the files of which nothing proves that they keep to their tenants, with the reason.
fn tell_of_unproven(set: &MigrationSet, pending: &HashSet<Version>, output: &Output) {
    let migrations = set.migrations().iter();
    let migrations = migrations.filter(|migration| pending.contains(&migration.version()));
    let unproven: Vec<String> = migrations
        .filter_map(|migration| {
            let in_transaction = migration.mode == TransactionMode::Transactional;
            let why = lint::unproven(&migration.body, in_transaction)?;
            Some(format!("{migration} ({why})"))
        })
        .collect();
    if !unproven.is_empty() {
        output.notice(&format!(
            "not proven to keep to their tenants: {}",
            unproven.join(", ")
        ));
    }
}

/// Judges some files of a set; all are read, for the tables that they make.
async fn judge(
    set: &MigrationSet,
    is_meant: impl Fn(&Migration) -> bool,
    terms: &Terms,
) -> anyhow::Result<Vec<Finding>> {
    let texts = set.migrations().iter().map(|migration| Text {
        path: migration.path.clone(),
        body: migration.body.to_string(),
        in_transaction: migration.mode == TransactionMode::Transactional,
        is_judged: is_meant(migration),
    });
    let texts: Vec<Text> = if terms.tenant_column.is_some() {
        texts.collect()
    } else {
        texts.filter(|text| text.is_judged).collect()
    };
    aside(texts, terms.clone()).await
}

/// A script that a thread can keep.
pub(super) struct Text {
    pub(super) path: PathBuf,
    pub(super) body: String,
    pub(super) in_transaction: bool,
    pub(super) is_judged: bool,
}

/// Judges on a thread of its own, so that signals are heard meanwhile; the runtime does not wait for that thread.
pub(super) async fn aside(texts: Vec<Text>, terms: Terms) -> anyhow::Result<Vec<Finding>> {
    let (done, findings) = oneshot::channel();
    std::thread::Builder::new().spawn(move || {
        let scripts: Vec<Script<'_>> = texts
            .iter()
            .map(|text| Script {
                path: &text.path,
                text: &text.body,
                in_transaction: text.in_transaction,
                is_judged: text.is_judged,
            })
            .collect();
        // nobody listens any more after a signal
        let _ = done.send(lint::lint(&scripts, &terms));
    })?;
    Ok(findings.await?)
}

/// Files that no tenant has and some selected one has not.
async fn pending<'a>(
    fleet: &Fleet,
    set: &'a MigrationSet,
    tenants: Found,
) -> anyhow::Result<HashSet<&'a Path>> {
    if tenants.selected.is_empty() {
        return Ok(HashSet::new());
    }
    let applied = applied_anywhere(fleet, &tenants).await?;
    let open = set
        .migrations()
        .iter()
        .filter(|migration| !applied.contains(&migration.version()));
    Ok(open.map(|migration| migration.path.as_path()).collect())
}

/// The versions that some tenant has.
pub(super) async fn applied_anywhere(
    fleet: &Fleet,
    tenants: &Found,
) -> anyhow::Result<HashSet<Version>> {
    let all = tenants.selected.iter().chain(&tenants.others);
    let histories = fleet.read_histories(all).await?;
    let mut applied = HashSet::new();
    for history in histories
        .values()
        .flat_map(|of_database| of_database.values())
    {
        if let HistorySnapshot::Rows { rows, steps, .. } = history {
            applied.extend(rows.iter().map(|row| row.version));
            // a file that was begun has to be ended
            applied.extend(steps.iter().map(|step| step.version));
        }
    }
    Ok(applied)
}

/// Whether a finding of a group can refuse a file.
fn may_deny(terms: &Terms, group: Group) -> bool {
    RULES
        .iter()
        .any(|rule| rule.group == group && terms.levels.of(rule) == Level::Deny)
}

fn is_no_lock(name: &str) -> bool {
    lint::rule(name).is_ok_and(|rule| rule.group != Group::Locks)
}
