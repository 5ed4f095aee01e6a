//! Acts in documents: that of `--dry-run`, and their part in that of `show`.

use serde::Serialize;

use super::{Each, TenantKey};
use crate::ledger::{ActRecord, ActsOfRun, FixRecord, HistoryRow, RunRecord};
use crate::migration::Version;
use crate::plan::{Action, Refusal, TenantPlan};
use crate::report::acts::{Intent, act_state};
use crate::report::wording::stem;
use crate::run::Act;

#[derive(Serialize)]
struct IntentDocument<'a, T> {
    act: Act,
    dry_run: bool,
    target: Option<Version>,
    fix: Option<FixKeys<'a>>,
    tenants: T,
}

#[derive(Serialize)]
struct FixKeys<'a> {
    name: &'a str,
    sha256: &'a str,
    bytes: usize,
}

#[derive(Serialize)]
struct IntentRow<'a> {
    #[serde(flatten)]
    key: TenantKey<'a>,
    from: Option<Version>,
    action: &'static str,
    migrations: Vec<String>,
    reason: Option<String>,
    hint: Option<&'static str>,
}

/// What an act would do.
pub fn intent_document<'a>(of: Intent<'a>) -> impl Serialize + 'a {
    IntentDocument {
        act: of.act,
        dry_run: true,
        target: of.plan.target,
        fix: of.fix.map(|fix| FixKeys {
            name: &fix.name,
            sha256: fix.sha256(),
            bytes: fix.text.len(),
        }),
        tenants: Each::of(&of.plan.tenants, move |tenant: &'a TenantPlan| {
            intent_row(of, tenant)
        }),
    }
}

fn intent_row<'a>(of: Intent<'a>, tenant: &'a TenantPlan) -> IntentRow<'a> {
    let refusal = match &tenant.action {
        Action::Refuse(refusal) => Some(refusal),
        Action::UpToDate | Action::Migrate(_) | Action::Hold(_) => None,
    };
    let versions = tenant.action.pending().iter();
    let before = of.before.get(&tenant.tenant.id);
    IntentRow {
        key: TenantKey::of(&tenant.tenant.id),
        from: tenant.from,
        action: match tenant.action {
            Action::Migrate(ref versions) if before.is_some() => match **versions {
                [] => Action::UpToDate.as_str(),
                [..] => tenant.action.as_str(),
            },
            Action::Migrate(_) => of.act.as_str(),
            Action::UpToDate | Action::Refuse(_) | Action::Hold(_) => tenant.action.as_str(),
        },
        migrations: versions.map(|version| stem(of.set, *version)).collect(),
        reason: before.cloned().or_else(|| refusal.map(ToString::to_string)),
        hint: refusal.map(Refusal::hint),
    }
}

/// The keys that an act has beyond those of other runs.
#[derive(Serialize)]
pub(super) struct ActsKeys<'a> {
    reason: Option<&'a str>,
    fix: Option<&'a FixRecord>,
    acts: Vec<ActRow<'a>>,
}

#[derive(Serialize)]
struct ActRow<'a> {
    at: &'a str,
    actor: &'a str,
    act: &'a str,
    #[serde(flatten)]
    key: TenantKey<'a>,
    versions: &'a [Version],
    state: &'static str,
    reason: Option<&'a str>,
    was: &'a [HistoryRow],
    now: &'a [HistoryRow],
}

impl<'a> ActsKeys<'a> {
    /// None for a run that is no act.
    pub(super) fn of(run: &RunRecord, recorded: &'a ActsOfRun) -> Option<Self> {
        Act::parse(&run.command).map(|_| Self {
            reason: recorded.reason.as_deref(),
            fix: recorded.fix.as_ref(),
            acts: recorded.acts.iter().map(act_row).collect(),
        })
    }
}

fn act_row(act: &ActRecord) -> ActRow<'_> {
    ActRow {
        at: &act.at,
        actor: &act.actor,
        act: &act.act,
        key: TenantKey::of(&act.tenant),
        versions: &act.versions,
        state: act_state(act.outcome),
        reason: act.reason.as_deref(),
        was: &act.was,
        now: &act.now,
    }
}
