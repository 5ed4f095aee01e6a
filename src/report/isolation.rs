//! What of one tenant reaches another, for people: how many, then each cause once.

use std::collections::{BTreeSet, HashSet};
use std::fmt::Write as _;
use std::io::{self, Write};

use super::Verbosity;
use super::causes::{CAUSES, INDENT, fact};
use super::style::{Style, Tone};
use super::wording::{clean, count, names, verb};
use crate::reach::{Found, NAMED_OBJECTS, Origin, Reach, causes};
use crate::tenant::{DatabaseName, SchemaName, TenantId};

/// What a look at the fleet's isolation has found.
#[derive(Debug, Default)]
pub struct Isolation {
    /// The tenants that were asked about.
    pub tenants: Vec<TenantId>,
    /// What reaches one of them, or is reached by one.
    pub reaches: Vec<Found>,
    /// What the config names and is not there, so that nothing is proved of it.
    pub faults: Vec<String>,
    /// What could not be looked at.
    pub not_looked_at: Vec<String>,
}

impl Isolation {
    /// Whether nothing was found that speaks against it.
    pub fn is_proved(&self) -> bool {
        self.reaches.is_empty() && self.faults.is_empty()
    }

    /// How many of the tenants reach another or are reached.
    pub(super) fn concerned(&self) -> usize {
        let mut concerned: HashSet<(&DatabaseName, &SchemaName)> = HashSet::new();
        let mut whole: HashSet<&DatabaseName> = HashSet::new();
        for (database, reach) in &self.reaches {
            match &reach.to {
                Some(to) => concerned.insert((database, to)),
                None => whole.insert(database),
            };
            // who stands behind a role of many is counted where they are reached
            if let Origin::Tenant(tenant, _) = &reach.from {
                concerned.insert((database, tenant));
            }
        }
        let is_concerned = |id: &&TenantId| {
            whole.contains(&id.database) || concerned.contains(&(&id.database, &id.schema))
        };
        self.tenants.iter().filter(is_concerned).count()
    }
}

/// Writes what was found.
///
/// # Errors
/// Those of the stream.
pub fn isolation(
    out: &mut dyn Write,
    isolation: &Isolation,
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    if isolation.is_proved() && verbosity == Verbosity::Quiet {
        return Ok(());
    }
    let tenants = count(isolation.tenants.len(), "tenant");
    let causes = causes(&isolation.reaches);
    if isolation.reaches.is_empty() {
        let (sign, tone) = if isolation.is_proved() {
            ("✓", Tone::Success)
        } else {
            ("!", Tone::Warning)
        };
        let head = format!("{sign} {tenants}: no tenant reaches another");
        writeln!(out, "{}", style.paint(tone, &head))?;
    } else {
        let concerned = isolation.concerned();
        let head = format!(
            "✗ {concerned} of {tenants} {} not isolated: {} with {}",
            verb(concerned, "is", "are"),
            count(isolation.reaches.len(), "finding"),
            count(causes.len(), "cause"),
        );
        writeln!(out, "{}", style.paint(Tone::Failure, &head))?;
    }
    for fault in &isolation.faults {
        let text = format!("✗ {}", clean(fault));
        writeln!(out, "{}", style.paint(Tone::Failure, &text))?;
    }
    write_causes(out, &causes, style, verbosity)?;
    for text in &isolation.not_looked_at {
        writeln!(
            out,
            "{} {}",
            style.paint(Tone::Warning, "! not looked at:"),
            clean(text)
        )?;
    }
    Ok(())
}

fn write_causes(
    out: &mut dyn Write,
    causes: &[Vec<&Found>],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let shown = if verbosity == Verbosity::Verbose {
        causes.len()
    } else {
        CAUSES
    };
    if !causes.is_empty() {
        writeln!(out)?;
    }
    for cause in causes.iter().take(shown) {
        write_cause(out, cause, style, verbosity)?;
    }
    if causes.len() > shown {
        let rest = causes[shown..].iter().map(Vec::len).sum();
        let causes = count(causes.len() - shown, "other cause");
        writeln!(out, "… and {} with {causes} (-v)", count(rest, "finding"))?;
    }
    Ok(())
}

/// `✗ main/acme → main/globex: view acme.v reads table globex.orders`
fn write_cause(
    out: &mut dyn Write,
    cause: &[&Found],
    style: Style,
    verbosity: Verbosity,
) -> io::Result<()> {
    let [(database, first), rest @ ..] = cause else {
        return Ok(());
    };
    let (from, to) = (sources(cause), targets(cause));
    let who = match from.len() {
        0 | 1 => origin(database, &first.from),
        several => count(several, "tenant"),
    };
    let whom = match (&first.to, to.len()) {
        (Some(to), 1) => format!("{database}/{to}"),
        (None, _) => format!("every tenant of {database}"),
        (_, several) => count(several, "tenant"),
    };
    let what = match rest.len() {
        0 => what(first),
        more => format!("{} and {more} more like it", what(first)),
    };
    let who = style.paint(Tone::Failure, &format!("✗ {who} → {whom}"));
    writeln!(out, "{who}: {}", clean(&what))?;
    if cause.len() == 1 && is_granted(first) && first.count > 1 {
        fact(out, "objects", &objects(first), style)?;
    }
    if let Some(remedy) = &first.remedy {
        let more = if rest.is_empty() { ";" } else { "; …" };
        fact(out, "mend", &format!("{}{more}", clean(remedy)), style)?;
    }
    for (several, label) in [(from, "from"), (to, "tenants")] {
        if several.len() > 1 {
            let ids: Vec<TenantId> = several
                .into_iter()
                .map(|(database, schema)| TenantId {
                    database: database.clone(),
                    schema: schema.clone(),
                })
                .collect();
            let listed = names(ids.iter(), INDENT, style.width, verbosity);
            fact(out, label, &listed, style)?;
        }
    }
    Ok(())
}

type Tenants<'a> = BTreeSet<(&'a DatabaseName, &'a SchemaName)>;

/// The single tenants that do it.
fn sources<'a>(cause: &[&'a Found]) -> Tenants<'a> {
    let of = |(database, reach): &&'a Found| match &reach.from {
        Origin::Tenant(tenant, _) => Some((database, tenant)),
        _ => None,
    };
    cause.iter().filter_map(of).collect()
}

fn targets<'a>(cause: &[&'a Found]) -> Tenants<'a> {
    let of = |(database, reach): &&'a Found| Some((database, reach.to.as_ref()?));
    cause.iter().filter_map(of).collect()
}

fn origin(database: &DatabaseName, from: &Origin) -> String {
    match from {
        Origin::Everyone => "everyone (PUBLIC)".to_owned(),
        Origin::Application(role) => format!("the application (role {})", clean(role)),
        Origin::Tenants(tenants, role) => {
            format!(
                "{} (as role {})",
                count(tenants.len(), "tenant"),
                clean(role)
            )
        }
        Origin::Tenant(tenant, None) => format!("{database}/{tenant}"),
        Origin::Tenant(tenant, Some(role)) => {
            format!("{database}/{tenant} (role {})", clean(role))
        }
        Origin::Shared(schema) => format!("schema {} of {database}", clean(schema)),
        Origin::Database => format!("database {database}"),
    }
}

fn is_granted(reach: &Reach) -> bool {
    use crate::reach::ReachKind::{Grant, Ownership};
    matches!(reach.kind, Grant | Ownership)
}

/// An object that reaches says what; of a grant it is the object that is reached.
fn what(reach: &Reach) -> String {
    match (&reach.objects[..], is_granted(reach)) {
        ([object], true) => format!("{}: {object}", reach.how),
        (_, true) | ([], _) => reach.how.clone(),
        ([object, ..], false) => format!("{object} {}", reach.how),
    }
}

fn objects(reach: &Reach) -> String {
    let mut text = clean(&reach.objects.join(", "));
    let more = reach.count.saturating_sub(NAMED_OBJECTS as u64);
    if more > 0 {
        let _ = write!(text, " and {more} more");
    }
    text
}
