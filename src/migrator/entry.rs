//! Rows of a history that somebody asks for: written or changed under the tenant's lock and with the
//! guards of a migration, and nothing is run.

use super::connection::{Broken, End, TenantConnection, no_answer, now};
use super::failure::Guard;
use super::message::{Envelope, ExpectedHead, GUARD_MARK};
use super::watch::{Mark, Watch};
use crate::crash;
use crate::migration::{Migration, Version};
use crate::pg;
use crate::plan::{self, AppliedRow, Entry, HistorySnapshot};
use crate::run::Progress;
use crate::tenant::quote_literal;

/// What one tenant's history is made to say.
pub(super) struct EntryOf<'a> {
    pub(super) entry: Entry,
    pub(super) history: &'a HistorySnapshot,
    /// The files whose rows they are.
    pub(super) files: Vec<&'a Migration>,
}

impl Envelope {
    /// Builds the message that makes an entry in one transaction.
    fn entry(&self, of: &EntryOf<'_>, expected: ExpectedHead) -> String {
        let mut statements = self.prefix();
        match of.entry {
            Entry::Skip(version) => {
                statements.extend(self.rows(of, expected));
                if plan::is_halfway_in(of.history, version) {
                    // nothing goes on where it stood
                    statements.push(format!("DROP TABLE {}", self.steps()));
                }
            }
            Entry::Baseline(_) => statements.extend(self.rows(of, expected)),
            Entry::AcceptDivergent(_) => statements.extend(self.changes(of, expected)),
        }
        statements.push("COMMIT".to_owned());
        statements.join(";")
    }

    fn rows(&self, of: &EntryOf<'_>, mut expected: ExpectedHead) -> Vec<String> {
        let applied_on = now();
        let row = |file: &&Migration| {
            let row = self.history_row(file, expected, &applied_on);
            expected = expected.with(file.version());
            row
        };
        of.files.iter().map(row).collect()
    }

    /// Each row that is still as it was read is changed; then all must be what they should be.
    fn changes(&self, of: &EntryOf<'_>, expected: ExpectedHead) -> Vec<String> {
        let table = self.history();
        let versions: Vec<Version> = of.files.iter().map(|file| file.version()).collect();
        let was = plan::rows_to_change(&versions, of.history);
        let is_as = |version, name: &str, checksum: u64| {
            let name = quote_literal(name);
            format!("version={version} AND name={name} AND checksum='{checksum}'")
        };
        let mut statements = Vec::new();
        let mut astray = Vec::new();
        for AppliedRow {
            version,
            name,
            checksum,
        } in &was
        {
            let Some(file) = of.files.iter().find(|file| file.version() == *version) else {
                continue;
            };
            let now = self.checksum(file);
            statements.push(format!(
                "UPDATE {table} SET name={},checksum='{now}' WHERE {}",
                quote_literal(file.name()),
                is_as(*version, name, *checksum)
            ));
            let wanted = is_as(*version, file.name(), now);
            astray.push(format!(
                "WHEN NOT EXISTS (SELECT FROM {table} WHERE {wanted}) THEN '{GUARD_MARK}history' "
            ));
        }
        statements.push(format!(
            "SELECT (CASE {} {}ELSE 'true' END)::pg_catalog.bool",
            self.is_astray(expected),
            astray.concat()
        ));
        statements
    }
}

impl<T: Fn(Progress) + Send + Sync> TenantConnection<'_, T> {
    /// Makes an entry in the tenant's history.
    pub(super) async fn enter(&mut self, of: &EntryOf<'_>) -> Result<(), End> {
        if self.abort.is_cancelled() {
            return Err(End::Cancelled);
        }
        let text = self.envelope.entry(of, self.expected);
        let mark = Mark::Own(self.envelope.mark());
        let watch = Watch::new(self.pool, &self.envelope.schema, mark, text.len());
        match self.exchange(&text, &watch, |_| crash::point("K7")).await {
            Ok(()) => {
                crash::point("K8");
                for file in &of.files {
                    self.expected = self.expected.with(file.version());
                }
                self.applied.version = self.expected.0;
                self.applied.has_mended = true;
                Ok(())
            }
            Err(Broken::Error(error, _)) => {
                let guard = error.as_db_error().and_then(Guard::of);
                let failure = guard.map_or_else(|| pg::failure_of(&error), Guard::failure);
                Err(self.end(&error, failure, guard, &watch).await)
            }
            Err(Broken::NoAnswer(why)) => Err(no_answer(why)),
        }
    }
}
