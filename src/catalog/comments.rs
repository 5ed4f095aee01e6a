//! Items of comments. The one on the schema itself is left out: it often holds the tenant's name.

use super::items::own;
use super::routines::signature;

pub(super) fn branches() -> Vec<String> {
    let relation = "CASE relkind WHEN 'v' THEN 'view ' WHEN 'm' THEN 'materialized view ' WHEN 'f' THEN 'foreign table ' \
         WHEN 'S' THEN 'sequence ' WHEN 'c' THEN 'type ' ELSE 'table ' END || tbl";
    let columns = "rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped";
    let indexes = "rel JOIN pg_catalog.pg_index i ON i.indrelid = rel.oid JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid";
    let functions =
        "(SELECT fun.*, p.proargtypes FROM fun JOIN pg_catalog.pg_proc p ON p.oid = fun.oid) o";
    let function = format!(
        "CASE prokind WHEN 'p' THEN 'procedure ' WHEN 'a' THEN 'aggregate ' ELSE 'function ' END || {}",
        signature("o")
    );
    let mut branches = vec![
        of("rel", ("pg_class", "rel.oid", "0"), relation),
        of(
            columns,
            ("pg_class", "rel.oid", "a.attnum"),
            "'column ' || tbl || '.' || quote_ident(a.attname)",
        ),
        of(
            indexes,
            ("pg_class", "c.oid", "0"),
            "'index ' || quote_ident(c.relname)",
        ),
        of(functions, ("pg_proc", "o.oid", "0"), &function),
        of(
            "typ",
            ("pg_type", "typ.oid", "0"),
            "CASE typtype WHEN 'd' THEN 'domain ' ELSE 'type ' END || name",
        ),
    ];
    for (catalogue, column, name, word) in [
        ("pg_constraint", "conrelid", "conname", "constraint"),
        ("pg_trigger", "tgrelid", "tgname", "trigger"),
        ("pg_policy", "polrelid", "polname", "policy"),
        ("pg_rewrite", "ev_class", "rulename", "rule"),
    ] {
        branches.push(of(
            &format!("rel JOIN pg_catalog.{catalogue} o ON o.{column} = rel.oid"),
            (catalogue, "o.oid", "0"),
            &format!("'{word} ' || quote_ident(o.{name}) || ' on ' || tbl"),
        ));
    }
    branches.extend(others());
    branches
}

/// On what belongs to no relation. What an extension has said of its members came with it.
fn others() -> Vec<String> {
    let mut branches = vec![
        of(
            "typ JOIN pg_catalog.pg_constraint o ON o.contypid = typ.oid",
            ("pg_constraint", "o.oid", "0"),
            "'constraint ' || quote_ident(o.conname) || ' on domain ' || typ.name",
        ),
        of_no_member(("pg_operator", "oprnamespace"), &operator_signature()),
    ];
    for (catalogue, prefix, word) in [
        ("pg_statistic_ext", "stx", "statistics"),
        ("pg_collation", "coll", "collation"),
        ("pg_ts_config", "cfg", "text search configuration"),
        ("pg_ts_dict", "dict", "text search dictionary"),
    ] {
        branches.push(of_no_member(
            (catalogue, &format!("{prefix}namespace")),
            &format!("'{word} ' || quote_ident(o.{prefix}name)"),
        ));
    }
    branches
}

fn of_no_member((catalogue, namespace): (&str, &str), subject: &str) -> String {
    let objects = format!("s JOIN pg_catalog.{catalogue} o ON o.{namespace} = nsp");
    let all = of(&objects, (catalogue, "o.oid", "0"), subject);
    format!(
        "{all} WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = d.classoid AND m.objid = d.objoid)"
    )
}

/// An operator as COMMENT ON takes it.
fn operator_signature() -> String {
    own(
        "'operator ' || o.oprname || ' (' || CASE WHEN o.oprleft = 0 THEN 'none' ELSE format_type(o.oprleft, NULL) END || ', ' \
         || CASE WHEN o.oprright = 0 THEN 'none' ELSE format_type(o.oprright, NULL) END || ')'",
    )
}

/// The comments on these objects, which are known by catalogue, OID and number of a column.
fn of(objects: &str, (catalogue, oid, column): (&str, &str, &str), subject: &str) -> String {
    format!(
        "SELECT nsp, 'comment', NULL, {subject}, d.description, NULL FROM {objects} \
         JOIN pg_catalog.pg_description d ON d.objoid = {oid} AND d.objsubid = {column} \
           AND d.classoid = 'pg_catalog.{catalogue}'::pg_catalog.regclass"
    )
}
