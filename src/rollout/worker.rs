//! One attempt at one tenant, on a task of its own.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::migrator::{Applied, Assignment, MigrateError, MigrateErrorCause, TenantMigrator};
use crate::run::{Failure, FailureClass, Progress};
use crate::tenant::TenantId;

/// What a worker tells.
#[derive(Debug)]
pub(super) struct Told {
    /// About which tenant.
    pub(super) tenant: TenantId,
    /// What.
    pub(super) progress: Progress,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct AttemptReport {
    /// What the migrator says.
    pub(super) result: Result<Applied, MigrateError>,
    /// How long it took.
    pub(super) duration: Duration,
}

/// Makes the attempt.
pub(super) async fn attempt<M: TenantMigrator>(
    migrator: Arc<M>,
    assignment: Assignment,
    told: UnboundedSender<Told>,
    abort: CancellationToken,
) -> AttemptReport {
    let started = Instant::now();
    let tenant = assignment.tenant.id.clone();
    let tell = |progress: Progress| {
        // nobody listens any more only where the engine itself has ended
        let _ = told.send(Told {
            tenant: tenant.clone(),
            progress,
        });
    };
    let result = migrator.migrate(&assignment, tell, &abort).await;
    AttemptReport {
        result,
        duration: started.elapsed(),
    }
}

/// A panic is that tenant's failure, never the run's.
pub(super) fn panic_report(error: JoinError) -> AttemptReport {
    let message = match error.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "no message".to_owned()),
        Err(_) => "the task was cancelled".to_owned(),
    };
    let failure = Failure::new(
        FailureClass::Permanent,
        format!("internal error, the worker panicked: {message}"),
    )
    .with_hint(
        "this is a defect of fleet: please report it. What it had sent may have committed: fleet resume reads the history first",
    );
    AttemptReport {
        result: Err(MigrateError {
            applied: Applied::default(),
            in_doubt: true,
            cause: MigrateErrorCause::Failed(Box::new(failure)),
        }),
        duration: Duration::ZERO,
    }
}
