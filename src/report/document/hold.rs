//! Holds and pins as documents.

use serde::Serialize;

use super::{Each, TenantKey};
use crate::migration::Version;
use crate::plan::Hold;
use crate::report::HoldNews;

/// One hold or pin, without its tenant.
#[derive(Serialize)]
pub(super) struct HoldRow<'a> {
    kind: &'static str,
    to: Option<Version>,
    until: Option<&'a str>,
    reason: Option<&'a str>,
    set_by: &'a str,
    set_at: &'a str,
}

impl<'a> HoldRow<'a> {
    pub(super) fn of(hold: &'a Hold) -> Self {
        Self {
            kind: hold.kind.as_str(),
            to: hold.kind.version(),
            until: hold.until.as_deref(),
            reason: hold.reason.as_deref(),
            set_by: &hold.set_by,
            set_at: &hold.set_at,
        }
    }
}

#[derive(Serialize)]
struct SetDocument<T> {
    holds: T,
}

#[derive(Serialize)]
struct SetRow<'a> {
    #[serde(flatten)]
    tenant: TenantKey<'a>,
    #[serde(flatten)]
    hold: HoldRow<'a>,
    replaces: Option<HoldRow<'a>>,
}

/// What `hold` and `pin` have set.
pub fn holds_set_document<'a>(news: &'a [HoldNews]) -> impl Serialize + 'a {
    SetDocument {
        holds: Each::of(news, |news: &'a HoldNews| SetRow {
            tenant: TenantKey::of(&news.set.hold.tenant),
            hold: HoldRow::of(&news.set.hold),
            replaces: news.set.replaces.as_ref().map(HoldRow::of),
        }),
    }
}

#[derive(Serialize)]
struct ReleasedDocument<T> {
    released: T,
}

#[derive(Serialize)]
struct ReleasedRow<'a> {
    #[serde(flatten)]
    tenant: TenantKey<'a>,
    #[serde(flatten)]
    hold: HoldRow<'a>,
}

/// What `release` has ended.
pub fn holds_released_document<'a>(released: &'a [Hold]) -> impl Serialize + 'a {
    ReleasedDocument {
        released: Each::of(released, |hold: &'a Hold| ReleasedRow {
            tenant: TenantKey::of(&hold.tenant),
            hold: HoldRow::of(hold),
        }),
    }
}
