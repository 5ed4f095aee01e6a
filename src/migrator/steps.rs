//! A migration that runs without a transaction: statement by statement, each noted in the tenant's
//! own schema, so that an interrupted one goes on where it was.
//!
//! The notes are a table that lives as long as the migration is under way: it is dropped in the
//! transaction that writes the history row. It lies beside the history, so that it travels with the
//! tenant's backup. A statement that can run in a transaction runs in one with its own note and is
//! never in doubt; around the others a note is written before and after.

use std::time::Duration;

use tokio_postgres::SimpleQueryMessage;
use tokio_postgres::error::SqlState;

use super::connection::{
    Broken, End, NOT_CANCELLED, OWN_TIMEOUT, TenantConnection, no_answer, now,
};
use super::doubt::{Doubt, Noted, Outcome};
use super::failure::{self, Guard};
use super::index::{self, IndexError};
use super::notes;
use super::watch::{Mark, Watch};
use crate::crash;
use crate::migration::{Migration, Settlement, Step, StepKind};
use crate::pg;
use crate::plan::{Halfway, Refusal};
use crate::run::{Failure, FailureClass, Progress};

/// How much of a step's text tells that the server has it: less than `track_activity_query_size`.
const MARKED_CHARACTERS: usize = 100;

/// What to do about a statement of which only a person can tell how far it came.
const BY_HAND: &str = "it may have committed part of its work: look at what it did in this tenant, then fleet settle done \
    (go on behind it) or fleet settle again (run it once more), and fleet resume";

/// How long it may take to take away what a failed step has left, before that is left to the next try.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(30);

/// One migration on its way.
struct Course<'m> {
    migration: &'m Migration,
    /// What is noted of it.
    notes: Vec<Noted>,
}

impl Course<'_> {
    fn note(&self, number: u32) -> Option<&Noted> {
        self.notes.iter().find(|note| note.step == number)
    }
}

/// The number of a step, from 1.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}

impl<T: Fn(Progress) + Send + Sync> TenantConnection<'_, T> {
    /// Runs what is left of a migration's steps and records it.
    pub(super) async fn run_steps(&mut self, migration: &Migration) -> Result<(), End> {
        let mut ended = self.run_noted(migration).await;
        if let Err(End::Failed { failure, .. }) = &mut ended {
            let name = || migration.to_string();
            failure.migration.get_or_insert_with(name);
        }
        ended
    }

    async fn run_noted(&mut self, migration: &Migration) -> Result<(), End> {
        self.bookkeeping(&self.envelope.open_steps(migration, self.expected))
            .await?;
        crash::point("K3");
        let notes = notes::read(self.client, &self.envelope, migration)
            .await
            .map_err(|error| own_failure(&error))?;
        let course = Course { migration, notes };
        if let Some(step) = edited(&course) {
            return Err(End::Refused(Refusal::Halfway {
                version: migration.version(),
                problem: Halfway::Edited(step),
            }));
        }
        let settled = self.settle_doubt(&course).await?;
        for (index, step) in migration.steps.iter().enumerate() {
            if settled != Some(number(index)) {
                self.step(&course, index, step).await?;
            }
        }
        let close = self.envelope.close_steps(migration, self.expected, &now());
        self.bookkeeping(&close).await?;
        crash::point("K8");
        Ok(())
    }

    /// Runs one step, unless it is known to be done.
    async fn step(&mut self, course: &Course<'_>, index: usize, step: &Step) -> Result<(), End> {
        let number = number(index);
        let note = course.note(number);
        let is_done = note.is_some_and(|note| note.is_done);
        if is_done && step.kind != StepKind::Session {
            return Ok(());
        }
        if self.abort.is_cancelled() {
            return Err(End::Cancelled);
        }
        (self.tell)(Progress::Step {
            step: number,
            of: u32::try_from(course.migration.steps.len()).unwrap_or(u32::MAX),
        });
        match &step.kind {
            StepKind::Atomic => {
                let prefix = self.envelope.before_atomic();
                let note = self
                    .envelope
                    .note_done(course.migration, number, step, None);
                let text = format!("{prefix};\n{}\n;{note};COMMIT", step.text);
                self.run(course, index, step, &text, &prefix).await
            }
            StepKind::Session => self.run(course, index, step, &step.text, "").await,
            StepKind::Outside(settlement) => {
                self.run_outside(course, index, step, settlement).await
            }
        }
    }

    /// Finds out what became of a step that was begun before, whatever stands there in the file now.
    /// Answers its number where nothing is left to do for it.
    async fn settle_doubt(&mut self, course: &Course<'_>) -> Result<Option<u32>, End> {
        let Some(note) = course.notes.iter().find(|note| !note.is_done) else {
            return Ok(None);
        };
        let number = note.step;
        let index = (number as usize).saturating_sub(1);
        let step = course.migration.steps.get(index);
        let doubt = Doubt::of(note, step);
        let patience = self.wait_for_others(doubt.waits_unseen()).await?;
        let found = self
            .cancellable(doubt.settle(self.client, &self.envelope.schema, number))
            .await;
        let outcome = found.map_err(|error| self.step_failure(course, index, error))?;
        self.restore(patience).await?;
        let words = outcome.note().to_owned();
        (self.tell)(Progress::Settled(words.clone()));
        self.applied
            .notes
            .push(format!("{} statement {number}: {words}", course.migration));
        match (outcome, step) {
            // what is done is the statement as it was, not as it is now
            (Outcome::Done(how), Some(step)) if !doubt.is_edited => {
                let done = self
                    .envelope
                    .note_done(course.migration, number, step, Some(&how));
                self.bookkeeping(&done).await?;
                Ok(Some(number))
            }
            (Outcome::Done(_), _) => Err(End::Refused(Refusal::Halfway {
                version: course.migration.version(),
                problem: Halfway::Edited(number),
            })),
            (Outcome::NotDone(_), _) => {
                let forget = self.envelope.note_forgotten(course.migration, number);
                self.bookkeeping(&forget).await?;
                Ok(None)
            }
        }
    }

    /// Runs a step that takes no transaction around it, with a note before and after.
    async fn run_outside(
        &mut self,
        course: &Course<'_>,
        index: usize,
        step: &Step,
        settlement: &Settlement,
    ) -> Result<(), End> {
        let number = number(index);
        let patience = if step.kind.waits_for_others() {
            let waits_unseen = !matches!(settlement, Settlement::PartitionDetached { .. });
            self.wait_for_others(waits_unseen).await?
        } else {
            Patience::default()
        };
        if let Settlement::IndexBuilt(build) = settlement {
            let cleared = self
                .cancellable(index::clear(self.client, &self.envelope.schema, build))
                .await;
            let cleared = cleared.map_err(|error| self.step_failure(course, index, error))?;
            if let Some(note) = cleared {
                (self.tell)(Progress::Settled(note));
            }
        }
        let begun = self.envelope.note_begun(course.migration, number, step);
        self.bookkeeping(&begun).await?;
        crash::point("N1");
        let result = self.run(course, index, step, &step.text, "").await;
        crash::point("N3");
        if let Err(end) = result {
            return Err(self.after_failure(course, index, settlement, end).await);
        }
        if let Settlement::IndexBuilt(build) = settlement {
            let valid = index::is_valid(self.client, &self.envelope.schema, build).await;
            valid.map_err(|error| self.step_failure(course, index, error))?;
        }
        self.restore(patience).await?;
        let done = self
            .envelope
            .note_done(course.migration, number, step, None);
        self.bookkeeping(&done).await?;
        crash::point("N4");
        Ok(())
    }

    /// What a failed step has left behind is taken away at once where that can be done: an invalid
    /// index costs every write, and a unique one may refuse some. Then the step is as if not begun.
    async fn after_failure(
        &self,
        course: &Course<'_>,
        index: usize,
        settlement: &Settlement,
        end: End,
    ) -> End {
        let End::Failed {
            mut failure,
            guard,
            lost: false,
        } = end
        else {
            return end;
        };
        let schema = &self.envelope.schema;
        let limit = format!("SET statement_timeout={}", CLEAN_UP_TIMEOUT.as_millis());
        let _ = self.client.batch_execute(&limit).await;
        let cleared = match settlement {
            Settlement::IndexBuilt(build) => index::clear(self.client, schema, build).await,
            Settlement::Reindexed => index::clear_rebuilds(self.client, schema).await,
            _ => Ok(None),
        };
        // a procedure may have committed part of its work before it failed, a partition may be half detached
        let is_as_before = !matches!(
            settlement,
            Settlement::ByHand | Settlement::PartitionDetached { .. }
        );
        if *settlement == Settlement::ByHand {
            // another try would only find that nobody can tell, and hide why
            failure.class = FailureClass::Permanent;
            failure.hint.get_or_insert_with(|| BY_HAND.to_owned());
        }
        match cleared {
            Ok(_) if is_as_before => {
                let forget = self
                    .envelope
                    .note_forgotten(course.migration, number(index));
                let _ = self.client.batch_execute(&forget).await;
            }
            Ok(_) => {}
            Err(error) => {
                let left = error.into_failure().0.message;
                let left = format!(
                    "An invalid index is left, and is dropped before the next try (it could not be dropped now: {left})"
                );
                failure.detail = Some(match failure.detail.take() {
                    Some(detail) => format!("{detail}\n{left}"),
                    None => left,
                });
            }
        }
        End::Failed {
            failure,
            guard,
            lost: false,
        }
    }

    /// Sends one step and follows it to its end. `prefix` is what the message holds before it.
    async fn run(
        &self,
        course: &Course<'_>,
        index: usize,
        step: &Step,
        text: &str,
        prefix: &str,
    ) -> Result<(), End> {
        let mark = Mark::Shared(text.chars().take(MARKED_CHARACTERS).collect());
        let watch = Watch::new(self.pool, &self.envelope.schema, mark, text.len());
        let sent = self.exchange(text, &watch, |_, answer| {
            if let SimpleQueryMessage::CommandComplete(_) = answer {
                crash::point("N2");
            }
        });
        match sent.await {
            Ok(()) => Ok(()),
            Err(Broken::Error(error, _)) => {
                let before = prefix.chars().count() + if prefix.is_empty() { 0 } else { 2 };
                let (mut failure, guard) =
                    failure::explain_step(course.migration, index, step, before, &error);
                self.envelope.tell_of_role(&mut failure);
                Err(self.end(&error, failure, guard, &watch).await)
            }
            Err(Broken::NoAnswer(why)) => Err(no_answer(why)),
        }
    }

    /// Sends a message of fleet's own.
    async fn bookkeeping(&self, text: &str) -> Result<(), End> {
        let patience = OWN_TIMEOUT + Duration::from_millis(self.lock_timeout_ms());
        let own = tokio::time::timeout(patience, self.client.batch_execute(text));
        let answer = tokio::select! {
            biased;
            answer = own => answer,
            () = self.cancel_once_aborted() => return Err(no_answer(NOT_CANCELLED)),
        };
        match answer {
            Err(_) => Err(no_answer("the server does not answer any more")),
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                let watch = Watch::new(
                    self.pool,
                    &self.envelope.schema,
                    Mark::Shared(String::new()),
                    0,
                );
                let guard = error.as_db_error().and_then(Guard::of);
                let failure = guard.map_or_else(|| pg::failure_of(&error), Guard::failure);
                Err(self.end(&error, failure, guard, &watch).await)
            }
        }
    }

    /// Work of fleet's own that waits for others, through an abort if one is asked for.
    async fn cancellable<R>(
        &self,
        work: impl Future<Output = Result<R, IndexError>>,
    ) -> Result<R, IndexError> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.cancel_once_aborted() => Err(IndexError::NoAnswer),
        }
    }

    fn step_failure(&self, course: &Course<'_>, index: usize, error: IndexError) -> End {
        let (failure, lost) = error.into_failure();
        let is_cancelled = failure.sqlstate.as_deref() == Some(SqlState::QUERY_CANCELED.code());
        if self.abort.is_cancelled() && is_cancelled {
            return End::Cancelled;
        }
        let step = &course.migration.steps[index];
        End::Failed {
            failure: Box::new(Failure {
                migration: Some(course.migration.to_string()),
                statement: Some(number(index)),
                line: Some(step.place.line),
                ..failure
            }),
            guard: None,
            lost,
        }
    }

    /// What waits for all older transactions of its database must not be ended by the limit that
    /// protects the application from a waiting `ALTER TABLE`: nobody queues behind it. What a file
    /// has set by itself stays as it is.
    ///
    /// Except for a partition that is detached: at its end that locks the partition as an `ALTER TABLE`
    /// would, and readers do queue behind it (`waits_unseen` is false).
    async fn wait_for_others(&self, waits_unseen: bool) -> Result<Patience, End> {
        let read = "SELECT name, setting FROM pg_catalog.pg_settings \
                    WHERE name IN ('lock_timeout', 'statement_timeout') AND setting = reset_val";
        let answers = self
            .client
            .simple_query(read)
            .await
            .map_err(|error| own_failure(&error))?;
        let mut patience = Patience::default();
        for answer in &answers {
            let SimpleQueryMessage::Row(row) = answer else {
                continue;
            };
            let limit = match row.get(0) {
                Some("lock_timeout") if !waits_unseen => continue,
                Some("lock_timeout") => 0,
                _ => self.index_build_timeout.as_millis(),
            };
            let name = row.get(0).unwrap_or_default();
            patience.set.push(format!("SET {name}={limit}"));
            patience.restore.push(format!("RESET {name}"));
        }
        self.bookkeeping(&patience.set.join(";")).await?;
        Ok(patience)
    }

    async fn restore(&self, patience: Patience) -> Result<(), End> {
        self.bookkeeping(&patience.restore.join(";")).await
    }
}

/// The end of a migration by a statement of fleet's own.
fn own_failure(error: &tokio_postgres::Error) -> End {
    End::Failed {
        failure: Box::new(pg::failure_of(error)),
        guard: None,
        lost: pg::is_connection_lost(error),
    }
}

/// Limits that were lifted, and how they come back.
#[derive(Default)]
struct Patience {
    set: Vec<String>,
    restore: Vec<String>,
}

/// The first step that is done and that the file does not hold any more.
fn edited(course: &Course<'_>) -> Option<u32> {
    let done = course.notes.iter().filter(|note| note.is_done);
    let mut done = done.filter(|note| {
        let index = (note.step as usize).wrapping_sub(1);
        let step = course.migration.steps.get(index);
        step.is_none_or(|step| step.hash != note.hash)
    });
    done.next().map(|note| note.step)
}
