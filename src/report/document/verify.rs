//! The document of `verify`.

use serde::Serialize;

use super::{Each, RawName};
use crate::migration::Version;
use crate::run::ExitCode;
use crate::shape::{Apart, ComparedGroup, ComparedVersion, Difference, Standard, Verification};

#[derive(Serialize)]
struct VerifyDocument<'a, V, A, E> {
    outcome: &'static str,
    exit_code: u8,
    totals: Totals,
    versions: V,
    not_compared: A,
    excluded: E,
    fix_plan: Option<&'a str>,
}

#[derive(Serialize)]
struct Totals {
    compared: usize,
    differing: usize,
    not_compared: usize,
    excluded: usize,
}

#[derive(Serialize)]
struct VersionRow<S> {
    version: Version,
    tenants: usize,
    compared_with: &'static str,
    shapes: S,
    invalid_indexes: Vec<InvalidRow>,
}

#[derive(Serialize)]
struct InvalidRow {
    index: String,
    tenants: Vec<String>,
}

#[derive(Serialize)]
struct ShapeRow<T, D> {
    fingerprint: String,
    is_majority: bool,
    is_expected: bool,
    tenants: T,
    differences: D,
}

#[derive(Serialize)]
struct DifferenceRow<'a> {
    kind: &'static str,
    name: &'a str,
    table: Option<&'a str>,
    change: &'static str,
    expected: Option<&'a str>,
    found: Option<&'a str>,
}

#[derive(Serialize)]
struct ApartRow<'a> {
    database: &'a str,
    schema: &'a str,
    reason: &'a str,
    is_finding: bool,
}

/// The document of `verify`.
pub fn verification_document<'a>(
    verification: &'a Verification,
    fix_plan: Option<&'a str>,
    exit: ExitCode,
) -> impl Serialize + 'a {
    VerifyDocument {
        outcome: if verification.has_findings() {
            "different"
        } else {
            "equal"
        },
        exit_code: exit.code(),
        totals: Totals {
            compared: verification.compared(),
            differing: verification.differing(),
            not_compared: verification.apart.len(),
            excluded: verification.excluded.len(),
        },
        versions: Each::of(&verification.versions, version_row),
        not_compared: Each::of(&verification.apart, apart_row),
        excluded: Each::of(&verification.excluded, RawName),
        fix_plan,
    }
}

fn apart_row(apart: &Apart) -> ApartRow<'_> {
    ApartRow {
        database: apart.tenant.database.as_str(),
        schema: apart.tenant.schema.as_str(),
        reason: &apart.reason,
        is_finding: apart.is_finding,
    }
}

fn version_row(version: &ComparedVersion) -> VersionRow<impl Serialize + '_> {
    let all = version.tenants();
    let invalid = version.invalid_indexes().into_iter();
    let raw = |tenant: &crate::tenant::TenantId| {
        format!("{}/{}", tenant.database.as_str(), tenant.schema.as_str())
    };
    VersionRow {
        version: version.version,
        tenants: all,
        compared_with: match version.standard {
            Standard::Majority => "majority",
            Standard::Largest => "largest",
            Standard::Reference => "reference",
            Standard::NoReference => "no_reference",
        },
        shapes: Each::of(&version.groups, move |group| shape_row(group, all)),
        invalid_indexes: invalid
            .map(|(index, tenants)| InvalidRow {
                index,
                tenants: tenants.into_iter().map(raw).collect(),
            })
            .collect(),
    }
}

fn shape_row(
    group: &ComparedGroup,
    all: usize,
) -> ShapeRow<impl Serialize + '_, impl Serialize + '_> {
    ShapeRow {
        fingerprint: group.group.fingerprint.to_string(),
        is_majority: group.group.tenants.len() * 2 > all,
        is_expected: group.differences.is_empty(),
        tenants: Each::of(&group.group.tenants, RawName),
        differences: Each::of(&group.differences, difference_row),
    }
}

fn difference_row(difference: &Difference) -> DifferenceRow<'_> {
    DifferenceRow {
        kind: difference.kind.word(),
        name: &difference.name,
        table: difference.table.as_deref(),
        change: difference.change.word(),
        expected: difference.expected.as_deref(),
        found: difference.found.as_deref(),
    }
}
