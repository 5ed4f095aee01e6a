//! The rules of `roles`.

use super::check::Checker;
use super::values::{may_hold_password, shown};
use super::{Roles, file};
use crate::tenant::{ApplicationRole, InvalidRoleTemplate, RoleTemplate};

/// Whose the tenants are in PostgreSQL.
pub(super) fn check(checker: &mut Checker<'_>, file: file::Roles) -> Option<Roles> {
    let tenant = checker.value("roles.tenant", file.tenant, "{schema}_owner", |text| {
        RoleTemplate::parse(text).map_err(|invalid| problem(text, &invalid))
    });
    let applications = checker.items(
        "roles.applications",
        file.applications.unwrap_or_default(),
        |text| ApplicationRole::parse(text).map_err(|invalid| problem(text, &invalid)),
    );
    Some(Roles {
        tenant: tenant?,
        applications: applications?,
    })
}

fn problem(text: &str, invalid: &InvalidRoleTemplate) -> String {
    if may_hold_password(text) {
        return format!("is no role: {}", shown(text));
    }
    match invalid {
        InvalidRoleTemplate::Name(name) => format!("is no role: {name}"),
        template => template.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_role_follows_its_key_and_shows_no_password() {
        let say = |text: &str| problem(text, &RoleTemplate::parse(text).unwrap_err());
        assert_eq!(
            say("owner"),
            "must hold {schema}, so that each tenant has a role of its own"
        );
        assert_eq!(
            say("pg_{schema}"),
            "is no role: role name \"pg_x\" is reserved by PostgreSQL"
        );
        assert!(!say("postgres://u:hunter2@h/{db}").contains("hunter2"));
    }
}
