//! [`File`] to [`Config`]: fills in variables and defaults, applies every rule, collects every problem.
//!
//! Defaults are texts that go through the same checks as what is written, so that they and
//! `fleet.example.yaml` are the same words.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::file::{self, File, Text};
use super::{
    Config, Control, Execution, Migrations, Rollout, Variables, databases, lint, names, rehearsal,
    roles, throttle, values, variables, verify, waves, windows,
};
use crate::rollout::RetryPolicy;

/// Makes the config, or says all that is wrong with it.
pub(super) fn check(
    path: &Path,
    file: File,
    variables: &Variables<'_>,
) -> Result<Config, Vec<Problem>> {
    let mut checker = Checker {
        variables,
        problems: Vec::new(),
    };
    let config = checker.config(path, file);
    match config {
        Some(config) if checker.problems.is_empty() => Ok(config),
        _ => Err(checker.problems),
    }
}

/// Collects problems. A function that gives None has said why.
pub(super) struct Checker<'a> {
    variables: &'a Variables<'a>,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    /// Notes what is wrong with a key.
    pub(super) fn refuse(&mut self, key: &str, problem: impl Into<String>) {
        self.problems.push(Problem {
            key: key.to_owned(),
            line: None,
            problem: problem.into(),
        });
    }

    /// A value that is written.
    pub(super) fn written<T>(
        &mut self,
        key: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = variables::fill(text, self.variables)
            .map_err(|error| error.to_string())
            .and_then(|filled| parse(&filled));
        match value {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(key, problem);
                None
            }
        }
    }

    /// A value that is written, or its default.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        text: Text,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = text.unwrap_or_else(|| default.to_owned());
        self.written(key, &text, parse)
    }

    /// A value that has no default.
    pub(super) fn needed<T>(
        &mut self,
        key: &str,
        text: Text,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if text.is_none() {
            self.refuse(key, "is missing");
        }
        self.written(key, &text?, parse)
    }

    /// Every item of a list; all of them are looked at though one is wrong.
    pub(super) fn items<T>(
        &mut self,
        key: &str,
        items: Vec<Text>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let checked: Vec<Option<T>> = items
            .into_iter()
            .enumerate()
            .map(|(index, text)| {
                let key = format!("{key}[{index}]");
                self.written(&key, text.as_deref().unwrap_or_default(), &parse)
            })
            .collect();
        checked.into_iter().collect()
    }

    fn config(&mut self, path: &Path, file: File) -> Option<Config> {
        // The parent of `fleet.yaml` is the empty path, which names no folder but joins well.
        let parent = path.parent().unwrap_or(Path::new(""));
        let directory = if parent.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            parent.to_owned()
        };
        let control = self.control(file.control.unwrap_or_default());
        let databases = databases::check(self, file.databases);
        let migrations = self.migrations(file.migrations.unwrap_or_default(), parent);
        let execution = self.execution(file.execution.unwrap_or_default());
        let roles = roles::check(self, file.roles.unwrap_or_default());
        let throttle = throttle::check(self, file.throttle.unwrap_or_default());
        let rehearsal = rehearsal::check(self, file.rehearsal.unwrap_or_default());
        let rollout = self.rollout(file.rollout.unwrap_or_default());
        let lint = lint::check(self, file.lint.unwrap_or_default());
        let verify = verify::check(self, file.verify.unwrap_or_default());
        Some(Config {
            path: path.to_owned(),
            directory,
            control: control?,
            databases: databases?,
            migrations: migrations?,
            execution: execution?,
            roles: roles?,
            throttle: throttle?,
            rehearsal: rehearsal?,
            rollout: rollout?,
            lint: lint?,
            verify: verify?,
        })
    }

    fn control(&mut self, control: file::Control) -> Option<Control> {
        let schema = self.value(
            "control.schema",
            control.schema,
            "fleet_control",
            names::schema_name,
        );
        let url = match control.url {
            Some(text) => self.written("control.url", &text, names::url).map(Some),
            None => Some(None),
        };
        let lease = self.value("control.lease", control.lease, "10s", values::lease);
        let wait = self.value("control.wait", control.wait, "20s", values::timeout);
        Some(Control {
            schema: schema?,
            url: url?,
            lease: lease?,
            wait: wait?,
        })
    }

    fn migrations(&mut self, migrations: file::Migrations, parent: &Path) -> Option<Migrations> {
        let directory = self.value(
            "migrations.path",
            migrations.path,
            "migrations/tenant",
            names::not_blank,
        );
        let history_table = self.value(
            "migrations.history_table",
            migrations.history_table,
            "refinery_schema_history",
            names::table_name,
        );
        let history_column = self.value(
            "migrations.history_version",
            migrations.history_version,
            "auto",
            values::history_column,
        );
        Some(Migrations {
            directory: parent.join(directory?),
            history_table: history_table?,
            history_column: history_column?,
        })
    }

    fn execution(&mut self, execution: file::Execution) -> Option<Execution> {
        let concurrency = self.value(
            "execution.concurrency",
            execution.concurrency,
            "8",
            throttle::concurrency,
        );
        let transaction = self.value(
            "execution.transaction",
            execution.transaction,
            "migration",
            values::transaction_scope,
        );
        let isolation = self.value(
            "execution.isolation",
            execution.isolation,
            "none",
            values::isolation,
        );
        let lock_timeout = self.value(
            "execution.lock_timeout",
            execution.lock_timeout,
            "3s",
            values::timeout,
        );
        let statement_timeout = self.value(
            "execution.statement_timeout",
            execution.statement_timeout,
            "15m",
            values::timeout,
        );
        let index_build_timeout = self.value(
            "execution.index_build_timeout",
            execution.index_build_timeout,
            "1h",
            values::timeout,
        );
        let reconnect_timeout = self.value(
            "execution.reconnect_timeout",
            execution.reconnect_timeout,
            "1m",
            values::timeout,
        );
        let retry = self.retry(execution.retry.unwrap_or_default());
        Some(Execution {
            concurrency: concurrency?,
            transaction: transaction?,
            isolation: isolation?,
            lock_timeout: lock_timeout?,
            statement_timeout: statement_timeout?,
            index_build_timeout: index_build_timeout?,
            reconnect_timeout: reconnect_timeout?,
            retry: retry?,
        })
    }

    fn retry(&mut self, retry: file::Retry) -> Option<RetryPolicy> {
        let attempts = self.value(
            "execution.retry.attempts",
            retry.attempts,
            "5",
            values::attempts,
        );
        let backoff = self.value(
            "execution.retry.backoff",
            retry.backoff,
            "200ms",
            values::duration,
        );
        let key = "execution.retry.max_backoff";
        let max_backoff = self.value(key, retry.max_backoff, "30s", values::duration);
        if backoff
            .zip(max_backoff)
            .is_some_and(|(first, max)| first > max)
        {
            self.refuse(key, "is shorter than `backoff`, the first pause");
        }
        Some(RetryPolicy {
            attempts: attempts?,
            backoff: backoff?,
            max_backoff: max_backoff?,
        })
    }

    fn rollout(&mut self, rollout: file::Rollout) -> Option<Rollout> {
        let waves = waves::check(self, rollout.waves.unwrap_or_default());
        let canary = self.value("rollout.canary", rollout.canary, "2", waves::canary);
        let max_failures = self.value(
            "rollout.max_failures",
            rollout.max_failures,
            "0",
            values::failure_budget,
        );
        let same_failures = self.value(
            "rollout.same_failures",
            rollout.same_failures,
            "3",
            waves::same_failures,
        );
        let windows = windows::check(self, rollout.windows.unwrap_or_default());
        Some(Rollout {
            waves: waves?,
            canary: NonZeroU32::new(canary?),
            max_failures: max_failures?,
            same_failures: same_failures?,
            windows: windows?,
        })
    }
}
