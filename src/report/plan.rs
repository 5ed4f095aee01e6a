//! A plan for people: tenants that share a fate share a line.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{INDENT, fact};
use super::hold::write_held;
use super::style::{Style, Tone};
use super::summary::write_next;
use super::waves::write_planned;
use super::wording::{clean, count, names, stem, verb, version};
use crate::migration::{MigrationSet, Version};
use crate::plan::{Action, Held, LastFailure, Plan, Refusal, TenantPlan, Wave};
use crate::run::{Failure, RunId};
use crate::tenant::{Presence, TenantId};

/// Migrations that are named in a line; of more the first and the last.
const STEMS: usize = 4;
/// Groups smaller than this are named: the odd ones are what one looks for.
const NAMED: usize = 10;
/// Reasons that are listed under one kind of refusal.
const REASONS: usize = 5;

/// A plan as it is shown.
#[derive(Clone, Copy)]
pub struct Planned<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its waves.
    pub waves: &'a [Wave],
    /// The run whose waves these are.
    pub goes_on: Option<&'a RunId>,
    /// Tenants that were found to be unlike the others, and not to be like them since.
    pub unlike: &'a HashMap<TenantId, LastFailure>,
}

impl<'a> Planned<'a> {
    /// Why a tenant has failed that has nothing pending.
    pub(super) fn failure_of(self, tenant: &TenantPlan) -> Option<&'a Failure> {
        let is_there = tenant.action == Action::UpToDate;
        let last = self.unlike.get(&tenant.tenant.id).filter(|_| is_there);
        last.map(|last| &last.failure)
    }
}

/// Writes what `migrate` would do, and what to type to do it.
///
/// # Errors
/// Those of the stream.
pub fn plan(
    out: &mut dyn Write,
    planned: Planned<'_>,
    set: &MigrationSet,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let numbers = write_plan(out, planned, set, style, verbosity)?;
    let plan = planned.plan;
    if numbers.to_migrate > 0 {
        let command = if plan.target == set.head() {
            "fleet migrate".to_owned()
        } else {
            format!("fleet migrate --to {}", plan.target.unwrap_or_default())
        };
        let when = if numbers.refused > 0 {
            "does it; refused tenants are left as they are"
        } else {
            "does it"
        };
        write_next(out, &[(command, when.to_owned())], style)?;
    }
    Ok(())
}

/// The same of a plan that `migrate` would refuse: there is nothing to type yet.
///
/// # Errors
/// Those of the stream.
pub fn refused_plan(
    out: &mut dyn Write,
    plan: Planned<'_>,
    set: &MigrationSet,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    write_plan(out, plan, set, style, verbosity)?;
    Ok(())
}

fn write_plan(
    out: &mut dyn Write,
    planned: Planned<'_>,
    set: &MigrationSet,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<Numbers> {
    let plan = planned.plan;
    let groups = migrate_groups(plan);
    let refusals = refusal_groups(plan);
    let to_migrate: usize = groups.iter().map(|group| group.tenants.len()).sum();
    let refused: usize = refusals.values().map(|kind| kind.tenants).sum();
    let held = held(plan).count();
    let numbers = Numbers {
        to_migrate,
        up_to_date: plan.tenants.len() - to_migrate - refused - held,
        refused,
        held,
    };
    writeln!(out, "{}", headline(plan, &numbers, style))?;
    if verbosity == Verbosity::Verbose {
        writeln!(out)?;
        for tenant in &plan.tenants {
            let line = one_line(tenant, set, style);
            match planned.failure_of(tenant) {
                Some(_) => {
                    let differs = style.paint(Tone::Failure, "its shape differs");
                    writeln!(out, "{line}, {differs}")?;
                }
                None => writeln!(out, "{line}")?,
            }
        }
    } else if !groups.is_empty() {
        writeln!(out)?;
        for group in &groups {
            write_group(out, group, set, style)?;
        }
    }
    for (kind, refusals) in &refusals {
        writeln!(out)?;
        write_refusals(out, kind, refusals, style, verbosity)?;
    }
    write_unlike(out, planned, style, verbosity)?;
    let held = self::held(plan).map(|(held, tenant)| (held.to_string(), tenant));
    write_held(out, held, style, verbosity)?;
    write_planned(out, planned.waves, style)?;
    Ok(numbers)
}

/// Tenants that have nothing pending and have failed all the same.
fn write_unlike(
    out: &mut dyn Write,
    planned: Planned<'_>,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let mut reasons: BTreeMap<&str, Vec<&TenantId>> = BTreeMap::new();
    for tenant in &planned.plan.tenants {
        if let Some(failure) = planned.failure_of(tenant) {
            let alike = reasons.entry(&failure.message).or_default();
            alike.push(&tenant.tenant.id);
        }
    }
    for (reason, tenants) in reasons {
        let (number, is) = (tenants.len(), verb(tenants.len(), "is", "are"));
        let head = format!(
            "✗ {} {is} up to date and {} failed",
            count(number, "tenant"),
            verb(number, "has", "have")
        );
        writeln!(out, "\n{}", style.paint(Tone::Failure, &head))?;
        fact(out, "reason", &clean(reason), style)?;
        let listed = names(tenants.into_iter(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
        let hint =
            "migrate compares them again before it goes on; fleet verify shows in what they differ";
        fact(out, "hint", hint, style)?;
    }
    Ok(())
}

/// Tenants by what happens to them.
struct Numbers {
    to_migrate: usize,
    up_to_date: usize,
    refused: usize,
    held: usize,
}

fn held(plan: &Plan) -> impl Iterator<Item = (&Held, &TenantId)> {
    plan.tenants
        .iter()
        .filter_map(|tenant| match &tenant.action {
            Action::Hold(held) => Some((held.as_ref(), &tenant.tenant.id)),
            _ => None,
        })
}

fn headline(plan: &Plan, numbers: &Numbers, style: Style) -> String {
    let target = version(plan.target);
    let up_to_date = numbers.up_to_date;
    if plan.target.is_none() {
        return "Nothing to do: the migration set is empty".to_owned();
    }
    let mut text = if numbers.to_migrate == 0 && numbers.refused == 0 {
        format!("Nothing to do: {} at {target}", count(up_to_date, "tenant"))
    } else {
        format!(
            "To {target}: {} of {} to migrate, {up_to_date} up to date",
            numbers.to_migrate,
            count(plan.tenants.len(), "tenant")
        )
    };
    for (number, word, tone) in [
        (numbers.refused, "refused", Tone::Failure),
        (numbers.held, "held", Tone::Warning),
    ] {
        if number > 0 {
            let part = style.paint(tone, &format!("{number} {word}"));
            text = format!("{text}, {part}");
        }
    }
    text
}

/// Tenants at one version with the same migrations pending.
struct Group<'a> {
    from: Option<Version>,
    pending: &'a [Version],
    create: bool,
    /// The pin at which they end.
    pin: Option<String>,
    tenants: Vec<&'a TenantId>,
}

fn migrate_groups(plan: &Plan) -> Vec<Group<'_>> {
    let mut groups: BTreeMap<_, Vec<&TenantId>> = BTreeMap::new();
    for tenant in &plan.tenants {
        let pending = tenant.action.pending();
        if !pending.is_empty() {
            let pin = tenant.pin().map(ToString::to_string);
            let key = (tenant.from, pending, is_created(tenant), pin);
            groups.entry(key).or_default().push(&tenant.tenant.id);
        }
    }
    let mut groups: Vec<Group<'_>> = groups
        .into_iter()
        .map(|((from, pending, create, pin), tenants)| Group {
            from,
            pending,
            create,
            pin,
            tenants,
        })
        .collect();
    groups.sort_by_key(|group| Reverse(group.tenants.len()));
    groups
}

fn is_created(tenant: &TenantPlan) -> bool {
    tenant.tenant.presence == Presence::ToCreate
}

/// `197 tenants: V10 → V12 (V11__orders, V12__unique_email)`, and the names of a small group.
fn write_group(
    out: &mut dyn Write,
    group: &Group<'_>,
    set: &MigrationSet,
    style: Style,
) -> io::Result<()> {
    let way = way(group.from, group.pending, group.create, set);
    let tenants = style.paint(Tone::Strong, &count(group.tenants.len(), "tenant"));
    writeln!(out, "{tenants}: {way}")?;
    if let Some(pin) = &group.pin {
        fact(out, "note", &clean(pin), style)?;
    }
    if group.tenants.len() < NAMED {
        let tenants = group.tenants.iter().copied();
        let listed = names(tenants, INDENT, style.width, Verbosity::Verbose);
        fact(out, "tenants", &listed, style)?;
    }
    Ok(())
}

/// `V10 → V12 (V11__orders, V12__unique_email)`.
fn way(from: Option<Version>, pending: &[Version], create: bool, set: &MigrationSet) -> String {
    let start = if create {
        "schema to create".to_owned()
    } else {
        version(from)
    };
    // a U file may be pending below the tenant's version, which then stays
    let end = pending.last().copied().max(from);
    format!("{start} → {} ({})", version(end), stems(pending, set))
}

/// The names of a few migrations; of many the number, the first and the last.
fn stems(pending: &[Version], set: &MigrationSet) -> String {
    match pending {
        [first, .., last] if pending.len() > STEMS => format!(
            "{}: {} … {}",
            count(pending.len(), "migration"),
            stem(set, *first),
            stem(set, *last)
        ),
        _ => {
            let stems: Vec<String> = pending.iter().map(|v| stem(set, *v)).collect();
            stems.join(", ")
        }
    }
}

fn one_line(tenant: &TenantPlan, set: &MigrationSet, style: Style) -> String {
    let id = &tenant.tenant.id;
    match &tenant.action {
        Action::UpToDate => format!("{id}  {}  up to date", version(tenant.from)),
        Action::Migrate(pending) => {
            let way = way(tenant.from, pending, is_created(tenant), set);
            match tenant.pin() {
                Some(pin) => format!("{id}  {way}, {}", clean(&pin.to_string())),
                None => format!("{id}  {way}"),
            }
        }
        Action::Hold(held) => {
            let held = clean(&held.to_string());
            format!("{id}  {}", style.paint(Tone::Warning, &held))
        }
        Action::Refuse(refusal) => format!(
            "{id}  {}  {}",
            style.paint(Tone::Failure, "refused"),
            clean(&refusal.to_string())
        ),
    }
}

/// Refusals of one kind.
struct Refused<'a> {
    hint: &'static str,
    tenants: usize,
    reasons: BTreeMap<String, Vec<&'a TenantId>>,
}

fn refusal_groups(plan: &Plan) -> BTreeMap<&'static str, Refused<'_>> {
    let mut kinds = BTreeMap::new();
    for tenant in &plan.tenants {
        if let Action::Refuse(refusal) = &tenant.action {
            add(&mut kinds, refusal, &tenant.tenant.id);
        }
    }
    kinds
}

fn add<'a>(
    kinds: &mut BTreeMap<&'static str, Refused<'a>>,
    refusal: &Refusal,
    tenant: &'a TenantId,
) {
    let kind = kinds.entry(refusal.kind()).or_insert_with(|| Refused {
        hint: refusal.hint(),
        tenants: 0,
        reasons: BTreeMap::new(),
    });
    kind.tenants += 1;
    kind.reasons
        .entry(refusal.to_string())
        .or_default()
        .push(tenant);
}

fn write_refusals(
    out: &mut dyn Write,
    kind: &str,
    refused: &Refused<'_>,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let head = format!(
        "✗ {} refused: {}",
        count(refused.tenants, "tenant"),
        kind.replace('_', " ")
    );
    writeln!(out, "{}", style.paint(Tone::Failure, &head))?;
    let mut reasons: Vec<_> = refused.reasons.iter().collect();
    reasons.sort_by_key(|(_, tenants)| Reverse(tenants.len()));
    for (reason, tenants) in reasons.iter().take(REASONS) {
        fact(out, "reason", &clean(reason), style)?;
        let listed = names(tenants.iter().copied(), INDENT, style.width, verbosity);
        fact(out, "tenants", &listed, style)?;
    }
    if reasons.len() > REASONS {
        let tenants = reasons[REASONS..].iter().map(|(_, t)| t.len()).sum();
        let more = format!(
            "and {} for {} (all of them: -v)",
            count(tenants, "tenant"),
            count(reasons.len() - REASONS, "reason like these")
        );
        fact(out, "", &more, style)?;
    }
    fact(out, "hint", refused.hint, style)
}
