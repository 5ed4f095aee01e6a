//! The rules of `rollout.windows`.

use super::check::Checker;
use super::values::{may_hold_password, shown};
use super::{file, names};
use crate::plan::{Window, WindowRule};

/// When tenants may be touched.
pub(super) fn check(
    checker: &mut Checker<'_>,
    windows: Vec<Option<file::WindowRule>>,
) -> Option<Vec<WindowRule>> {
    let rules: Vec<Option<WindowRule>> = windows
        .into_iter()
        .enumerate()
        .map(|(index, file)| rule(checker, &format!("rollout.windows[{index}]"), file))
        .collect();
    rules.into_iter().collect()
}

fn rule(
    checker: &mut Checker<'_>,
    key: &str,
    file: Option<file::WindowRule>,
) -> Option<WindowRule> {
    let Some(file) = file else {
        checker.refuse(key, "is empty");
        return None;
    };
    let tenants = checker.items(
        &format!("{key}.tenants"),
        file.tenants.unwrap_or_default(),
        names::pattern,
    );
    let labels: Vec<Option<(String, String)>> = file
        .labels
        .unwrap_or_default()
        .into_iter()
        .map(|(label, value)| {
            let key = format!("{key}.labels.{label}");
            let value = checker.needed(&key, value, |text| Ok(text.to_owned()));
            Some((label, value?))
        })
        .collect();
    let window = checker.needed(&format!("{key}.window"), file.window, window);
    Some(WindowRule {
        tenants: tenants?,
        labels: labels.into_iter().collect::<Option<_>>()?,
        window: window?,
    })
}

/// `Sun 02:00-05:00 Europe/Zurich`.
fn window(text: &str) -> Result<Window, String> {
    if may_hold_password(text) {
        return Err(format!("is no window: {}", shown(text)));
    }
    Window::parse(text).map_err(|invalid| invalid.to_string())
}
