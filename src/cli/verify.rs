//! `fleet verify`: whether tenants are equal, or whether one reaches another. Writes nothing, unless it is to build a
//! reference.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use clap::Args;
use futures_util::future::try_join_all;

use super::fixes;
use super::fleet::{Fleet, Needed};
use super::isolation;
use super::options::{Global, Selection};
use super::output::Output;
use super::reference;
use super::signals::{Stop, unless_stopped};
use crate::catalog::{self, ShapeOptions, Shapes};
use crate::history::{REPAIRS_TABLE, STEPS_TABLE};
use crate::migration::Version;
use crate::plan::HistorySnapshot;
use crate::report::{self, Verbosity};
use crate::run::ExitCode;
use crate::shape::{self, Apart, Fingerprint, Shape, Verification};
use crate::tenant::{ApplicationRole, DatabaseName, Presence, SchemaName, Tenant, TenantId};

const ABOUT: &str = "\
A tenant's shape is what its schema holds, with the schema's own name taken out: tables, columns
(by name, not by place), constraints, indexes, sequences, views, functions, triggers, policies,
types; grants and comments if verify.grants and verify.comments say so. Owners, values of
sequences and statistics are no part of it.

Tenants are compared within a version, the highest of their history, over all databases (name one
with --database to look at it alone), with the shape that more than half of them have. Where none
has a majority they are compared with the largest group. An invalid index is always told.

With --reference the set is applied to a schema of its own in the database of the first tenant, up
to each version that tenants are at, and dropped again: files that reach outside of their schema do
so here too. Every tenant that differs from it is told, also where all of them do.

Exit code 7 where a tenant differs, has an invalid index or could not be read; otherwise as of all
commands.";

/// `fleet verify`.
#[derive(Args, Debug)]
#[command(after_long_help = ABOUT)]
pub(super) struct VerifyArguments {
    /// Which tenants.
    #[command(flatten)]
    selection: Selection,

    /// Look for what of one tenant reaches another instead: grants, default privileges, views, foreign keys,
    /// triggers, functions, policies and more
    #[arg(long, conflicts_with_all = ["reference", "fix_plan"])]
    isolation: bool,

    /// Compare with what the set makes of an empty schema, which is created for it and dropped again
    #[arg(long)]
    reference: bool,

    /// Print SQL for psql that would align tenants that differ, where it is plain; nothing is run
    #[arg(long)]
    fix_plan: bool,
}

/// Compares, and tells who differs.
pub(super) async fn execute(
    global: &Global,
    arguments: &VerifyArguments,
    output: &Output,
    mut stop: Stop,
) -> anyhow::Result<ExitCode> {
    if arguments.isolation {
        let looking = isolation::execute(global, &arguments.selection, output);
        return unless_stopped(&mut stop.watch, looking).await;
    }
    let opening = Fleet::open(global, Needed::Tenants(&arguments.selection), output);
    let fleet = unless_stopped(&mut stop.watch, opening).await?;
    let verified = verify(&fleet, arguments, &mut stop).await;
    let fixes = match &verified {
        Ok(verification) if arguments.fix_plan => {
            let planning = fixes::plan(&fleet, verification);
            Some(unless_stopped(&mut stop.watch, planning).await)
        }
        _ => None,
    };
    fleet.close().await?;
    let verification = verified?;
    let fixes = fixes.transpose()?;
    let exit = if verification.has_findings() {
        ExitCode::Divergent
    } else {
        ExitCode::Done
    };
    output.selecting(&arguments.selection).result(
        |out, style, verbosity| match (&fixes, verbosity, exit) {
            (Some(fixes), ..) => out.write_all(fixes.as_bytes()),
            (None, Verbosity::Quiet, ExitCode::Done) => Ok(()),
            _ => report::verification(out, &verification, style, verbosity),
        },
        &report::verification_document(&verification, fixes.as_deref(), exit),
    )?;
    Ok(exit)
}

async fn verify(
    fleet: &Fleet,
    arguments: &VerifyArguments,
    stop: &mut Stop,
) -> anyhow::Result<Verification> {
    let looking = look(fleet, &arguments.selection);
    let looked = unless_stopped(&mut stop.watch, looking).await?;
    let shape_of = |fingerprint: Fingerprint| looked.shapes.get(&fingerprint).cloned();
    let first = looked.tenants.iter().map(|(tenant, ..)| tenant).min();
    let reference = match first.filter(|_| arguments.reference) {
        Some(tenant) => {
            let set = fleet.read_set()?;
            let versions: BTreeSet<Version> = looked.tenants.iter().map(|(_, v, _)| *v).collect();
            Some(reference::build(fleet, &set, &tenant.database, &versions, stop).await?)
        }
        None => None,
    };
    let groups = shape::group(looked.tenants, shape_of);
    Ok(Verification {
        versions: shape::compare(groups, reference.as_ref()),
        apart: looked.apart,
        excluded: looked.excluded,
    })
}

/// What belongs to the shape of this fleet's tenants.
pub(super) fn shape_options(fleet: &Fleet) -> ShapeOptions {
    let config = &fleet.config;
    let of_tenants = config
        .roles
        .applications
        .iter()
        .filter_map(|role| match role {
            ApplicationRole::OfTenant(template) => Some(template.clone()),
            ApplicationRole::Shared(_) => None,
        });
    ShapeOptions {
        grants: config.verify.grants,
        comments: config.verify.comments,
        left_out: vec![
            config.migrations.history_table.clone(),
            STEPS_TABLE.to_owned(),
            REPAIRS_TABLE.to_owned(),
        ],
        own_roles: std::iter::once(config.roles.tenant.clone())
            .chain(of_tenants)
            .collect(),
    }
}

/// What was seen of the tenants.
#[derive(Default)]
struct Looked {
    tenants: Vec<(TenantId, Version, Fingerprint)>,
    shapes: HashMap<Fingerprint, Arc<Shape>>,
    apart: Vec<Apart>,
    excluded: Vec<TenantId>,
}

impl Looked {
    fn set_apart(&mut self, tenant: TenantId, reason: impl Into<String>, is_finding: bool) {
        self.apart.push(Apart {
            tenant,
            reason: reason.into(),
            is_finding,
        });
    }
}

async fn look(fleet: &Fleet, selection: &Selection) -> anyhow::Result<Looked> {
    let found = fleet.tenants(selection).await?.selected;
    let mut looked = Looked::default();
    let may_differ = |tenant: &Tenant| {
        let mut patterns = fleet.config.verify.exclude.iter();
        patterns.any(|pattern| pattern.matches(&tenant.id))
    };
    let (excluded, found): (Vec<Tenant>, Vec<Tenant>) = found.into_iter().partition(may_differ);
    looked.excluded = excluded.into_iter().map(|tenant| tenant.id).collect();
    let mut histories = fleet.read_histories(found.iter()).await?;
    let mut at_version: BTreeMap<TenantId, Version> = BTreeMap::new();
    for tenant in found {
        let of_database = histories.get_mut(&tenant.id.database);
        let history = of_database.and_then(|all| all.remove(&tenant.id.schema));
        match standing(history.unwrap_or(HistorySnapshot::SchemaAbsent), &tenant) {
            Standing::At(version) => {
                at_version.insert(tenant.id, version);
            }
            Standing::Apart(reason, is_finding) => looked.set_apart(tenant.id, reason, is_finding),
        }
    }
    let databases: BTreeSet<&DatabaseName> = at_version.keys().map(|id| &id.database).collect();
    let options = shape_options(fleet);
    let read = try_join_all(databases.into_iter().map(async |database| {
        let of_database = at_version.keys().filter(|id| id.database == *database);
        let schemas: Vec<SchemaName> = of_database.map(|id| id.schema.clone()).collect();
        let shapes = read(fleet, database, &schemas, &options).await?;
        anyhow::Ok((database.clone(), shapes))
    }));
    for (database, shapes) in read.await? {
        take_in(&mut looked, &database, shapes, &at_version);
    }
    Ok(looked)
}

async fn read(
    fleet: &Fleet,
    database: &DatabaseName,
    schemas: &[SchemaName],
    options: &ShapeOptions,
) -> anyhow::Result<Shapes> {
    let Some(pool) = fleet.pool(database) else {
        anyhow::bail!("database {database} is not open");
    };
    Ok(catalog::read_shapes(pool, database, schemas, options).await?)
}

/// Where a tenant stands by its history.
enum Standing {
    At(Version),
    Apart(String, bool),
}

fn standing(history: HistorySnapshot, tenant: &Tenant) -> Standing {
    match history {
        HistorySnapshot::Rows { rows, steps, .. } => match (rows.last(), &*steps) {
            (_, [step, ..]) => Standing::Apart(format!("in the middle of V{}", step.version), true),
            (Some(last), []) => Standing::At(last.version),
            (None, []) => Standing::Apart("no migration is applied".to_owned(), false),
        },
        HistorySnapshot::NoTable { relations: 0 } => {
            Standing::Apart("no migration is applied".to_owned(), false)
        }
        HistorySnapshot::NoTable { .. } => {
            Standing::Apart("it has tables and no history".to_owned(), true)
        }
        HistorySnapshot::SchemaAbsent => {
            let is_fault = tenant.presence != Presence::ToCreate;
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

/// Adds what was read in one database. Shapes of several databases are compared with each other.
fn take_in(
    looked: &mut Looked,
    database: &DatabaseName,
    shapes: Shapes,
    at_version: &BTreeMap<TenantId, Version>,
) {
    let id = |schema: SchemaName| TenantId {
        database: database.clone(),
        schema,
    };
    for (schema, fingerprint) in shapes.fingerprints {
        let tenant = id(schema);
        if let Some(version) = at_version.get(&tenant) {
            looked.tenants.push((tenant, *version, fingerprint));
        }
    }
    for (schema, reason) in shapes.unreadable {
        looked.set_apart(id(schema), format!("it cannot be read: {reason}"), true);
    }
    for schema in shapes.absent {
        looked.set_apart(id(schema), "it was dropped in the meantime", true);
    }
    looked.shapes.extend(shapes.shapes);
}
