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

use super::failure::Guard;
use super::message::{Envelope, ExpectedHead, Message, Setup};
use super::{Applied, failure};
use crate::migration::{Migration, SessionUse};
use crate::pg::{CancelHandle, Pool};
use crate::run::{Failure, FailureClass};

/// How long a cancelled statement may take to end before its connection is given up.
const CANCEL_PATIENCE: Duration = Duration::from_secs(10);
/// How soon a cancel request is sent again.
const CANCEL_AGAIN: Duration = Duration::from_millis(250);

/// A connection, lent to one tenant for one attempt.
pub(super) struct TenantConnection<'a, B> {
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
    /// Told each migration before it is sent.
    pub(super) begin: B,
    /// What the last migration may have left on the session.
    pub(super) session: SessionUse,
    /// What is committed.
    pub(super) applied: Applied,
    /// Why the last message failed; refinery's own error cannot carry it out.
    pub(super) ended: Option<End>,
}

/// How a message ended that did not commit.
#[derive(Debug)]
pub(super) enum End {
    /// With an error.
    Failed {
        /// What to tell.
        failure: Failure,
        /// The guard that refused, where one did.
        guard: Option<Guard>,
        /// Whether the connection is of no more use.
        lost: bool,
    },
    /// By our own cancel request.
    Cancelled,
}

/// What refinery is told: that it failed. The reason is in [`TenantConnection::ended`].
#[derive(Debug)]
pub(super) struct NotCommitted;

impl fmt::Display for NotCommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transaction was not committed")
    }
}

impl std::error::Error for NotCommitted {}

impl<B: Fn(&str) + Send + Sync> AsyncTransaction for TenantConnection<'_, B> {
    type Error = NotCommitted;

    /// refinery hands over the table's creation first, then for each transaction the pairs of a
    /// file's text and a history row. The row is written in our own words (guarded, and with the
    /// checksum that fits the table), the table is created in the first transaction.
    async fn execute<'a, T: Iterator<Item = &'a str> + Send + 'a>(
        &'a mut self,
        queries: T,
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
        for migration in &migrations {
            (self.begin)(&migration.to_string());
        }
        let now = OffsetDateTime::now_utc()
            .format(&Rfc3339)
            .unwrap_or_default();
        if self.session == SessionUse::Possible {
            self.pool.send_reset(self.client);
            self.session = SessionUse::None;
        }
        let message = self.envelope.message(&migrations, self.expected, &now);
        match self.send(&message, &migrations).await {
            Ok(()) => {
                for migration in &migrations {
                    self.expected = self.expected.with(migration.version());
                    self.applied.migrations.push(migration.to_string());
                    if migration.session == SessionUse::Possible {
                        self.session = SessionUse::Possible;
                    }
                }
                self.applied.version = self.expected.0;
                self.envelope.setup = Setup::None;
                Ok(files)
            }
            Err(end) => {
                self.ended = Some(end);
                Err(NotCommitted)
            }
        }
    }
}

impl<B: Fn(&str) + Send + Sync> AsyncQuery<Vec<refinery_core::Migration>>
    for TenantConnection<'_, B>
{
    /// The history was read with those of the other tenants: no round trip here.
    async fn query<'a>(
        &'a mut self,
        _query: &'a str,
    ) -> Result<Vec<refinery_core::Migration>, NotCommitted> {
        Ok(std::mem::take(&mut self.history))
    }
}

impl<B: Fn(&str) + Send + Sync> AsyncMigrate for TenantConnection<'_, B> {}

impl<B: Fn(&str) + Send + Sync> TenantConnection<'_, B> {
    /// Sends one transaction and follows it to its end, through an abort if one is asked for.
    async fn send(&mut self, message: &Message, migrations: &[&Migration]) -> Result<(), End> {
        let completed = AtomicUsize::new(0);
        let result = {
            let work = self.converse(&message.text, &completed);
            pin_mut!(work);
            tokio::select! {
                biased;
                result = work => Some(result),
                () = self.cancel_once_aborted() => None,
            }
        };
        let error = match result {
            Some(Ok(())) => return Ok(()),
            Some(Err(error)) => error,
            None => {
                return Err(End::Failed {
                    failure: Failure::new(
                        FailureClass::Transient,
                        "the server did not answer to the cancel request",
                    ),
                    guard: None,
                    lost: true,
                });
            }
        };
        let lost = crate::pg::is_connection_lost(&error);
        if !lost {
            // a failed statement leaves its transaction open
            let _ = self.client.batch_execute("ROLLBACK").await;
        }
        if self.abort.is_cancelled() && error.code() == Some(&SqlState::QUERY_CANCELED) {
            return Err(End::Cancelled);
        }
        let (failure, guard) =
            failure::explain(message, migrations, completed.into_inner(), &error);
        Err(End::Failed {
            failure,
            guard,
            lost,
        })
    }

    /// Waits for an abort, then asks the server to cancel until the patience is at its end: a request
    /// that overtakes its statement, or is lost, cancels nothing.
    async fn cancel_once_aborted(&self) {
        self.abort.cancelled().await;
        let insist = async {
            loop {
                let _ = self.cancel.cancel().await;
                tokio::time::sleep(CANCEL_AGAIN).await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(CANCEL_PATIENCE, insist).await;
    }

    /// One exchange with the server. Counts the statements that complete.
    async fn converse(
        &self,
        text: &str,
        completed: &AtomicUsize,
    ) -> Result<(), tokio_postgres::Error> {
        let answers = self.client.simple_query_raw(text).await?;
        pin_mut!(answers);
        while let Some(answer) = answers.next().await {
            if let SimpleQueryMessage::CommandComplete(_) = answer? {
                completed.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }
}
