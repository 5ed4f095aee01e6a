//! The rules of `verify`.

use super::check::Checker;
use super::values::shown;
use super::{Drift, Verify, VerifyAfter, file, names, values};

/// What makes tenants equal, and when that is looked at.
pub(super) fn check(checker: &mut Checker<'_>, file: file::Verify) -> Option<Verify> {
    let grants = checker.value("verify.grants", file.grants, "false", values::flag);
    let comments = checker.value("verify.comments", file.comments, "false", values::flag);
    let exclude = checker.items(
        "verify.exclude",
        file.exclude.unwrap_or_default(),
        names::pattern,
    );
    let after = checker.value("verify.after", file.after, "canary", after);
    let drift = checker.value("verify.drift", file.drift, "tell", drift);
    Some(Verify {
        grants: grants?,
        comments: comments?,
        exclude: exclude?,
        after: after?,
        drift: drift?,
    })
}

fn after(text: &str) -> Result<VerifyAfter, String> {
    match text.trim() {
        "canary" => Ok(VerifyAfter::Canary),
        "every" => Ok(VerifyAfter::Every),
        _ => Err(format!(
            "must be `canary` (the first wave) or `every` (each wave, and the end of a run without waves), not `{}`",
            shown(text)
        )),
    }
}

fn drift(text: &str) -> Result<Drift, String> {
    match text.trim() {
        "tell" => Ok(Drift::Tell),
        "fail" => Ok(Drift::Fail),
        _ => Err(format!(
            "must be `tell` or `fail` (what a tenant differed in before the run fails it too), not `{}`",
            shown(text)
        )),
    }
}
