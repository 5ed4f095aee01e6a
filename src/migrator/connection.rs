//! refinery's driver traits on a connection that is pinned to one tenant. The only file that
//! implements them.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use refinery_core::traits::r#async::{AsyncMigrate, AsyncQuery, AsyncTransaction};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use super::Applied;
use super::failure::{self, Guard};
use super::message::{Envelope, ExpectedHead, Message, Part, Piece, Setup};
use super::repair::DueFix;
use super::watch::{self, Mark, Watch};
use crate::crash;
use crate::migration::{Migration, SessionUse, TransactionMode};
use crate::pg::{CancelHandle, Pool};
use crate::plan::Refusal;
use crate::run::{Failure, FailureClass, Progress};

/// How long a cancelled statement may take to end before its connection is given up.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// How long a statement of fleet's own may take beside its waiting for locks.
pub(super) const OWN_TIMEOUT: Duration = Duration::from_mins(1);
/// Why an answer was given up after a cancel request.
pub(super) const NOT_CANCELLED: &str = "the server did not answer to the cancel request";
/// How soon a cancel request is sent again.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);

/// A connection, lent to one tenant for one attempt.
pub(super) struct TenantConnection<'a, T> {
    /// The connection.
    pub(super) client: &'a Client,
    /// Where it comes from.
    pub(super) pool: &'a Pool,
    /// Cancels what runs on it.
    pub(super) cancel: CancelHandle,
    /// Asks to cancel.
    pub(super) abort: &'a CancellationToken,
    /// What frames each migration.
    pub(super) envelope: Envelope,
    /// What the history says now.
    pub(super) expected: ExpectedHead,
    /// The history in refinery's words.
    pub(super) history: Vec<refinery_core::Migration>,
    /// What refinery will ask to execute, in order.
    pub(super) pending: VecDeque<&'a Migration>,
    /// A fix that is to be run in the first transaction.
    pub(super) fix: Option<DueFix<'a>>,
    /// How long a step may take that waits for all others in its database; zero is without limit.
    pub(super) index_build_timeout: Duration,
    /// Hears what is being done.
    pub(super) tell: T,
    /// What the last migration may have left on the session.
    pub(super) session: SessionUse,
    /// What is committed.
    pub(super) applied: Applied,
    /// Why the last message failed; refinery's own error cannot carry it out.
    pub(super) ended: Option<End>,
}

/// How a migration ended that was not recorded.
#[derive(Debug)]
pub(super) enum End {
    /// With an error.
    Failed {
        /// What to tell.
        failure: Box<Failure>,
        /// The guard that refused, where one did.
        guard: Option<Guard>,
        /// Whether the connection is of no more use.
        lost: bool,
    },
    /// By our own cancel request.
    Cancelled,
    /// The tenant is in the middle of it, and the file does not go on from there.
    Refused(Refusal),
}

/// Why a message was not answered as it should.
pub(super) enum Broken {
    /// By the server, or by the connection. So many of its statements had been completed before.
    Error(tokio_postgres::Error, usize),
    /// The server did not answer; the connection is of no more use.
    NoAnswer(&'static str),
}

/// What refinery is told: that it failed. The reason is in [`TenantConnection::ended`].
#[derive(Debug)]
pub(super) struct NotCommitted;

impl fmt::Display for NotCommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the migration was not recorded")
    }
}

impl std::error::Error for NotCommitted {}

impl<T: Fn(Progress) + Send + Sync> AsyncTransaction for TenantConnection<'_, T> {
    type Error = NotCommitted;

    /// refinery hands over the table's creation first, then for each transaction the pairs of a
    /// file's text and a history row. The row is written in our own words (guarded, and with the
    /// checksum that fits the table), the table is created in the first transaction.
    async fn execute<'a, Q: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: Q,
    ) -> Result<usize, NotCommitted> {
        let files = queries.count() / 2;
        if files == 0 {
            return Ok(0);
        }
        if self.abort.is_cancelled() {
            self.ended = Some(End::Cancelled);
            return Err(NotCommitted);
        }
        let migrations: Vec<&Migration> = self.pending.drain(..files).collect();
        let fix = self.fix.take();
        if let Some(due) = fix {
            self.begin_fix(due);
        }
        for migration in &migrations {
            (self.tell)(Progress::Migration(migration.to_string().into()));
        }
        if self.session == SessionUse::Possible {
            self.pool.send_reset(self.client);
            self.session = SessionUse::None;
        }
        let result = match migrations.as_slice() {
            [stepwise] if stepwise.mode == TransactionMode::NonTransactional => {
                // its settings are the session's, for as long as its steps run
                self.session = SessionUse::Possible;
                self.run_steps(stepwise).await
            }
            _ => {
                let fix = fix.map(Piece::Fix).into_iter();
                let files = migrations.iter().copied().map(Piece::Migration);
                self.send(&fix.chain(files).collect::<Vec<_>>()).await
            }
        };
        match result {
            Ok(()) => {
                if let Some(due) = fix {
                    self.fixed(due);
                }
                self.committed(&migrations);
                crash::point("K10");
                Ok(files)
            }
            Err(end) => {
                self.ended = Some(end);
                Err(NotCommitted)
            }
        }
    }
}

impl<T: Fn(Progress) + Send + Sync> AsyncQuery<Vec<refinery_core::Migration>>
    for TenantConnection<'_, T>
{
    /// The history was read with those of the other tenants: no round trip here.
    async fn query<'a>(
        &'a mut self,
        _query: &'a str,
    ) -> Result<Vec<refinery_core::Migration>, NotCommitted> {
        Ok(std::mem::take(&mut self.history))
    }
}

impl<T: Fn(Progress) + Send + Sync> AsyncMigrate for TenantConnection<'_, T> {}

/// The time as refinery writes it into its history.
pub(super) fn now() -> String {
    OffsetDateTime::now_utc()
        .format(&Rfc3339)
        .unwrap_or_default()
}

impl<T: Fn(Progress) + Send + Sync> TenantConnection<'_, T> {
    fn committed(&mut self, migrations: &[&Migration]) {
        for migration in migrations {
            self.expected = self.expected.with(migration.version());
            self.applied.migrations.push(migration.to_string());
            self.leaves(migration.session);
        }
        self.applied.version = self.expected.0;
        self.envelope.setup = Setup::None;
    }

    /// A file that was run may leave something on the session.
    pub(super) fn leaves(&mut self, session: SessionUse) {
        if session == SessionUse::Possible {
            self.session = SessionUse::Possible;
        }
    }

    /// Runs these files in one transaction and follows it to its end.
    pub(super) async fn send(&self, pieces: &[Piece<'_>]) -> Result<(), End> {
        let message = &self.envelope.message(pieces, self.expected, &now());
        let heard = |statement, answer: &SimpleQueryMessage| {
            if let SimpleQueryMessage::CommandComplete(_) = answer {
                crash_in_transaction(message, statement);
            }
        };
        self.send_and_hear(message, pieces, heard).await?;
        crash::point("K8");
        Ok(())
    }

    /// Sends a message around these files and follows it to its end.
    pub(super) async fn send_and_hear(
        &self,
        message: &Message,
        pieces: &[Piece<'_>],
        heard: impl Fn(usize, &SimpleQueryMessage),
    ) -> Result<(), End> {
        let mark = Mark::Own(self.envelope.mark());
        let watch = Watch::new(self.pool, &self.envelope.schema, mark, message.text.len());
        match self.exchange(&message.text, &watch, heard).await {
            Ok(()) => Ok(()),
            Err(Broken::Error(error, completed)) => {
                let (mut failure, guard) = failure::explain(message, pieces, completed, &error);
                if let Part::Prefix | Part::File(..) = message.part(completed) {
                    self.envelope.tell_of_role(&mut failure);
                }
                Err(self.end(&error, failure, guard, &watch).await)
            }
            Err(Broken::NoAnswer(why)) => Err(no_answer(why)),
        }
    }

    /// Takes a failed statement's transaction back, and tells how the migration ended.
    pub(super) async fn end(
        &self,
        error: &tokio_postgres::Error,
        failure: Failure,
        guard: Option<Guard>,
        watch: &Watch<'_>,
    ) -> End {
        let mut lost = crate::pg::is_connection_lost(error);
        if !lost {
            let rollback = self.client.batch_execute("ROLLBACK");
            lost = tokio::time::timeout(OWN_TIMEOUT, rollback).await.is_err();
        }
        if self.abort.is_cancelled() && error.code() == Some(&SqlState::QUERY_CANCELED) {
            return End::Cancelled;
        }
        let mut failure = Box::new(failure);
        if error.code() == Some(&SqlState::QUERY_CANCELED) && failure.migration.is_some() {
            let hint = failure::ended_by_timeout(
                self.envelope.statement_timeout_ms,
                self.index_build_timeout.as_millis(),
            );
            failure.hint.get_or_insert(hint);
        }
        let is_in_the_way = matches!(guard, None | Some(Guard::Lock));
        if failure.class == FailureClass::Transient && is_in_the_way && !lost {
            failure.blocked_by = match watch.blocker() {
                Some(seen) => Some(seen),
                None => watch::blocker_afterwards(self.client, &self.envelope.schema).await,
            };
        }
        End::Failed {
            failure,
            guard,
            lost,
        }
    }

    /// How long a statement of fleet's own waits for a lock, in milliseconds.
    pub(super) fn lock_timeout_ms(&self) -> u64 {
        u64::try_from(self.envelope.lock_timeout_ms).unwrap_or(u64::MAX)
    }

    /// One exchange with the server, through an abort if one is asked for. `heard` hears each answer, with
    /// the number of the statement that it belongs to, from 0.
    pub(super) async fn exchange(
        &self,
        text: &str,
        watch: &Watch<'_>,
        heard: impl Fn(usize, &SimpleQueryMessage),
    ) -> Result<(), Broken> {
        let count = &AtomicUsize::new(0);
        let work = self.converse(text, count, heard);
        pin_mut!(work);
        let result = tokio::select! {
            biased;
            result = work => result.map_err(Ok),
            () = self.cancel_once_aborted() => Err(Err(NOT_CANCELLED)),
            () = watch.until_lost(&self.tell) => {
                Err(Err("the server has ended the statement, and its answer has not arrived"))
            }
        };
        match result {
            Ok(()) => Ok(()),
            Err(Ok(error)) => Err(Broken::Error(error, count.load(Ordering::Relaxed))),
            Err(Err(why)) => Err(Broken::NoAnswer(why)),
        }
    }

    /// Waits for an abort, then asks the server to cancel until the patience is at its end: a request
    /// that overtakes its statement, or is lost, cancels nothing.
    pub(super) async fn cancel_once_aborted(&self) {
        self.abort.cancelled().await;
        let insist = async {
            loop {
                let _ = self.cancel.cancel().await;
                tokio::time::sleep(CANCEL_AGAIN).await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(CANCEL_PATIENCE, insist).await;
    }

    /// Counts the statements that complete.
    async fn converse(
        &self,
        text: &str,
        count: &AtomicUsize,
        heard: impl Fn(usize, &SimpleQueryMessage),
    ) -> Result<(), tokio_postgres::Error> {
        let answers = self.client.simple_query_raw(text).await?;
        pin_mut!(answers);
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            heard(count.load(Ordering::Relaxed), &answer);
            if let SimpleQueryMessage::CommandComplete(_) = answer {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}

/// The end of a migration whose answer was given up.
pub(super) fn no_answer(why: &'static str) -> End {
    End::Failed {
        failure: Box::new(Failure::new(FailureClass::Transient, why)),
        guard: None,
        lost: true,
    }
}

/// The crash points of a transaction. The server has its whole message by then and may commit it.
fn crash_in_transaction(message: &Message, statement: usize) {
    crash::point(match message.part(statement) {
        // it is as behind the statement in front of that look
        Part::Prefix if message.looks_ahead(statement) => return,
        Part::Prefix => "K4",
        Part::File(..) => "K5",
        // to the server it is as behind the history row
        Part::Deferred | Part::Check(_) => return,
        Part::HistoryRow(_) => "K6",
        Part::Commit => "K7",
    });
}
