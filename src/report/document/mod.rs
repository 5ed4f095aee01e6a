//! JSON documents, the contract with scripts: structs in the order of their keys, and lists that
//! are serialized row by row from what is there, so that 10,000 tenants need no second copy.

mod acts;
mod doctor;
mod failures;
mod gate;
mod hold;
mod isolation;
mod ledger;
mod lint;
mod pace;
mod plan;
mod rehearsal;
mod roles;
mod run;
mod verify;
mod waves;

use std::io::{self, Write};

use serde::{Serialize, Serializer};

pub use acts::intent_document;
pub use doctor::doctor_document;
pub use failures::{failures_document, no_failures_document, tenants_of_document};
pub use gate::{gate_document, gate_line};
pub use hold::{holds_released_document, holds_set_document};
pub use isolation::isolation_document;
pub use ledger::{runs_document, show_document, tenants_document};
pub use lint::{lint_document, lint_rules_document, lint_sarif};
pub(super) use pace::PaceRow;
pub use plan::{plan_document, status_document};
pub(super) use rehearsal::RehearsedRow;
pub use rehearsal::{refused_by_rehearsal, rehearsal_document};
pub use roles::{roles_applied_document, roles_plan_document};
pub use run::{Complaint, refused_by_lint, run_document, runless_document};
pub(super) use run::{TenantKey, TenantRow};
pub use verify::verification_document;
pub use waves::approved_document;
pub(super) use waves::{HaltRow, WaveEvent};

use crate::run::FailureGroup;
use crate::tenant::TenantId;

/// Writes a document on one line.
///
/// # Errors
/// Those of the stream.
pub fn write_document(out: &mut dyn Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document)?;
    out.write_all(b"\n")
}

/// A list whose rows are made while it is written.
struct Each<'a, T, F> {
    items: &'a [T],
    row: F,
}

impl<'a, T, F> Each<'a, T, F> {
    fn of(items: &'a [T], row: F) -> Self {
        Self { items, row }
    }
}

impl<'a, T, R: Serialize, F: Fn(&'a T) -> R> Serialize for Each<'a, T, F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.items.iter().map(&self.row))
    }
}

/// `main/acme` to the letter: scripts compare names, terminals do not read them here.
struct RawName<'a>(&'a TenantId);

impl Serialize for RawName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!(
            "{}/{}",
            self.0.database.as_str(),
            self.0.schema.as_str()
        ))
    }
}

/// Failures with one cause.
#[derive(Serialize)]
struct CauseRow<'a, N> {
    count: usize,
    sqlstate: Option<&'a str>,
    migration: Option<&'a str>,
    message: &'a str,
    tenants: N,
}

fn causes<'a>(groups: &'a [FailureGroup]) -> impl Serialize + 'a {
    Each::of(groups, |group: &'a FailureGroup| CauseRow {
        count: group.tenants.len(),
        sqlstate: group.example.sqlstate.as_deref(),
        migration: group.example.migration.as_deref(),
        message: &group.example.message,
        tenants: Each::of(&group.tenants, RawName),
    })
}
