//! Rehearses tenants: on real ones, without a trace.

use std::collections::VecDeque;
use std::time::Duration;

use deadpool_postgres::Object;
use tokio_util::sync::CancellationToken;

use super::connection::{End, TenantConnection};
use super::message::ExpectedHead;
use super::refinery::TenantDatabase;
use super::rehearse::Rehearsed;
use super::{Applied, MigrateErrorCause, RefineryMigrator, TransactionScope};
use crate::migration::{Migration, SessionUse, TransactionMode};
use crate::pg::{self, CancelHandle};
use crate::plan::{Action, HistorySnapshot, TenantPlan};
use crate::run::{
    Failure, FailureClass, MigrationStem, NotRehearsed, NotRehearsedCause, RehearsalOutcome,
    RehearsedMigration, TenantRehearsal,
};

/// Ends a transaction whose client has stopped in the middle of a rehearsal: a run's never waits for its client.
const IDLE_LIMIT: &str = "idle_in_transaction_session_timeout=10000";

/// How a file says that it adds a value to an enum, blanks aside.
const ADDS_ENUM_VALUE: &str = "ADD VALUE";

/// What bounds a rehearsal's statements; zero is without limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RehearsalLimits {
    /// Waiting for a lock.
    pub lock_timeout: Duration,
    /// Running.
    pub statement_timeout: Duration,
}

/// Runs a tenant's pending migrations and rolls them back. The engine's door to the databases.
pub trait TenantRehearser: Send + Sync {
    /// Rehearses one tenant. `abort` cancels the statement that runs on the server.
    fn rehearse(
        &self,
        plan: &TenantPlan,
        abort: &CancellationToken,
    ) -> impl Future<Output = TenantRehearsal> + Send;
}

/// Rehearses what a migrator would do.
pub struct Rehearser {
    migrator: RefineryMigrator,
    /// The limit for statements, where it is the rehearsal's and not the run's.
    own_limit: Option<Duration>,
}

/// How the rehearsal of a tenant ended that did not go through.
struct Stopped {
    outcome: RehearsalOutcome,
    cause: Option<NotRehearsedCause>,
    failure: Option<Failure>,
}

impl Rehearser {
    /// Of what this migrator does, within its own limits and these.
    pub fn new(mut migrator: RefineryMigrator, limits: RehearsalLimits) -> Self {
        let of_run = migrator.settings.statement_timeout;
        let settings = &mut migrator.settings;
        settings.lock_timeout = shorter(settings.lock_timeout, limits.lock_timeout);
        settings.statement_timeout = shorter(of_run, limits.statement_timeout);
        let own_limit =
            (settings.statement_timeout != of_run).then_some(settings.statement_timeout);
        Self {
            migrator,
            own_limit,
        }
    }

    async fn run(
        &self,
        plan: &TenantPlan,
        pending: &[&Migration],
        abort: &CancellationToken,
    ) -> TenantRehearsal {
        let mut result = TenantRehearsal::new(
            plan.tenant.id.clone(),
            plan.from,
            RehearsalOutcome::NotRehearsed,
        );
        let is_transactional = |m: &&&Migration| m.mode == TransactionMode::Transactional;
        let rehearsable = pending.iter().take_while(is_transactional).count();
        if abort.is_cancelled() {
            let stopped = Stopped::not_rehearsed(NotRehearsedCause::Stopped);
            stopped.tell(&mut result, pending);
        } else if rehearsable == 0 {
            let stopped = Stopped::not_rehearsed(NotRehearsedCause::NonTransactional);
            stopped.tell(&mut result, pending);
        } else {
            match self
                .attempt(plan, &pending[..rehearsable], abort, &mut result)
                .await
            {
                Ok(()) => {
                    result.outcome = RehearsalOutcome::WouldSucceed;
                    result.not_rehearsed = behind(
                        &NotRehearsedCause::NonTransactional,
                        &pending[rehearsable..],
                    );
                }
                Err(stopped) => stopped.tell(&mut result, pending),
            }
        }
        result
    }

    async fn attempt(
        &self,
        plan: &TenantPlan,
        migrations: &[&Migration],
        abort: &CancellationToken,
        result: &mut TenantRehearsal,
    ) -> Result<(), Stopped> {
        let id = &plan.tenant.id;
        let database = self.migrator.database(&id.database).map_err(Stopped::of)?;
        let connection = tokio::select! {
            connection = pg::checkout(&database.pool, &id.database) => connection,
            () = abort.cancelled() => return Err(Stopped::not_rehearsed(NotRehearsedCause::Stopped)),
        };
        let connection = connection.map_err(|error| {
            Stopped::of(MigrateErrorCause::Unreachable(Box::new(error.failure())))
        })?;
        let mut rehearsed = Rehearsed::default();
        let ended = self
            .in_transaction(
                plan,
                migrations,
                (&connection, abort),
                &mut rehearsed,
                database,
            )
            .await;
        result.duration = rehearsed.took;
        result.migrations = match ended {
            Ok(done) => done,
            Err((end, done)) => {
                result.migrations = done;
                return Err(self
                    .explain(end, plan, migrations, &rehearsed, connection)
                    .await);
            }
        };
        Ok(())
    }

    /// All of it on one connection, which is made as new afterwards.
    async fn in_transaction(
        &self,
        plan: &TenantPlan,
        migrations: &[&Migration],
        (connection, abort): (&Object, &CancellationToken),
        rehearsed: &mut Rehearsed,
        database: &TenantDatabase,
    ) -> Result<Vec<RehearsedMigration>, (End, Vec<RehearsedMigration>)> {
        let settings = &self.migrator.settings;
        let ground = self.migrator.ground(&plan.history, None);
        let envelope = self.migrator.envelope(database, &plan.tenant.id, &ground);
        let refused = |failure| {
            let end = End::Failed {
                failure,
                guard: None,
                lost: false,
            };
            (end, Vec::new())
        };
        let mut envelope = envelope.map_err(refused)?;
        envelope.checks_leaks = true;
        envelope.settings.extend([
            format!("lock_timeout={}", envelope.lock_timeout_ms),
            format!("statement_timeout={}", envelope.statement_timeout_ms),
            IDLE_LIMIT.to_owned(),
        ]);
        let mut tenant = TenantConnection {
            client: connection,
            pool: &database.pool,
            cancel: CancelHandle::of(connection, database.pool.url()),
            abort,
            envelope,
            expected: ExpectedHead::of(&plan.history),
            history: Vec::new(),
            pending: VecDeque::new(),
            fix: None,
            index_build_timeout: settings.index_build_timeout,
            tell: |_| {},
            session: SessionUse::None,
            applied: Applied::default(),
            ended: None,
        };
        let ended = tenant.rehearse(migrations, settings.scope, rehearsed).await;
        let done = match &ended {
            Err(End::Failed { lost: true, .. }) => Ok(Vec::new()),
            _ => tenant.with_locks(rehearsed, settings.scope).await,
        };
        database.pool.send_reset(connection);
        match (ended, done) {
            (Ok(()), Ok(done)) => Ok(done),
            (Ok(()), Err(end)) => Err((end, Vec::new())),
            (Err(end), done) => Err((end, done.unwrap_or_default())),
        }
    }

    /// What an end means that was not the hoped for one.
    async fn explain(
        &self,
        end: End,
        plan: &TenantPlan,
        migrations: &[&Migration],
        rehearsed: &Rehearsed,
        connection: Object,
    ) -> Stopped {
        let number = rehearsed.done.len();
        if let End::Failed { failure, .. } = &end {
            let code = failure.sqlstate.as_deref();
            if let (Some("57014"), Some(limit)) = (code, self.own_limit)
                && rehearsed.last_took >= limit
            {
                return Stopped::not_rehearsed(NotRehearsedCause::TooLong(limit));
            }
            let is_apart = self.migrator.settings.scope == TransactionScope::Migration;
            if is_apart && number > 0 && needs_commit(code, migrations.get(number)) {
                return Stopped::not_rehearsed(NotRehearsedCause::NeedsCommit);
            }
        }
        let is_there = plan.history != HistorySnapshot::SchemaAbsent;
        let place = (&plan.tenant.id.schema, is_there);
        let expected = ExpectedHead::of(&plan.history);
        let explaining = self
            .migrator
            .explain_end(Ok(end), expected, connection, place);
        Stopped::of(explaining.await.0)
    }
}

impl TenantRehearser for Rehearser {
    async fn rehearse(&self, plan: &TenantPlan, abort: &CancellationToken) -> TenantRehearsal {
        let settled = |outcome| TenantRehearsal::new(plan.tenant.id.clone(), plan.from, outcome);
        match &plan.action {
            Action::UpToDate => settled(RehearsalOutcome::UpToDate),
            Action::Hold(held) => TenantRehearsal {
                reason: Some(held.to_string()),
                ..settled(RehearsalOutcome::Held)
            },
            Action::Refuse(refusal) => TenantRehearsal {
                reason: Some(format!("{refusal} ({})", refusal.hint())),
                ..settled(RehearsalOutcome::Refused)
            },
            Action::Migrate(pending) => {
                let pending = pending.iter().filter_map(|v| self.migrator.set.get(*v));
                let pending: Vec<&Migration> = pending.collect();
                self.run(plan, &pending, abort).await
            }
        }
    }
}

impl Stopped {
    fn not_rehearsed(cause: NotRehearsedCause) -> Self {
        Self {
            outcome: RehearsalOutcome::NotRehearsed,
            cause: Some(cause),
            failure: None,
        }
    }

    fn of(cause: MigrateErrorCause) -> Self {
        match cause {
            MigrateErrorCause::Failed(failure) | MigrateErrorCause::Leaked(failure) => Self {
                outcome: match failure.class {
                    FailureClass::Permanent => RehearsalOutcome::WouldFail,
                    FailureClass::Transient => RehearsalOutcome::Busy,
                },
                cause: None,
                failure: Some(*failure),
            },
            MigrateErrorCause::Lost(failure) | MigrateErrorCause::Unreachable(failure) => Self {
                failure: Some(*failure),
                ..Self::not_rehearsed(NotRehearsedCause::Lost)
            },
            MigrateErrorCause::Gone => Self::not_rehearsed(NotRehearsedCause::Gone),
            // the others are ends of steps, of retries and of the attempts of a run
            MigrateErrorCause::Cancelled
            | MigrateErrorCause::Deferred
            | MigrateErrorCause::TurnOver
            | MigrateErrorCause::Refused(_)
            | MigrateErrorCause::NotDone => Self::not_rehearsed(NotRehearsedCause::Stopped),
        }
    }

    /// Puts it into the result, and names what was not rehearsed for it.
    fn tell(self, result: &mut TenantRehearsal, pending: &[&Migration]) {
        result.outcome = self.outcome;
        result.failure = self.failure;
        if let Some(cause) = self.cause {
            if cause == NotRehearsedCause::NeedsCommit && !result.migrations.is_empty() {
                // as where one follows that runs without a transaction
                result.outcome = RehearsalOutcome::WouldSucceed;
            }
            result.not_rehearsed = behind(&cause, &pending[result.migrations.len()..]);
        }
    }
}

/// The first of these was not rehearsed for this cause, the others because they come after it.
fn behind(cause: &NotRehearsedCause, migrations: &[&Migration]) -> Vec<NotRehearsed> {
    let Some(first) = migrations.first().map(|first| MigrationStem::of(first)) else {
        return Vec::new();
    };
    let cause_of = |(index, migration): (usize, &&Migration)| match migration.mode {
        _ if index == 0 => cause.clone(),
        TransactionMode::NonTransactional => NotRehearsedCause::NonTransactional,
        TransactionMode::Transactional => NotRehearsedCause::Behind(first.clone()),
    };
    let all = migrations.iter().enumerate();
    all.map(|(index, migration)| NotRehearsed {
        migration: MigrationStem::of(migration),
        cause: cause_of((index, migration)),
    })
    .collect()
}

/// Whether a failure may come of the one transaction that a rehearsal has for several migrations: a value of
/// an enum that counts only once it is committed, and locks that a run would have given back by then.
fn needs_commit(sqlstate: Option<&str>, migration: Option<&&Migration>) -> bool {
    match sqlstate {
        Some("53200") => true,
        Some("55P04") => migration.is_some_and(|migration| {
            let words: Vec<&str> = migration.body.split_whitespace().collect();
            !words
                .join(" ")
                .to_ascii_uppercase()
                .contains(ADDS_ENUM_VALUE)
        }),
        _ => false,
    }
}

/// The shorter of two limits, of which zero is none.
fn shorter(a: Duration, b: Duration) -> Duration {
    match (a.is_zero(), b.is_zero()) {
        (true, _) => b,
        (_, true) => a,
        _ => a.min(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_zero_is_none() {
        let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
        assert_eq!(shorter(one, two), one);
        assert_eq!(shorter(Duration::ZERO, two), two);
        assert_eq!(shorter(one, Duration::ZERO), one);
        assert_eq!(shorter(Duration::ZERO, Duration::ZERO), Duration::ZERO);
    }
}
