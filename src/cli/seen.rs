//! What is seen of tenants: a version and a shape, both of one moment. Whoever moves in between is looked at again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::future::try_join_all;

use super::fleet::Fleet;
use super::verify::shape_options;
use crate::catalog;
use crate::inventory::{self, Incarnation};
use crate::migration::Version;
use crate::pg::{self, Pool};
use crate::plan::HistorySnapshot;
use crate::shape::{Apart, Fingerprint, Shape};
use crate::tenant::{DatabaseName, Presence, SchemaName, Tenant, TenantId};

/// How often tenants are looked at that do not keep still. Each time they are fewer, and it takes less long.
const LOOKS: u32 = 5;

/// What was seen of the tenants.
#[derive(Default)]
pub(super) struct Seen {
    /// Those that can be compared.
    pub(super) tenants: Vec<(TenantId, Version, Fingerprint)>,
    /// Their shapes.
    pub(super) shapes: HashMap<Fingerprint, Arc<Shape>>,
    /// The others.
    pub(super) apart: Vec<Apart>,
}

/// Looks at these tenants.
pub(super) async fn see(fleet: &Fleet, tenants: Vec<Tenant>) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut todo = tenants;
    let mut before = read_moments(fleet, &todo).await?;
    for _ in 0..LOOKS {
        let mut read = read_shapes(fleet, &todo, &before, &mut seen.shapes).await?;
        let mut after = read_moments(fleet, &todo).await?;
        let has_moved = |tenant: &Tenant| before.get(&tenant.id) != after.get(&tenant.id);
        let (moved, steady): (Vec<Tenant>, Vec<Tenant>) = todo.into_iter().partition(has_moved);
        for tenant in steady {
            let moment = after.remove(&tenant.id);
            let shape = read.remove(&tenant.id);
            seen.take_in(tenant, moment, shape);
        }
        (todo, before) = (moved, after);
        if todo.is_empty() {
            break;
        }
    }
    for tenant in todo {
        let reason = "it was migrated while it was looked at; run verify again".to_owned();
        seen.set_apart(tenant.id, (reason, true));
    }
    seen.apart.sort_by(|a, b| a.tenant.cmp(&b.tenant));
    Ok(seen)
}

impl Seen {
    fn take_in(&mut self, tenant: Tenant, moment: Option<Moment>, shape: Option<ShapeRead>) {
        let history = moment.map_or(HistorySnapshot::SchemaAbsent, |moment| moment.history);
        match (standing(&history, &tenant), shape) {
            (Standing::At(version), Some(Ok(shape))) => {
                self.tenants.push((tenant.id, version, shape));
            }
            (Standing::At(_), Some(Err(reason))) => {
                self.set_apart(tenant.id, (format!("it cannot be read: {reason}"), true));
            }
            (Standing::At(_), None) => {
                let reason = "it was dropped in the meantime".to_owned();
                self.set_apart(tenant.id, (reason, true));
            }
            (Standing::Apart(reason, is_finding), _) => {
                self.set_apart(tenant.id, (reason, is_finding));
            }
        }
    }

    fn set_apart(&mut self, tenant: TenantId, (reason, is_finding): (String, bool)) {
        self.apart.push(Apart {
            tenant,
            reason,
            is_finding,
        });
    }
}

/// What is the same before and after where nobody has migrated a tenant in between: what a migration does is committed
/// together with its row of the history, and with a note of each step where it runs without a transaction.
#[derive(PartialEq)]
struct Moment {
    history: HistorySnapshot,
    schema: Option<Incarnation>,
}

async fn read_moments(
    fleet: &Fleet,
    tenants: &[Tenant],
) -> anyhow::Result<HashMap<TenantId, Moment>> {
    let schemas = by_database(tenants.iter().map(|tenant| &tenant.id));
    let reading = schemas.into_iter().map(async |(database, schemas)| {
        let client = pg::checkout(open(fleet, database)?, database).await?;
        let found = inventory::incarnations(&client, database, &schemas).await?;
        anyhow::Ok((database, found))
    });
    let incarnations = try_join_all(reading).await?;
    let mut incarnations: HashMap<&DatabaseName, _> = incarnations.into_iter().collect();
    let mut moments = HashMap::with_capacity(tenants.len());
    for (database, histories) in fleet.read_histories(tenants.iter()).await? {
        let mut of_database = incarnations.remove(&database).unwrap_or_default();
        for (schema, history) in histories {
            let moment = Moment {
                history,
                schema: of_database.remove(&schema),
            };
            let database = database.clone();
            moments.insert(TenantId { database, schema }, moment);
        }
    }
    Ok(moments)
}

/// A tenant's shape, or why there is none.
type ShapeRead = Result<Fingerprint, String>;

/// Reads the shapes of those that are at a version. Whoever is gone is not in the answer.
async fn read_shapes(
    fleet: &Fleet,
    tenants: &[Tenant],
    moments: &HashMap<TenantId, Moment>,
    shapes: &mut HashMap<Fingerprint, Arc<Shape>>,
) -> anyhow::Result<HashMap<TenantId, ShapeRead>> {
    let options = &shape_options(fleet);
    let is_at_version = |tenant: &&Tenant| {
        let moment = moments.get(&tenant.id);
        moment.is_some_and(|of| matches!(standing(&of.history, tenant), Standing::At(_)))
    };
    let tenants = tenants.iter().filter(is_at_version);
    let schemas = by_database(tenants.map(|tenant| &tenant.id));
    let reading = schemas.into_iter().map(async |(database, schemas)| {
        let pool = open(fleet, database)?;
        let read = catalog::read_shapes(pool, database, &schemas, options).await?;
        anyhow::Ok((database, read))
    });
    let mut answers = HashMap::new();
    // shapes of several databases are compared with each other
    for (database, read) in try_join_all(reading).await? {
        let fingerprints = read.fingerprints.into_iter();
        let unreadable = read.unreadable.into_iter();
        let all = fingerprints
            .map(|(schema, fingerprint)| (schema, Ok(fingerprint)))
            .chain(unreadable.map(|(schema, reason)| (schema, Err(reason))));
        answers.extend(all.map(|(schema, answer)| {
            let database = database.clone();
            (TenantId { database, schema }, answer)
        }));
        shapes.extend(read.shapes);
    }
    Ok(answers)
}

fn by_database<'a>(
    tenants: impl Iterator<Item = &'a TenantId>,
) -> BTreeMap<&'a DatabaseName, Vec<SchemaName>> {
    let mut schemas: BTreeMap<&DatabaseName, Vec<SchemaName>> = BTreeMap::new();
    for tenant in tenants {
        let of_database = schemas.entry(&tenant.database).or_default();
        of_database.push(tenant.schema.clone());
    }
    schemas
}

fn open<'a>(fleet: &'a Fleet, database: &DatabaseName) -> anyhow::Result<&'a Pool> {
    let pool = fleet.pool(database);
    pool.with_context(|| format!("database {database} is not open"))
}

/// Where a tenant stands by its history.
enum Standing {
    At(Version),
    Apart(String, bool),
}

fn standing(history: &HistorySnapshot, tenant: &Tenant) -> Standing {
    let is_fault = tenant.presence != Presence::ToCreate;
    match history {
        HistorySnapshot::Rows { rows, steps, .. } => match (rows.last(), &**steps) {
            (_, [step, ..]) => Standing::Apart(format!("in the middle of V{}", step.version), true),
            (Some(last), []) => Standing::At(last.version),
            (None, []) => Standing::Apart("no migration is applied".to_owned(), is_fault),
        },
        HistorySnapshot::NoTable { relations: 0 } => {
            Standing::Apart("no migration is applied".to_owned(), is_fault)
        }
        HistorySnapshot::NoTable { .. } => {
            Standing::Apart("it has tables and no history".to_owned(), true)
        }
        HistorySnapshot::SchemaAbsent => {
            Standing::Apart("there is no such schema".to_owned(), is_fault)
        }
        HistorySnapshot::Corrupt { row, problem } => Standing::Apart(
            format!("its history cannot be right: {row}: {problem}"),
            true,
        ),
        HistorySnapshot::Unreadable { message, .. } => {
            Standing::Apart(format!("its history cannot be read: {message}"), true)
        }
    }
}
