//! Finds the tenants of one database: by name patterns, by a registry query, or by a list. Reads only.
//!
//! A pattern describes what is there, so names that can never be tenants are passed over in silence.
//! A query or a list states what must be there, so one bad name refuses the whole of it: a list that
//! is wrong in one place must not be half used.

mod fault;
mod identity;
mod incarnation;
mod listed;
mod registry;

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, SimpleQueryMessage};

pub use fault::{NameFault, TenantProblem};
pub use identity::{DatabaseIdentity, Overlap, identify, overlaps};
pub use incarnation::{Incarnation, incarnations};

use crate::tenant::{
    DatabaseName, Labels, Presence, REFERENCE_PREFIX, SchemaName, Tenant, TenantId, TenantPattern,
};
use listed::ListedTenant;

/// Where the tenants of one database come from.
#[derive(Clone, Debug)]
pub struct TenantSource {
    /// How they are found.
    pub finder: Finder,
    /// Names that are not tenants, whatever the finder says.
    pub exclude: Vec<TenantPattern>,
    /// Whether a tenant without a schema gets one. For queries and lists.
    pub create_missing: bool,
    /// Whether it is no fault to find none: before the first customer, not after a typo.
    pub allow_empty: bool,
}

/// The three ways to find tenants.
#[derive(Clone, Debug)]
pub enum Finder {
    /// Every schema whose name matches one of the patterns.
    Schemas(Vec<TenantPattern>),
    /// One read-only SQL statement: the column `schema` names tenants, further columns are labels.
    Query(String),
    /// Names that are written out.
    List(Vec<String>),
}

/// Why the tenants of a database are not known.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// Shared schemas that the config names and the database does not have.
    #[error("database {database}: search_path names {}, which does not exist there", missing.join(", "))]
    SearchPath {
        /// Which database.
        database: DatabaseName,
        /// The names.
        missing: Vec<String>,
    },
    /// The list of schemas could not be read, or the connection broke.
    #[error("database {database}: cannot read which schemas exist: {}", describe(.cause))]
    Catalog {
        /// Which database.
        database: DatabaseName,
        /// Why.
        cause: tokio_postgres::Error,
    },
    /// The registry query failed.
    #[error("database {database}: tenants.query failed: {failure}")]
    Query {
        /// Which database.
        database: DatabaseName,
        /// What PostgreSQL said.
        failure: Box<QueryFailure>,
    },
    /// The registry query does not give what is asked of it.
    #[error(
        "database {database}: tenants.query must return one column `schema` and name each column once; it returns {}",
        show_columns(.found)
    )]
    Columns {
        /// Which database.
        database: DatabaseName,
        /// The columns that it gives.
        found: Vec<String>,
    },
    /// Names that cannot be tenants. None of the list is used.
    #[error(
        "database {database}: tenants.query or tenants.list names what cannot be a tenant, so none of it is used: {}",
        show_problems(.problems)
    )]
    BadTenants {
        /// Which database.
        database: DatabaseName,
        /// Every kind of problem with its count.
        problems: Vec<TenantProblem>,
    },
}

impl InventoryError {
    /// What the server said, or that it said nothing: None where it is not the server's matter.
    pub fn sqlstate(&self) -> Option<Option<&str>> {
        match self {
            Self::Catalog { cause, .. } => Some(cause.code().map(SqlState::code)),
            Self::Query { failure, .. } => Some(failure.sqlstate.as_deref()),
            Self::SearchPath { .. } | Self::Columns { .. } | Self::BadTenants { .. } => None,
        }
    }
}

/// What PostgreSQL said about the registry query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryFailure {
    /// The message.
    pub message: String,
    /// The SQLSTATE; None where the connection failed.
    pub sqlstate: Option<String>,
    /// Line and column in the query, from 1.
    pub position: Option<(usize, usize)>,
    /// What to do, where it is likely.
    pub hint: Option<String>,
}

impl std::fmt::Display for QueryFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some(sqlstate) = &self.sqlstate {
            write!(f, " ({sqlstate})")?;
        }
        if let Some((line, column)) = self.position {
            write!(f, " at line {line}, column {column} of the query")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// Checks that the shared schemas of a search path exist: PostgreSQL passes over those that do not.
///
/// # Errors
/// The server's, or the names that are missing.
pub async fn check_search_path(
    client: &Client,
    database: &DatabaseName,
    shared: &[String],
) -> Result<(), InventoryError> {
    if shared.is_empty() {
        return Ok(());
    }
    let rows = client
        .query(
            "SELECT s FROM pg_catalog.unnest($1::text[]) AS s \
             WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = s)",
            &[&shared],
        )
        .await
        .map_err(|cause| InventoryError::Catalog {
            database: database.clone(),
            cause,
        })?;
    let missing: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(InventoryError::SearchPath {
        database: database.clone(),
        missing,
    })
}

/// Finds the tenants of one database, by name. `reserved` are schemas that are never tenants: the
/// control schema and the shared ones of the search path. An empty result is not an error.
///
/// The client must not be in a transaction; a registry query runs in a read-only one of its own,
/// which is rolled back.
///
/// # Errors
/// The server's, or every bad name of a query or list at once.
pub async fn find(
    client: &Client,
    database: &DatabaseName,
    source: &TenantSource,
    reserved: &[SchemaName],
) -> Result<Vec<Tenant>, InventoryError> {
    let listed = match &source.finder {
        Finder::Schemas(patterns) => {
            let present = present_schemas(client, database).await?;
            return Ok(matching(present, database, patterns, source, reserved));
        }
        Finder::Query(query) => registry::read(client, database, query).await?,
        Finder::List(names) => names.iter().map(|name| ListedTenant::named(name)).collect(),
    };
    let present = present_schemas(client, database).await?;
    listed::check(listed, database, source, reserved, &present).map_err(|problems| {
        InventoryError::BadTenants {
            database: database.clone(),
            problems,
        }
    })
}

/// The schemas that could be tenants. From `pg_namespace`, because `information_schema` hides
/// schemas of which the role is not an owner.
async fn present_schemas(
    client: &Client,
    database: &DatabaseName,
) -> Result<HashSet<SchemaName>, InventoryError> {
    let messages = client
        .simple_query("SELECT nspname FROM pg_catalog.pg_namespace")
        .await
        .map_err(|cause| InventoryError::Catalog {
            database: database.clone(),
            cause,
        })?;
    Ok(messages
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .filter_map(|name| SchemaName::parse(name).ok())
        .collect())
}

fn matching(
    present: HashSet<SchemaName>,
    database: &DatabaseName,
    patterns: &[TenantPattern],
    source: &TenantSource,
    reserved: &[SchemaName],
) -> Vec<Tenant> {
    // `*` must not migrate `public`, which nearly every database has; who means it writes it out.
    let public_is_meant = patterns.iter().any(|pattern| pattern.as_str() == "public");
    let labels = Arc::new(Labels::new());
    let mut tenants: Vec<Tenant> = present
        .into_iter()
        .filter(|name| {
            let name = name.as_str();
            (name != "public" || public_is_meant)
                && !name.starts_with(REFERENCE_PREFIX)
                && patterns.iter().any(|pattern| pattern.matches_schema(name))
                && !source.exclude.iter().any(|p| p.matches_schema(name))
        })
        .filter(|name| !reserved.contains(name))
        .map(|schema| Tenant {
            id: TenantId {
                database: database.clone(),
                schema,
            },
            labels: Arc::clone(&labels),
            presence: Presence::Present,
        })
        .collect();
    tenants.sort_unstable_by(|a, b| a.id.schema.cmp(&b.id.schema));
    tenants
}

/// `tokio_postgres` says "db error" and leaves the rest to the source.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} ({})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        },
    }
}

fn show_columns(found: &[String]) -> String {
    if found.is_empty() {
        return "no columns".to_owned();
    }
    let quoted: Vec<String> = found
        .iter()
        .map(|name| format!("`{}`", name.escape_debug()))
        .collect();
    quoted.join(", ")
}

fn show_problems(problems: &[TenantProblem]) -> String {
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    shown.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_by(patterns: &[&str], exclude: &[&str], reserved: &[&str]) -> Vec<String> {
        let parse = |texts: &[&str]| -> Vec<TenantPattern> {
            let parsed = texts.iter().map(|t| TenantPattern::parse(t).unwrap());
            parsed.collect()
        };
        let names = |texts: &[&str]| -> Vec<SchemaName> {
            let parsed = texts.iter().map(|t| SchemaName::parse(t).unwrap());
            parsed.collect()
        };
        let present = names(&["b", "public", "a", "fleet_control", "extensions", "a_old"]);
        let patterns = parse(patterns);
        let source = TenantSource {
            finder: Finder::Schemas(patterns.clone()),
            exclude: parse(exclude),
            create_missing: false,
            allow_empty: false,
        };
        let tenants = matching(
            present.into_iter().collect(),
            &DatabaseName::new("main"),
            &patterns,
            &source,
            &names(reserved),
        );
        let found = tenants.iter().map(|t| t.id.schema.as_str().to_owned());
        found.collect()
    }

    #[test]
    fn a_star_never_means_public_nor_the_reserved() {
        let reserved = ["fleet_control", "extensions"];
        assert_eq!(find_by(&["*"], &[], &reserved), ["a", "a_old", "b"]);
        assert_eq!(find_by(&["?", "a*"], &["*_old"], &reserved), ["a", "b"]);
        assert_eq!(find_by(&["public"], &[], &reserved), ["public"]);
        assert!(find_by(&["public"], &[], &["public"]).is_empty());
        assert!(find_by(&["tenant_*"], &[], &[]).is_empty());
    }

    #[test]
    fn a_failed_query_says_what_where_and_what_to_do() {
        let error = InventoryError::Query {
            database: DatabaseName::new("main"),
            failure: Box::new(QueryFailure {
                message: "relation \"tenants\" does not exist".to_owned(),
                sqlstate: Some("42P01".to_owned()),
                position: Some((2, 6)),
                hint: Some("write public.tenants".to_owned()),
            }),
        };
        assert_eq!(
            error.to_string(),
            "database main: tenants.query failed: relation \"tenants\" does not exist (42P01) at line 2, column 6 of the query; write public.tenants"
        );
    }
}
