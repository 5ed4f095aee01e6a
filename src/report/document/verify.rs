//! The document of `verify`.

use serde::Serialize;

use super::{Each, RawName};
use crate::migration::Version;
use crate::report::verified::{Verified, Whole};
use crate::run::ExitCode;
use crate::shape::{Apart, ComparedGroup, ComparedVersion, Difference, Standard};

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
    others: usize,
    differing: usize,
    not_compared: usize,
    excluded: usize,
}

#[derive(Serialize)]
struct VersionRow<S> {
    version: Version,
    tenants: usize,
    others: usize,
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
    verified: &'a Verified,
    fix_plan: Option<&'a str>,
    exit: ExitCode,
) -> impl Serialize + 'a {
    let verification = &verified.asked;
    VerifyDocument {
        outcome: if verified.is_vacuous() {
            "nothing_compared"
        } else if verified.has_findings() {
            "different"
        } else {
            "equal"
        },
        exit_code: exit.code(),
        totals: Totals {
            compared: verification.compared(),
            others: verified.others(),
            differing: verification.differing(),
            not_compared: verification.apart.len(),
            excluded: verification.excluded.len(),
        },
        versions: Each::of(&verification.versions, |version| {
            version_row(version, verified.whole(version.version))
        }),
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

fn version_row<'a>(
    version: &'a ComparedVersion,
    whole: &'a Whole,
) -> VersionRow<impl Serialize + 'a> {
    let tenants = version.tenants();
    let invalid = version.invalid_indexes().into_iter();
    let raw = |tenant: &crate::tenant::TenantId| {
        format!("{}/{}", tenant.database.as_str(), tenant.schema.as_str())
    };
    VersionRow {
        version: version.version,
        tenants,
        others: whole.tenants() - tenants,
        compared_with: match version.standard {
            Standard::Majority => "majority",
            Standard::Largest => "largest",
            Standard::Reference => "reference",
            Standard::NoReference => "no_reference",
        },
        shapes: Each::of(&version.groups, move |group| shape_row(group, whole)),
        invalid_indexes: invalid
            .map(|(index, tenants)| InvalidRow {
                index,
                tenants: tenants.into_iter().map(raw).collect(),
            })
            .collect(),
    }
}

fn shape_row<'a>(
    group: &'a ComparedGroup,
    whole: &Whole,
) -> ShapeRow<impl Serialize + 'a, impl Serialize + 'a> {
    ShapeRow {
        fingerprint: group.group.fingerprint.to_string(),
        is_majority: whole.is_majority(group.group.fingerprint),
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
