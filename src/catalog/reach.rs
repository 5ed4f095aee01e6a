//! What of one tenant reaches another, of all tenants of a database at once: one pass over each catalogue, filtered
//! by the server, in one transaction that sees one moment. Every role may read what is asked for.

mod dependencies;
mod functions;
mod privileges;
mod roles;

use std::collections::HashSet;

use tokio_postgres::Client;

use super::CatalogError;
use crate::pg::{self, Pool};
use crate::reach::{Principal, Reach};
use crate::tenant::{DatabaseName, RoleName, SchemaName};

/// What is asked of one database.
#[derive(Clone, Debug, Default)]
pub struct ReachQuestion {
    /// All of its tenants: who is left out counts as shared.
    pub tenants: Vec<SchemaName>,
    /// Roles that belong to one of them, whether they exist or not.
    pub principals: Vec<Principal>,
    /// Roles of the application that all of them share.
    pub applications: Vec<RoleName>,
}

/// What was found in one database.
#[derive(Debug, Default)]
pub struct ReachAnswer {
    /// By whom what is reached.
    pub reaches: Vec<Reach>,
    /// Roles of the question that do not exist.
    pub missing: HashSet<RoleName>,
}

/// One moment for all questions. They are joins over whole catalogues: these fit into some memory, take one processor
/// of the server and no more, and are not worth compiling.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL work_mem = '32MB'; \
    SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off";

/// Common to all questions: the tenants, `$1`, and with them every schema that is not PostgreSQL's own.
const PLACES: &str = "
    tenant AS (
        SELECT n.oid, n.nspname, n.nspowner, n.nspacl
        FROM pg_catalog.unnest($1::pg_catalog.name[]) AS asked(name)
        JOIN pg_catalog.pg_namespace n ON n.nspname = asked.name
    ),
    place AS (
        SELECT n.oid, n.nspname, t.oid IS NOT NULL AS is_tenant
        FROM pg_catalog.pg_namespace n LEFT JOIN tenant t ON t.oid = n.oid
        WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    )";

/// Looks through a database.
///
/// # Errors
/// No connection, or a catalogue that could not be read.
pub async fn read_reaches(
    pool: &Pool,
    database: &DatabaseName,
    question: &ReachQuestion,
) -> Result<ReachAnswer, CatalogError> {
    let client = pg::checkout(pool, database).await?;
    let looked = look(&client, question).await;
    if looked.is_err() {
        // its transaction is still open
        pg::discard(client);
    }
    looked.map_err(|cause| CatalogError::Query {
        database: database.clone(),
        cause,
    })
}

async fn look(
    client: &Client,
    question: &ReachQuestion,
) -> Result<ReachAnswer, tokio_postgres::Error> {
    client.batch_execute(BEGIN).await?;
    let names: Vec<&str> = question.tenants.iter().map(SchemaName::as_str).collect();
    let (standings, missing) = roles::standings(client, question).await?;
    let mut reaches = privileges::grants(client, &names, &standings).await?;
    reaches.extend(privileges::default_privileges(client, &names, &standings).await?);
    reaches.extend(dependencies::reaches(client, &names).await?);
    reaches.extend(functions::texts(client, &names).await?);
    reaches.extend(functions::search_paths(client, &names).await?);
    client.batch_execute("COMMIT").await?;
    reaches.extend(standings.reaches);
    Ok(ReachAnswer { reaches, missing })
}
