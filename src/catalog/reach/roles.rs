//! Roles and their memberships, of the whole server: they are few beside the objects of tenants.

use std::collections::HashSet;

use tokio_postgres::Client;

use super::ReachQuestion;
use crate::reach::{Membership, RoleFacts, Standings};
use crate::tenant::RoleName;

const ROLES: &str = "
    SELECT r.oid, r.rolname::pg_catalog.text, r.rolsuper, r.rolbypassrls,
        r.rolcreaterole AND pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 160000,
        d.datdba IS NOT NULL
    FROM pg_catalog.pg_roles r
    LEFT JOIN pg_catalog.pg_database d ON d.datdba = r.oid AND d.datname = pg_catalog.current_database()";

/// Of PostgreSQL 16 on a membership may give nothing but be there; older ones have no such columns.
const MEMBERSHIPS: &str = "
    SELECT m.roleid, m.member FROM pg_catalog.pg_auth_members m
    WHERE m.admin_option
       OR COALESCE((pg_catalog.to_jsonb(m) ->> 'inherit_option')::pg_catalog.bool, true)
       OR COALESCE((pg_catalog.to_jsonb(m) ->> 'set_option')::pg_catalog.bool, true)";

/// Whose the roles are, and which of those that are asked about do not exist.
pub(super) async fn standings(
    client: &Client,
    question: &ReachQuestion,
) -> Result<(Standings, HashSet<RoleName>), tokio_postgres::Error> {
    let rows = client.query_typed(ROLES, &[]).await?;
    let facts: Vec<RoleFacts> = rows
        .iter()
        .map(|row| RoleFacts {
            oid: row.get(0),
            name: row.get(1),
            is_superuser: row.get(2),
            bypasses_row_security: row.get(3),
            can_become_any: row.get(4),
            owns_database: row.get(5),
        })
        .collect();
    let rows = client.query_typed(MEMBERSHIPS, &[]).await?;
    let memberships: Vec<Membership> = rows
        .iter()
        .map(|row| Membership {
            role: row.get(0),
            member: row.get(1),
        })
        .collect();
    let there: HashSet<&str> = facts.iter().map(|facts| facts.name.as_str()).collect();
    let of_tenants = question.principals.iter().map(|principal| &principal.role);
    let missing = question
        .applications
        .iter()
        .chain(of_tenants)
        .filter(|role| !there.contains(role.as_str()))
        .cloned()
        .collect();
    let standings = Standings::of(
        &facts,
        &memberships,
        &question.principals,
        &question.applications,
    );
    Ok((standings, missing))
}
