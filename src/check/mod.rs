//! Checks of a wave: whether its tenants are well before the next ones follow. By a query in each of them, by one
//! in each of their databases, or by a command.

mod command;
mod query;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};

use crate::pg::Pool;
use crate::run::{CheckKind, WaveCheck};
use crate::tenant::{DatabaseName, TenantId};
use query::Place;

/// How many tenants are asked at a time.
const AT_A_TIME: usize = 4;

/// How many problems are told by name.
const TOLD: usize = 3;

/// Where tenants of a database are asked.
#[derive(Clone, Debug)]
pub struct CheckedDatabase {
    /// Connections to it.
    pub pool: Pool,
    /// Shared schemas behind a tenant's own in the search path.
    pub search_path: Vec<String>,
}

/// Checks waves.
#[derive(Clone, Debug)]
pub struct WaveChecker {
    databases: Arc<HashMap<DatabaseName, CheckedDatabase>>,
}

impl WaveChecker {
    /// One for tenants of these databases.
    pub fn new(databases: HashMap<DatabaseName, CheckedDatabase>) -> Self {
        Self {
            databases: Arc::new(databases),
        }
    }

    /// Finds out whether a wave is well.
    ///
    /// # Errors
    /// Why it is not, or why that could not be found out, in words that follow "the check failed: ".
    pub async fn check(
        &self,
        wave: &str,
        check: &WaveCheck,
        members: &[TenantId],
    ) -> Result<(), String> {
        match &check.kind {
            CheckKind::Command(command) => {
                command::check(command, check.timeout, wave, members).await
            }
            CheckKind::Tenants(sql) => {
                let places = members.iter().map(|tenant| Place {
                    database: tenant.database.clone(),
                    schema: Some(tenant.schema.clone()),
                });
                self.ask(places.collect(), sql, check.timeout).await
            }
            CheckKind::Databases(sql) => {
                let names: BTreeSet<&DatabaseName> =
                    members.iter().map(|tenant| &tenant.database).collect();
                let places = names.into_iter().map(|name| Place {
                    database: name.clone(),
                    schema: None,
                });
                self.ask(places.collect(), sql, check.timeout).await
            }
        }
    }

    /// Asks everywhere, and puts what is wrong into one line.
    async fn ask(&self, places: Vec<Place>, sql: &str, timeout: Duration) -> Result<(), String> {
        let number = places.len();
        let asked = places.into_iter().map(|place| {
            let database = self.databases.get(&place.database).cloned();
            let sql = sql.to_owned();
            async move {
                let answer = match database {
                    Some(database) => query::ask(&database, &place, &sql, timeout).await,
                    None => Err("the database is not open".to_owned()),
                };
                answer.map_err(|problem| format!("{place}: {problem}"))
            }
        });
        let answers: Vec<Result<(), String>> = stream::iter(asked)
            .buffer_unordered(AT_A_TIME)
            .collect()
            .await;
        let mut problems: Vec<String> = answers.into_iter().filter_map(Result::err).collect();
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort();
        let more = problems.len().saturating_sub(TOLD);
        problems.truncate(TOLD);
        let mut told = problems.join("; ");
        if more > 0 {
            told = format!("{told}; and {more} more of {number}");
        }
        Err(told)
    }
}
