//! What an attempt finds in its tenant, and what is left to do there.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::refinery::RefineryMigrator;
use super::repair::FixState;
use super::{Applied, Assignment, Knowledge, MigrateError, MigrateErrorCause, Work, lock};
use crate::history;
use crate::migration::Version;
use crate::pg;
use crate::plan::{self, Action, AfterFix, Entry, HistorySnapshot, VersionColumn};
use crate::run::{Failure, Progress};

/// What an attempt finds.
pub(super) struct Look<'a> {
    /// The tenant's history.
    pub(super) history: HistorySnapshot,
    /// The width of a history table that is there and empty, where that matters.
    pub(super) column: Option<VersionColumn>,
    /// Where the tenant stands with the fix of the run.
    pub(super) fix: FixState<'a>,
}

impl Look<'_> {
    fn is_fix_due(&self) -> bool {
        matches!(self.fix, FixState::Due(_))
    }
}

impl RefineryMigrator {
    /// Looks at the tenant, as far as the plan has not.
    pub(super) async fn look(
        &self,
        client: &Client,
        assignment: &Assignment,
        tell: &(impl Fn(Progress) + Send + Sync),
        abort: &CancellationToken,
    ) -> Result<Look<'_>, MigrateErrorCause> {
        let failed = |error: tokio_postgres::Error| {
            cause_of(pg::failure_of(&error), pg::is_connection_lost(&error))
        };
        let schema = &assignment.tenant.id.schema;
        let history = self
            .current_history(client, assignment, tell, abort)
            .await?;
        let mut look = Look {
            history,
            column: None,
            fix: FixState::None,
        };
        match &self.work {
            Work::Migrate => {}
            Work::Repair(repair) => {
                look.fix = repair.state(client, schema).await.map_err(failed)?;
            }
            Work::Enter(_) => {
                if matches!(look.history, HistorySnapshot::NoTable { .. }) {
                    let table = &self.settings.history_table;
                    let column = history::column_of(client, schema, table).await;
                    look.column = column.map_err(failed)?;
                }
            }
        }
        Ok(look)
    }

    /// The history is the plan's until an attempt has been there.
    async fn current_history(
        &self,
        client: &Client,
        assignment: &Assignment,
        tell: &(impl Fn(Progress) + Send + Sync),
        abort: &CancellationToken,
    ) -> Result<HistorySnapshot, MigrateErrorCause> {
        let schema = &assignment.tenant.id.schema;
        match assignment.knowledge {
            Knowledge::Planned => return Ok(assignment.history.clone()),
            Knowledge::Outdated => {}
            Knowledge::InDoubt => {
                let (patience, dead) = (self.settings.patience, &self.settings.dead_sessions);
                tokio::select! {
                    waited = lock::wait_until_free(client, schema, patience, dead, tell) => {
                        waited.map_err(|error| cause_of(error.failure, error.lost))?;
                    }
                    () = abort.cancelled() => return Err(MigrateErrorCause::Cancelled),
                }
            }
        }
        let history = history::read_one(client, schema, &self.settings.history_table).await;
        history.map_err(|error| cause_of(pg::failure_of(&error), pg::is_connection_lost(&error)))
    }

    /// What of the assignment is done already: ours where the last attempt's end is not known, else
    /// somebody else's.
    pub(super) fn found(&self, assignment: &Assignment, look: &Look<'_>) -> Applied {
        let is_ours = assignment.knowledge == Knowledge::InDoubt;
        let is_entry = matches!(self.work, Work::Enter(_));
        let migrations = match &look.history {
            HistorySnapshot::Rows { rows, .. } if is_ours && !is_entry => assignment
                .pending
                .iter()
                .filter(|version| rows.iter().any(|row| row.version == **version))
                .filter_map(|version| Some(self.set.get(*version)?.to_string()))
                .collect(),
            _ => Vec::new(),
        };
        let is_entered =
            is_ours && is_entry && Entry::is_made(&assignment.pending, &look.history, &self.set);
        Applied {
            migrations,
            version: plan::version_of(&look.history),
            notes: match &look.fix {
                FixState::RunBefore(words) => vec![words.clone()],
                FixState::None | FixState::Due(_) | FixState::Run => Vec::new(),
            },
            has_mended: is_entered || matches!(look.fix, FixState::Run),
        }
    }

    /// What is to be applied, or entered; None where nothing is left to do.
    pub(super) fn pending(
        &self,
        assignment: &Assignment,
        look: &Look<'_>,
    ) -> Result<Option<Arc<[Version]>>, MigrateError> {
        let some = |pending: Arc<[Version]>| {
            let is_left = look.is_fix_due() || !pending.is_empty();
            is_left.then_some(pending)
        };
        if assignment.knowledge == Knowledge::Planned {
            return Ok(some(Arc::clone(&assignment.pending)));
        }
        match self.decide_again(assignment, &look.history) {
            Action::Migrate(pending) => Ok(some(pending)),
            // holds are no matter of the history: deciding by it never says so
            Action::UpToDate | Action::Hold(_) => Ok(some([].into())),
            Action::Refuse(refusal) => Err(MigrateError {
                applied: self.found(assignment, look),
                in_doubt: false,
                cause: match look.history {
                    // it had one when the plan was made
                    HistorySnapshot::SchemaAbsent => MigrateErrorCause::Gone,
                    _ => MigrateErrorCause::Refused(Box::new(refusal)),
                },
            }),
        }
    }

    fn decide_again(&self, assignment: &Assignment, history: &HistorySnapshot) -> Action {
        let presence = assignment.tenant.presence;
        match &self.work {
            Work::Repair(repair)
                if repair.then == AfterFix::Stop
                    && matches!(history, HistorySnapshot::Rows { .. }) =>
            {
                Action::UpToDate
            }
            Work::Enter(_)
                if assignment.knowledge == Knowledge::InDoubt
                    && Entry::is_made(&assignment.pending, history, &self.set) =>
            {
                Action::UpToDate
            }
            Work::Enter(entry) => entry.decide(presence, history, &self.set),
            Work::Migrate | Work::Repair(_) => {
                plan::decide(presence, history, &self.set, assignment.target)
            }
        }
    }
}

fn cause_of(failure: Failure, lost: bool) -> MigrateErrorCause {
    let failure = Box::new(failure);
    if lost {
        MigrateErrorCause::Lost(failure)
    } else {
        MigrateErrorCause::Failed(failure)
    }
}
