//! The rules of `verify`.

use super::check::Checker;
use super::{Verify, file, names, values};

/// What makes tenants equal.
pub(super) fn check(checker: &mut Checker<'_>, file: file::Verify) -> Option<Verify> {
    let grants = checker.value("verify.grants", file.grants, "false", values::flag);
    let comments = checker.value("verify.comments", file.comments, "false", values::flag);
    let exclude = checker.items(
        "verify.exclude",
        file.exclude.unwrap_or_default(),
        names::pattern,
    );
    Some(Verify {
        grants: grants?,
        comments: comments?,
        exclude: exclude?,
    })
}
