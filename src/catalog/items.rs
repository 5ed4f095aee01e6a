//! The query that reads items of shapes.
//!
//! PostgreSQL prints the names of a definition without their schema where the search path leads to them. So the path
//! is set to the tenant's own schema, row by row, before a row's definitions are printed: the order within a CASE is
//! certain. Only texts that PostgreSQL does not parse have the name taken out by a pattern: literals, bodies of
//! functions and their `search_path`, comments.
//!
//! The forms with `pretty` are asked for where there are two: the other ones qualify all names, whatever the path is.

use super::{comments, grants, relations, routines, types};
use crate::shape::OWN_SCHEMA;

/// What a query depends on beside the tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// `server_version_num / 10000`.
    pub(super) major: u32,
    /// Whether grants belong to a shape.
    pub(super) grants: bool,
    /// Whether comments do.
    pub(super) comments: bool,
}

/// The tenants and their objects: `$1` to `$4` are a row a tenant (its schema's OID and name, a search path to it
/// alone, its own roles), `$5` to `$7` the OIDs of all their relations, functions and types.
const OBJECTS: &str = r"
s AS MATERIALIZED (
  SELECT nsp, schema, path, roles::jsonb AS own_roles
  FROM unnest($1::oid[], $2::text[], $3::text[], $4::text[]) AS s(nsp, schema, path, roles)),
member AS MATERIALIZED (
  SELECT classid, objid FROM pg_catalog.pg_depend
  WHERE refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND deptype = 'e'),
rel AS MATERIALIZED (
  SELECT c.oid, c.relname, quote_ident(c.relname) AS tbl, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
    c.reloptions, c.relreplident, c.relispartition, c.relpartbound IS NOT NULL AS is_bound, c.relam, c.reloftype, c.reltype,
    c.relowner, c.relacl, s.*
  FROM unnest($5::oid[]) AS r(oid) JOIN pg_catalog.pg_class c ON c.oid = r.oid JOIN s ON s.nsp = c.relnamespace
  WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND m.objid = c.oid)),
fun AS MATERIALIZED (
  SELECT p.oid, p.proname, p.prokind, p.proowner, p.proacl, s.*
  FROM unnest($6::oid[]) AS r(oid) JOIN pg_catalog.pg_proc p ON p.oid = r.oid JOIN s ON s.nsp = p.pronamespace
  WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND m.objid = p.oid)
    AND NOT (p.prolang = 12 AND p.prosrc ~ '^(multi)?range_constructor')),
typ AS MATERIALIZED (
  SELECT t.oid, quote_ident(t.typname) AS name, t.typtype, t.typowner, t.typacl, t.typbasetype, t.typtypmod, t.typnotnull,
    t.typcollation, t.typdefault, t.typdefaultbin IS NOT NULL AS has_default, t.typisdefined, t.typinput, t.typoutput, s.*
  FROM unnest($7::oid[]) AS r(oid) JOIN pg_catalog.pg_type t ON t.oid = r.oid JOIN s ON s.nsp = t.typnamespace
  WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND m.objid = t.oid))";

/// An expression that is computed with the search path of its row's tenant.
pub(super) fn own(expression: &str) -> String {
    format!(
        "CASE WHEN current_setting('search_path') = path OR set_config('search_path', path, true) IS NOT NULL \
         THEN {expression} END"
    )
}

/// A collation that is not the one of the type, by its name.
pub(super) fn collation(of: &str, default: &str) -> String {
    format!(
        "(SELECT 'collate ' || CASE WHEN l.collnamespace = nsp OR n.nspname = 'pg_catalog' THEN '' \
            ELSE quote_ident(n.nspname) || '.' END || quote_ident(l.collname) \
          FROM pg_catalog.pg_collation l JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace \
          WHERE l.oid = {of} AND {of} <> {default})"
    )
}

/// Something of `catalogue` by its name, with its schema unless that is the tenant's own; NULL for the OID 0. Not by
/// `regproc` and its like: those put the schema in front wherever a name alone means several.
pub(super) fn named(catalogue: &str, prefix: &str, oid: &str) -> String {
    let name = if catalogue == "pg_operator" {
        format!("named.{prefix}name")
    } else {
        format!("quote_ident(named.{prefix}name)")
    };
    format!(
        "(SELECT CASE WHEN named.{prefix}namespace = nsp THEN '' ELSE quote_ident(named_in.nspname) || '.' END || {name} \
          FROM pg_catalog.{catalogue} named JOIN pg_catalog.pg_namespace named_in ON named_in.oid = named.{prefix}namespace \
          WHERE named.oid = {oid})"
    )
}

/// A function by its name.
pub(super) fn function(oid: &str) -> String {
    named("pg_proc", "pro", oid)
}

/// An operator by its name.
pub(super) fn operator(oid: &str) -> String {
    named("pg_operator", "opr", oid)
}

/// Options of relations that are true or false, for which PostgreSQL keeps the word that was written (`boolRelOpts` in
/// `reloptions.c`).
const SWITCHES: &str = "autovacuum_enabled|user_catalog_table|vacuum_truncate|fastupdate|security_barrier|security_invoker|deduplicate_items|autosummarize";

/// Options such as `fillfactor=70`, sorted.
pub(super) fn options(column: &str) -> String {
    format!(
        "'with (' || (SELECT string_agg(o, ', ' ORDER BY o COLLATE \"C\") FROM (SELECT CASE \
           WHEN o ~* '^({SWITCHES})=(on|true|tru|tr|t|yes|ye|y|1)$' THEN split_part(o, '=', 1) || '=true' \
           WHEN o ~* '^({SWITCHES})=(off|of|false|fals|fal|fa|f|no|n|0)$' THEN split_part(o, '=', 1) || '=false' \
           ELSE o END FROM unnest({column}) AS o) AS written(o)) || ')'"
    )
}

/// A role by its name; one of the tenant's own by its template. Both are identifiers.
pub(super) fn role(oid: &str) -> String {
    format!(
        "CASE {oid} WHEN 0 THEN 'public' ELSE (SELECT coalesce('\"' || replace(own_roles ->> g.rolname::text, '\"', '\"\"') || '\"', quote_ident(g.rolname)) \
         FROM pg_catalog.pg_roles g WHERE g.oid = {oid}) END"
    )
}

/// A name as a regular expression that means itself.
pub(super) fn escaped(name: &str) -> String {
    format!(r"regexp_replace({name}, '([][\\^$.|?*+(){{}}])', '\\\1', 'g')")
}

/// A name as a literal begins with it, bare and as an identifier, as a regular expression. In an `E''` string, for
/// which a backslash is reason enough, backslashes are doubled.
fn in_literals() -> String {
    let bare = "replace(schema, '''', '''''')";
    let quoted = "replace(replace(schema, '\"', '\"\"'), '''', '''''')";
    let forms = |of: &dyn Fn(&str) -> String| {
        let (bare, quoted) = (escaped(&of(bare)), escaped(&of(quoted)));
        format!("{bare} || '|\"' || {quoted} || '\"'")
    };
    let plain = forms(&str::to_owned);
    let in_escapes = forms(&|name| format!("replace({name}, '\\', '\\\\')"));
    format!(
        "CASE WHEN strpos(schema, '\\') > 0 THEN '(?:\\mE)?' ELSE '' END || '''(?:' || {plain} || CASE WHEN strpos(schema, '\\') > 0 THEN '|' || {in_escapes} ELSE '' END || ')'"
    )
}

/// Around a name that stands as a word of its own.
const WORD: (&str, &str) = ("(?<![[:alnum:]_$])", "(?![[:alnum:]_$])");

/// How the names of the tenants are found in texts: `needle` is what a text has to hold for that, and is in all texts
/// where the name has characters that are written otherwise.
fn own_names() -> String {
    let (literals, word) = (in_literals(), escaped("schema"));
    format!(
        "own AS MATERIALIZED (SELECT nsp AS of_nsp, CASE WHEN schema ~ '[''\"\\\\]' THEN '' ELSE schema END AS needle, \
           {literals} || '(?=[''.])' AS in_literal, '{}' || {word} || '{}' AS as_word FROM s)",
        WORD.0, WORD.1
    )
}

/// The items with the schema's own name taken out of literals that are it, or begin with it and a dot; out of comments
/// wherever it is a word. Nothing else that PostgreSQL prints holds it.
fn without_own_names(items: &str) -> String {
    format!(
        "items(nsp, kind, tbl, name, def, raw) AS ( \
           SELECT i.nsp, i.kind, i.tbl, i.name, CASE WHEN strpos(i.def, needle) = 0 THEN i.def \
             WHEN i.kind = 'comment' THEN regexp_replace(i.def, as_word, '{OWN_SCHEMA}', 'g') \
             ELSE regexp_replace(i.def, in_literal, '''{OWN_SCHEMA}', 'g') END, coalesce(i.raw, i.def) \
           FROM ({items}) AS i(nsp, kind, tbl, name, def, raw) JOIN own ON of_nsp = i.nsp)"
    )
}

/// The body of a function with the schema's own name taken out: in front of a dot, as a literal of its own, and in
/// comments as a word.
pub(super) fn without_own_name(text: &str) -> String {
    let bare = escaped("schema");
    let quoted = escaped("replace(schema, '\"', '\"\"')");
    let literals = in_literals();
    let (before, after) = WORD;
    format!(
        "CASE WHEN strpos(lower({text}), lower(schema)) = 0 AND strpos({text}, replace(schema, '\"', '\"\"')) = 0 \
           AND strpos({text}, replace(schema, '''', '''''')) = 0 THEN {text} ELSE \
         regexp_replace(regexp_replace(regexp_replace(regexp_replace({text}, \
           '\"' || {quoted} || '\"(\\s*\\.)', '{OWN_SCHEMA}\\1', 'g'), \
           '(^|[^[:alnum:]_$.\"])' || {bare} || '(\\s*\\.)', '\\1{OWN_SCHEMA}\\2', CASE WHEN schema = lower(schema) THEN 'gi' ELSE 'g' END), \
           {literals} || '''', '''{OWN_SCHEMA}''', 'g'), \
           '(?<=--[^\\n]*|/\\*([^*]|\\*[^/])*){before}' || {bare} || '{after}', '{OWN_SCHEMA}', 'g') END"
    )
}

/// All items, as `nsp, kind, tbl, name, def, raw`.
fn items(features: Features) -> String {
    let mut branches = relations::branches(features.major);
    branches.extend(routines::branches(features.major));
    branches.extend(types::branches());
    if features.grants {
        branches.extend(grants::branches());
    }
    if features.comments {
        branches.extend(comments::branches());
    }
    branches.join("\nUNION ALL\n")
}

/// One row a tenant: its fingerprint, as [`crate::shape::Shape::fingerprint`] computes it.
pub(super) fn fingerprints(features: Features) -> String {
    let (names, items) = (own_names(), without_own_names(&items(features)));
    format!(
        "WITH {OBJECTS}, {names}, {items}, \
         hashed AS (SELECT nsp, sha256(convert_to(kind || E'\\x1f' || coalesce(tbl, '') || E'\\x1f' || name || E'\\x1f' \
           || coalesce(def, ''), 'UTF8')) AS hash FROM items) \
         SELECT nsp, substr(sha256(string_agg(hash, ''::bytea ORDER BY hash)), 1, 16) FROM hashed GROUP BY nsp"
    )
}

/// One row an item.
pub(super) fn listed(features: Features) -> String {
    let (names, items) = (own_names(), without_own_names(&items(features)));
    format!(
        "WITH {OBJECTS}, {names}, {items} \
         SELECT nsp, kind, tbl, name, coalesce(def, ''), nullif(raw, def) FROM items"
    )
}
