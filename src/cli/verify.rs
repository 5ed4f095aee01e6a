//! `fleet verify`: whether tenants are equal, or whether one reaches another. Writes nothing, unless it is to build a
//! reference.

use std::collections::{BTreeSet, HashSet};

use clap::Args;

use super::fixes;
use super::fleet::{Fleet, Needed};
use super::isolation;
use super::open::looking;
use super::options::{Global, Selection};
use super::output::Output;
use super::reference;
use super::seen::{self, Seen};
use super::signals::{Stop, unless_stopped};
use crate::catalog::ShapeOptions;
use crate::history::{REPAIRS_TABLE, STEPS_TABLE};
use crate::migration::Version;
use crate::report::{self, Verbosity, Verified};
use crate::run::ExitCode;
use crate::shape::{self, Fingerprint, Verification};
use crate::tenant::{ApplicationRole, Tenant, TenantId};

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

A selection says whom the answer is about, not with whom they are compared: all tenants of the
databases are read.

Exit code 7 where a tenant differs, has an invalid index or could not be compared (also for want of
any migration, unless it is still to be created), and where nothing at all was compared; otherwise
as of all commands.";

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
    let verified = verify(&fleet, arguments, output, &mut stop).await;
    let fixes = match &verified {
        Ok(verified) if arguments.fix_plan => {
            let planning = fixes::plan(&fleet, &verified.asked);
            Some(unless_stopped(&mut stop.watch, planning).await)
        }
        _ => None,
    };
    fleet.close().await?;
    let verified = verified?;
    let fixes = fixes.transpose()?;
    let exit = if verified.has_findings() {
        ExitCode::Divergent
    } else {
        ExitCode::Done
    };
    output.selecting(&arguments.selection).result(
        |out, style, verbosity| match (&fixes, verbosity, exit) {
            (Some(fixes), ..) => out.write_all(fixes.as_bytes()),
            (None, Verbosity::Quiet, ExitCode::Done) => Ok(()),
            _ => report::verification(out, &verified, style, verbosity),
        },
        &report::verification_document(&verified, fixes.as_deref(), exit),
    )?;
    Ok(exit)
}

async fn verify(
    fleet: &Fleet,
    arguments: &VerifyArguments,
    output: &Output,
    stop: &mut Stop,
) -> anyhow::Result<Verified> {
    let patience = fleet.config.execution.reconnect_timeout;
    let looking = looking(patience, output, async || {
        look(fleet, &arguments.selection).await
    });
    let looked = unless_stopped(&mut stop.watch, Box::pin(looking)).await?;
    let seen = looked.seen;
    let is_asked = |tenant: &TenantId| looked.asked.as_ref().is_none_or(|of| of.contains(tenant));
    let reference = if arguments.reference {
        let asked = seen.tenants.iter().filter(|(tenant, ..)| is_asked(tenant));
        let versions: BTreeSet<Version> = asked.clone().map(|(_, version, _)| *version).collect();
        match asked.map(|(tenant, ..)| tenant).min() {
            Some(tenant) => {
                let set = fleet.read_set()?;
                Some(reference::build(fleet, &set, &tenant.database, &versions, stop).await?)
            }
            None => None,
        }
    } else {
        None
    };
    let shape_of = |fingerprint: Fingerprint| seen.shapes.get(&fingerprint).cloned();
    let groups = shape::group(seen.tenants, shape_of);
    let verification = Verification {
        versions: shape::compare(groups, reference.as_ref()),
        apart: seen.apart,
        excluded: looked.excluded,
    };
    Ok(match &looked.asked {
        None => Verified::of_all(verification),
        Some(asked) => Verified::of_some(verification, asked),
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

/// What was seen of all tenants.
struct Looked {
    seen: Seen,
    excluded: Vec<TenantId>,
    /// Those that were asked for, where there are others.
    asked: Option<HashSet<TenantId>>,
}

/// Looks at all tenants of the databases that are asked for: whoever is asked for is to be compared with them.
async fn look(fleet: &Fleet, selection: &Selection) -> anyhow::Result<Looked> {
    let found = fleet.tenants(selection).await?;
    let asked =
        (!found.others.is_empty()).then(|| found.selected.iter().map(|of| of.id.clone()).collect());
    let may_differ = |tenant: &Tenant| {
        let mut patterns = fleet.config.verify.exclude.iter();
        patterns.any(|pattern| pattern.matches(&tenant.id))
    };
    let all = found.selected.into_iter().chain(found.others);
    let (excluded, compared): (Vec<Tenant>, Vec<Tenant>) = all.partition(may_differ);
    Ok(Looked {
        seen: seen::see(fleet, compared).await?,
        excluded: excluded.into_iter().map(|tenant| tenant.id).collect(),
        asked,
    })
}
