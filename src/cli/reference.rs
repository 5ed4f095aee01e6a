//! The shape that the set itself makes: applied to an empty schema, which is dropped again whatever happens.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::error::Refusal;
use super::fleet::Fleet;
use super::signals::Stop;
use super::verify::shape_options;
use crate::catalog;
use crate::migration::{Migration, MigrationSet, Version};
use crate::migrator::{
    Assignment, Knowledge, MigrateError, MigrateErrorCause, RefineryMigrator, Task, TenantMigrator,
};
use crate::pg::{self, Pool};
use crate::plan::{self, HistorySnapshot};
use crate::shape::Shape;
use crate::tenant::{
    DatabaseName, Labels, Presence, REFERENCE_PREFIX, SchemaName, Tenant, TenantId, quote_literal,
};

/// How long the schema may keep somebody waiting who drops it: a statement that was cancelled ends in the meantime.
const DROP_TRIES: u32 = 20;

/// How long until it is tried again.
const DROP_PAUSE: Duration = Duration::from_millis(500);

/// How often a step that must wait for others is handed over again.
const TURNS: u32 = 100;

/// The shapes that the set makes, at these versions; those that the set does not hold are left out.
pub(super) async fn build(
    fleet: &Fleet,
    set: &Arc<MigrationSet>,
    database: &DatabaseName,
    versions: &BTreeSet<Version>,
    stop: &mut Stop,
) -> anyhow::Result<BTreeMap<Version, Arc<Shape>>> {
    let pool = fleet.pool(database);
    let pool = pool.with_context(|| format!("database {database} is not open"))?;
    sweep(pool, database).await?;
    let scratch = Scratch {
        fleet,
        pool,
        migrator: fleet
            .migrator(
                set,
                &plan::build(Vec::new(), Vec::new(), set, None),
                Vec::new(),
            )
            .without_roles(),
        id: TenantId {
            database: database.clone(),
            schema: name(&fleet.sessions)?,
        },
    };
    let abort = CancellationToken::new();
    let built = {
        let mut building = pin!(scratch.build(set, versions, &abort));
        tokio::select! {
            built = &mut building => built,
            request = stop.watch.escalated() => {
                abort.cancel();
                // its statement is cancelled; what it says about that is of no interest
                let _ = tokio::time::timeout(DROP_PAUSE * DROP_TRIES, building).await;
                Err(Refusal::Stopped(request.signal).into())
            }
        }
    };
    let dropped = drop_schema(pool, &scratch.id).await;
    let shapes = built?;
    dropped?;
    Ok(shapes)
}

/// An empty schema, and what it takes to fill it.
struct Scratch<'a> {
    fleet: &'a Fleet,
    pool: &'a Pool,
    migrator: RefineryMigrator,
    id: TenantId,
}

impl Scratch<'_> {
    async fn build(
        &self,
        set: &MigrationSet,
        versions: &BTreeSet<Version>,
        abort: &CancellationToken,
    ) -> anyhow::Result<BTreeMap<Version, Arc<Shape>>> {
        let options = shape_options(self.fleet);
        let mut shapes = BTreeMap::new();
        for version in versions
            .iter()
            .filter(|version| set.get(**version).is_some())
        {
            self.migrate(set, *version, shapes.is_empty(), abort)
                .await?;
            let schemas = [self.id.schema.clone()];
            let read = catalog::read_shapes(self.pool, &self.id.database, &schemas, &options);
            let read = read.await?;
            let shape = read.shape_of(&self.id.schema).cloned();
            shapes.insert(*version, shape.context("the reference cannot be read")?);
        }
        Ok(shapes)
    }

    async fn migrate(
        &self,
        set: &MigrationSet,
        to: Version,
        is_first: bool,
        abort: &CancellationToken,
    ) -> anyhow::Result<()> {
        let all = set.migrations().iter().map(Migration::version);
        let mut assignment = Assignment {
            tenant: Tenant {
                id: self.id.clone(),
                labels: Arc::new(Labels::new()),
                presence: Presence::ToCreate,
            },
            history: HistorySnapshot::SchemaAbsent,
            knowledge: if is_first {
                Knowledge::Planned
            } else {
                Knowledge::Outdated
            },
            pending: all.filter(|version| *version <= to).collect(),
            target: Some(to),
            attempt: 1,
            task: Task::Migrate,
            has_turn: true,
            checks_leaks: false,
        };
        for _ in 0..TURNS {
            match self.migrator.migrate(&assignment, |_| {}, abort).await {
                Ok(_) => return Ok(()),
                Err(MigrateError {
                    cause: MigrateErrorCause::Deferred | MigrateErrorCause::TurnOver,
                    ..
                }) => assignment.knowledge = Knowledge::Outdated,
                Err(error) => return Err(self.failed(error).into()),
            }
        }
        anyhow::bail!("the reference does not come to its end")
    }

    fn failed(&self, error: MigrateError) -> Refusal {
        let problem = match error.cause {
            MigrateErrorCause::Failed(failure)
            | MigrateErrorCause::Leaked(failure)
            | MigrateErrorCause::Lost(failure)
            | MigrateErrorCause::Unreachable(failure) => {
                let place = failure.migration.as_ref().map(|stem| match failure.line {
                    Some(line) => format!("{stem}.sql:{line}: "),
                    None => format!("{stem}.sql: "),
                });
                format!("{}{}", place.unwrap_or_default(), failure.message)
            }
            MigrateErrorCause::Refused(refusal) => refusal.to_string(),
            MigrateErrorCause::Cancelled => "it was cancelled".to_owned(),
            MigrateErrorCause::Gone => "its schema was dropped by somebody else".to_owned(),
            MigrateErrorCause::Deferred
            | MigrateErrorCause::TurnOver
            | MigrateErrorCause::NotDone => "it does not come to its end".to_owned(),
        };
        Refusal::NoReference {
            database: self.id.database.to_string(),
            problem,
        }
    }
}

/// Named after the sessions of this process, so that nobody else has the name, and whoever finds it knows whose it is.
fn name(sessions: &str) -> anyhow::Result<SchemaName> {
    let own = sessions.trim_start_matches("fleet ").replace(' ', "_");
    Ok(SchemaName::parse(&format!("{REFERENCE_PREFIX}{own}"))?)
}

/// Refuses a server that cannot be written and a role that may not create a schema, and drops what a process has left
/// that was killed, whoever's it was, as far as the role may.
async fn sweep(pool: &Pool, database: &DatabaseName) -> anyhow::Result<()> {
    let client = pg::checkout(pool, database).await?;
    let facts = pg::inspect_server(&client).await;
    if let Some(problem) = facts
        .with_context(|| format!("database {database}"))?
        .refusal()
    {
        let database = database.to_string();
        return Err(Refusal::NoReference { database, problem }.into());
    }
    let failed = || format!("database {database}: look for what is left of a reference");
    let may = client
        .query_one(
            "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), current_user::text",
            &[],
        )
        .await
        .with_context(failed)?;
    if !may.get::<_, bool>(0) {
        return Err(Refusal::NoReference {
            database: database.to_string(),
            problem: format!(
                "role {} may not create a schema there",
                may.get::<_, &str>(1)
            ),
        }
        .into());
    }
    let query = format!(
        "SELECT n.nspname::text FROM pg_catalog.pg_namespace n \
         WHERE pg_catalog.starts_with(n.nspname::text, {}) \
           AND pg_catalog.pg_has_role(n.nspowner, 'USAGE') AND NOT EXISTS ( \
             SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database() \
               AND pg_catalog.replace(a.application_name, ' ', '_') = \
                 'fleet_' || pg_catalog.substr(n.nspname::text, {}))",
        quote_literal(REFERENCE_PREFIX),
        REFERENCE_PREFIX.len() + 1,
    );
    let left = client.query(&query, &[]).await.with_context(failed)?;
    drop(client);
    for row in left {
        let schema = SchemaName::parse(row.get(0))?;
        let database = database.clone();
        drop_schema(pool, &TenantId { database, schema }).await?;
    }
    Ok(())
}

async fn drop_schema(pool: &Pool, id: &TenantId) -> anyhow::Result<()> {
    // as the migrator opens its own, whatever is the default of the role by now
    let statement = format!(
        "BEGIN READ WRITE;DROP SCHEMA IF EXISTS {} CASCADE;COMMIT",
        id.schema.quoted()
    );
    let mut tries = 1;
    loop {
        let client = pg::checkout(pool, &id.database).await?;
        match client.batch_execute(&statement).await {
            Ok(()) => return Ok(()),
            Err(_) if tries < DROP_TRIES => {
                pg::discard(client);
                tokio::time::sleep(DROP_PAUSE).await;
                tries += 1;
            }
            Err(error) => {
                pg::discard(client);
                let error = pg::describe(&error);
                anyhow::bail!("the schema {id} of the reference cannot be dropped: {error}");
            }
        }
    }
}
