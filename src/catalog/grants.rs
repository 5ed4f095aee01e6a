//! Items of grants. What an owner may do is no item: an owner can always give itself what it lacks.

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
    vec![
        of("rel", "relacl", "relowner", relation),
        of(columns, "attacl", "relowner", "subject"),
        of(functions, public_may_run, "proowner", &function),
        of("typ", public_may_use, "typowner", "'type ' || name"),
        of(schemas, "nspacl", "nspowner", "'schema'"),
        defaults(),
    ]
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
