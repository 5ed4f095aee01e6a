//! What an attempt finds in its tenant, and what is left to do there.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::refinery::RefineryMigrator;
use super::{Applied, Assignment, Knowledge, MigrateError, MigrateErrorCause, lock};
use crate::history;
use crate::migration::Version;
use crate::pg;
use crate::plan::{self, Action, HistorySnapshot};
use crate::run::{Failure, Progress};

impl RefineryMigrator {
    /// The history is the plan's until an attempt has been there.
    pub(super) async fn current_history(
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

    /// What of the assignment the history holds already: ours where the last attempt's end is not
    /// known, else somebody else's.
    pub(super) fn found(&self, assignment: &Assignment, history: &HistorySnapshot) -> Applied {
        let migrations = match history {
            HistorySnapshot::Rows { rows, .. } if assignment.knowledge == Knowledge::InDoubt => {
                assignment
                    .pending
                    .iter()
                    .filter(|version| rows.iter().any(|row| row.version == **version))
                    .filter_map(|version| Some(self.set.get(*version)?.to_string()))
                    .collect()
            }
            _ => Vec::new(),
        };
        Applied {
            migrations,
            version: plan::version_of(history),
            notes: Vec::new(),
        }
    }

    /// What is to be applied; None where nothing is left.
    pub(super) fn pending(
        &self,
        assignment: &Assignment,
        history: &HistorySnapshot,
    ) -> Result<Option<Arc<[Version]>>, MigrateError> {
        if assignment.knowledge == Knowledge::Planned {
            return Ok(Some(Arc::clone(&assignment.pending)));
        }
        match plan::decide(assignment.tenant.presence, history, &self.set, self.target) {
            Action::Migrate(pending) => Ok(Some(pending)),
            Action::UpToDate => Ok(None),
            Action::Refuse(refusal) => Err(MigrateError {
                applied: self.found(assignment, history),
                in_doubt: false,
                cause: match history {
                    // it had one when the plan was made
                    HistorySnapshot::SchemaAbsent => MigrateErrorCause::Gone,
                    _ => MigrateErrorCause::Refused(Box::new(refusal)),
                },
            }),
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
