//! Items of grants. Of an owner only what it has taken from itself is one: until somebody grants anything there is no
//! list, and then all that it may do is written out.

use super::items::role;
use super::routines::signature;

/// The privileges of one grantee, as GRANT takes them.
const PRIVILEGES: &str = "string_agg(x.privilege_type || CASE WHEN x.is_grantable THEN ' with grant option' ELSE '' END, \
     ', ' ORDER BY x.privilege_type COLLATE \"C\")";

pub(super) fn branches() -> Vec<String> {
    let columns = "(SELECT rel.nsp, rel.own_roles, rel.relowner, a.attacl, 'column ' || tbl || '.' || quote_ident(a.attname) AS subject \
         FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) o";
    let functions =
        "(SELECT fun.*, p.proargtypes FROM fun JOIN pg_catalog.pg_proc p ON p.oid = fun.oid) o";
    let function = format!(
        "CASE prokind WHEN 'p' THEN 'procedure ' ELSE 'function ' END || {}",
        signature("o")
    );
    let schemas = "(SELECT s.*, n.nspacl, n.nspowner FROM s JOIN pg_catalog.pg_namespace n ON n.oid = s.nsp) o";
    let relation = "CASE relkind WHEN 'S' THEN 'sequence ' ELSE 'table ' END || tbl";
    let public_may_run = "coalesce(proacl, acldefault('f', proowner))";
    let public_may_use = "coalesce(typacl, acldefault('T', typowner))";
    let kind = "CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\"";
    let of_owners = [
        of_owner("rel", ("relacl", "relowner", kind), relation),
        of_owner(functions, ("proacl", "proowner", "'f'"), &function),
        of_owner("typ", ("typacl", "typowner", "'T'"), "'type ' || name"),
        of_owner(schemas, ("nspacl", "nspowner", "'n'"), "'schema'"),
    ];
    let mut branches = vec![
        of("rel", "relacl", "relowner", relation),
        of(columns, "attacl", "relowner", "subject"),
        of(functions, public_may_run, "proowner", &function),
        of("typ", public_may_use, "typowner", "'type ' || name"),
        of(schemas, "nspacl", "nspowner", "'schema'"),
        defaults(),
    ];
    branches.extend(of_owners);
    branches
}

/// What the owner of each object may not do, of what owners can.
fn of_owner(objects: &str, (acl, owner, kind): (&str, &str, &str), subject: &str) -> String {
    format!(
        "SELECT nsp, 'owner''s rights', NULL, subject, 'without ' || lacking, NULL FROM ( \
           SELECT nsp, {subject} AS subject, (SELECT string_agg(d.privilege_type, ', ' ORDER BY d.privilege_type COLLATE \"C\") \
             FROM aclexplode(acldefault({kind}, {owner})) AS d WHERE d.grantee = {owner} AND NOT EXISTS ( \
               SELECT FROM aclexplode({acl}) AS x WHERE x.grantee = {owner} AND x.privilege_type = d.privilege_type)) AS lacking \
           FROM {objects} WHERE {acl} IS NOT NULL) l WHERE lacking IS NOT NULL"
    )
}

/// A row a grantee of each object.
fn of(objects: &str, acl: &str, owner: &str, subject: &str) -> String {
    let grantee = role("x.grantee");
    format!(
        "SELECT nsp, 'grant', NULL, subject || ' to ' || grantee, privileges, NULL FROM ( \
           SELECT nsp, subject, grantee, {PRIVILEGES} AS privileges FROM ( \
             SELECT nsp, {subject} AS subject, {grantee} AS grantee, x.privilege_type, x.is_grantable \
             FROM {objects} CROSS JOIN LATERAL aclexplode({acl}) AS x WHERE x.grantee <> {owner}) x GROUP BY 1, 2, 3) g"
    )
}

fn defaults() -> String {
    let (of, grantee) = (role("d.defaclrole"), role("x.grantee"));
    format!(
        "SELECT nsp, 'default privilege', NULL, subject, {PRIVILEGES}, NULL FROM ( \
           SELECT nsp, 'of ' || {of} || ' on ' || CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' \
             WHEN 'f' THEN 'functions' WHEN 'T' THEN 'types' ELSE 'others' END || ' to ' || {grantee} AS subject, x.privilege_type, x.is_grantable \
           FROM s JOIN pg_catalog.pg_default_acl d ON d.defaclnamespace = nsp CROSS JOIN LATERAL aclexplode(d.defaclacl) AS x \
           WHERE x.grantee <> d.defaclrole) x GROUP BY nsp, subject"
    )
}
