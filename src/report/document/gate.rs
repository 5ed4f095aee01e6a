//! The document of `gate`, and the line of a look that found somebody behind.

use serde::Serialize;

use super::Each;
use super::run::TenantKey;
use crate::migration::Version;
use crate::plan::{Arrival, Behind};
use crate::run::ExitCode;

#[derive(Serialize)]
struct Document<B> {
    exit_code: u8,
    #[serde(flatten)]
    counts: Counts,
    behind: B,
}

#[derive(Serialize)]
struct Line {
    event: &'static str,
    #[serde(flatten)]
    counts: Counts,
}

#[derive(Serialize)]
struct Counts {
    min_version: Version,
    lowest: Option<Version>,
    totals: GateTotals,
}

#[derive(Serialize)]
struct GateTotals {
    tenants: usize,
    there: usize,
    behind: usize,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    key: TenantKey<'a>,
    version: Option<Version>,
    reason: Option<&'a str>,
}

impl Counts {
    fn of(arrival: &Arrival) -> Self {
        Self {
            min_version: arrival.minimum,
            lowest: arrival.lowest,
            totals: GateTotals {
                tenants: arrival.tenants(),
                there: arrival.there,
                behind: arrival.behind.len(),
            },
        }
    }
}

/// Who is at the version, and who is not.
pub fn gate_document(arrival: &Arrival, exit: ExitCode) -> impl Serialize + '_ {
    Document {
        exit_code: exit.code(),
        counts: Counts::of(arrival),
        behind: Each::of(&arrival.behind, row),
    }
}

fn row(behind: &Behind) -> Row<'_> {
    Row {
        key: TenantKey::of(&behind.tenant),
        version: behind.version,
        reason: behind.reason.as_deref(),
    }
}

/// A look that found somebody behind, while there is time left to wait.
pub fn gate_line(arrival: &Arrival) -> impl Serialize {
    Line {
        event: "waiting",
        counts: Counts::of(arrival),
    }
}
