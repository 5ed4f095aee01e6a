//! What the config finds, for people.

use std::collections::HashSet;
use std::io::{self, Write};

use super::style::{Style, Tone};
use super::table::{Cell, Table};
use super::wording::{clean, count};
use crate::tenant::{Presence, Tenant};

/// Writes a table of tenants and how many there are.
///
/// # Errors
/// Those of the stream.
pub fn tenants(out: &mut dyn Write, tenants: &[Tenant], style: Style) -> io::Result<()> {
    if !tenants.is_empty() {
        let mut table = Table::new(["DATABASE", "SCHEMA", "EXISTS", "LABELS"]);
        for tenant in tenants {
            table.push([
                tenant.id.database.to_string().into(),
                tenant.id.schema.to_string().into(),
                exists(tenant.presence),
                labels(tenant).into(),
            ]);
        }
        table.write(out, style)?;
        writeln!(out)?;
    }
    let databases: HashSet<_> = tenants.iter().map(|t| &t.id.database).collect();
    let missing = tenants
        .iter()
        .filter(|tenant| tenant.presence != Presence::Present)
        .count();
    let mut text = format!(
        "{} in {}",
        count(tenants.len(), "tenant"),
        count(databases.len(), "database")
    );
    if missing > 0 {
        let missing = format!("{} missing", count(missing, "schema"));
        text = format!("{text}, {}", style.paint(Tone::Warning, &missing));
    }
    writeln!(out, "{text}")
}

fn exists(presence: Presence) -> Cell {
    match presence {
        Presence::Present => "yes".into(),
        Presence::ToCreate => Cell::toned("to create", Some(Tone::Warning)),
        Presence::Absent => Cell::toned("no", Some(Tone::Failure)),
    }
}

fn labels(tenant: &Tenant) -> String {
    let labels: Vec<String> = tenant
        .labels
        .iter()
        .map(|(key, value)| format!("{}={}", clean(key), clean(value)))
        .collect();
    labels.join(" ")
}
