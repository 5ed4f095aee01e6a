//! The role that a tenant's migrations run as, where it is one of the tenant's own: it owns the tenant's schema
//! and nothing else, so that PostgreSQL itself refuses a statement that reaches further.

use tokio_postgres::error::SqlState;

use super::message::{Envelope, GUARD_MARK};
use crate::run::Failure;
use crate::tenant::quote_literal;

/// How long a role is taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoleScope {
    /// Until the transaction ends.
    Transaction,
    /// Until the session is made as new.
    Session,
}

impl Envelope {
    /// Makes everything that follows the doing of the tenant's role.
    pub(super) fn set_role(&self, scope: RoleScope) -> Option<String> {
        let local = match scope {
            RoleScope::Transaction => "LOCAL ",
            RoleScope::Session => "",
        };
        let role = self.role.as_ref()?.quoted();
        Some(format!("SET {local}ROLE {role}"))
    }

    /// In SQL: what the guard says where somebody else than the tenant's role is at work by now.
    pub(super) fn is_other_role(&self) -> String {
        self.role.as_ref().map_or_else(String::new, |role| {
            format!(
                "WHEN current_user IS DISTINCT FROM {} THEN '{GUARD_MARK}role' ",
                quote_literal(role.as_str())
            )
        })
    }

    /// Says of a right that a file lacks whose right it is: what helps is not to give fleet's own role more.
    pub(super) fn tell_of_role(&self, failure: &mut Failure) {
        let is_refused =
            failure.sqlstate.as_deref() == Some(SqlState::INSUFFICIENT_PRIVILEGE.code());
        let Some(role) = self.role.as_ref().filter(|_| is_refused) else {
            return;
        };
        failure.hint = Some(format!(
            "this tenant's migrations run as the role {role}, which owns the schema {} and nothing else: take what \
             reaches outside of the tenant out of the migration set and do it once, by hand; or GRANT {role} what it \
             needs there",
            self.schema
        ));
    }
}
