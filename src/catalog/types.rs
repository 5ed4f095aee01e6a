//! Items of types, and of what else a schema may hold.

use super::items::{collation, function, named, operator, own};

pub(super) fn branches() -> Vec<String> {
    vec![
        composites(),
        types(),
        domain_constraints(),
        extensions(),
        collations(),
        operators(),
        text_search(),
    ]
}

/// Attributes are in order here, for a value of the type is written so.
fn composites() -> String {
    let own = own(&format!(
        "'(' || coalesce((SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod), {}), ', ' ORDER BY a.attnum) \
           FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid \
           WHERE a.attrelid = rel.oid AND a.attnum > 0 AND NOT a.attisdropped), '') || ')'",
        collation("a.attcollation", "t.typcollation"),
    ));
    format!("SELECT nsp, 'composite type', NULL, tbl, {own}, NULL FROM rel WHERE relkind = 'c'")
}

fn types() -> String {
    let own = own(&format!(
        "CASE typtype \
         WHEN 'e' THEN (SELECT '(' || coalesce(string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder), '') || ')' \
           FROM pg_catalog.pg_enum e WHERE e.enumtypid = typ.oid) \
         WHEN 'd' THEN concat_ws(' ', 'as ' || format_type(typbasetype, typtypmod), {domain_collation}, \
           'default ' || (SELECT coalesce(pg_get_expr(b.typdefaultbin, 0), b.typdefault) FROM pg_catalog.pg_type b WHERE b.oid = typ.oid), \
           CASE WHEN typnotnull THEN 'not null' END) \
         WHEN 'r' THEN (SELECT concat_ws(', ', 'subtype = ' || format_type(r.rngsubtype, NULL), \
             (SELECT 'subtype_opclass = ' || {operator_class} FROM pg_catalog.pg_opclass o WHERE o.oid = r.rngsubopc AND NOT o.opcdefault), \
             {range_collation}, 'canonical = ' || {canonical}, 'subtype_diff = ' || {difference}) \
           FROM pg_catalog.pg_range r JOIN pg_catalog.pg_type b ON b.oid = r.rngsubtype WHERE r.rngtypid = typ.oid) \
         ELSE (SELECT concat_ws(', ', CASE WHEN NOT b.typisdefined THEN 'shell' END, {in_c}) \
           FROM pg_catalog.pg_type b WHERE b.oid = typ.oid) END",
        in_c = in_c(),
        operator_class = named("pg_opclass", "opc", "o.oid"),
        canonical = function("r.rngcanonical"),
        difference = function("r.rngsubdiff"),
        domain_collation = collation(
            "typ.typcollation",
            "(SELECT b.typcollation FROM pg_catalog.pg_type b WHERE b.oid = typ.typbasetype)"
        ),
        range_collation = collation("r.rngcollation", "b.typcollation"),
    ));
    format!(
        "SELECT nsp, CASE typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range type' ELSE 'type' END, \
           NULL, typ.name, {own}, NULL FROM typ"
    )
}

/// What a type that is written in C is like, `b` in `pg_type`.
fn in_c() -> String {
    let functions = ["input", "output", "receive", "send"].map(|what| {
        let name = function(&format!("b.typ{what}"));
        format!("'{what} = ' || {name}")
    });
    format!(
        "{}, 'typmod_in = ' || {}, 'typmod_out = ' || {}, CASE WHEN b.typisdefined THEN concat_ws(', ', \
           'internallength = ' || b.typlen, CASE WHEN b.typbyval THEN 'passedbyvalue' END, \
           'alignment = ' || b.typalign::text, 'storage = ' || b.typstorage::text, 'category = ' || b.typcategory::text) END",
        functions.join(", "),
        function("b.typmodin"),
        function("b.typmodout"),
    )
}

fn domain_constraints() -> String {
    let own = own("pg_get_constraintdef(k.oid, true)");
    format!(
        "SELECT nsp, 'constraint', typ.name, quote_ident(k.conname), {own}, NULL \
         FROM typ JOIN pg_catalog.pg_constraint k ON k.contypid = typ.oid AND k.contype <> 'n' WHERE typ.typtype = 'd'"
    )
}

fn extensions() -> String {
    "SELECT nsp, 'extension', NULL, quote_ident(e.extname), 'version ' || quote_literal(e.extversion), NULL \
     FROM s JOIN pg_catalog.pg_extension e ON e.extnamespace = nsp"
        .to_owned()
}

/// Columns of this catalogue come and go with versions, so that they are asked for by name at run time.
fn collations() -> String {
    "SELECT nsp, 'collation', NULL, quote_ident(l.collname), concat_ws(' ', 'provider ' || (l.j ->> 'collprovider'), \
       coalesce(l.j ->> 'colllocale', l.j ->> 'colliculocale', l.j ->> 'collcollate'), l.j ->> 'collctype', \
       CASE l.j ->> 'collisdeterministic' WHEN 'false' THEN 'not deterministic' END, l.j ->> 'collicurules'), NULL \
     FROM s JOIN (SELECT c.oid, c.collnamespace, c.collname, to_jsonb(c) AS j FROM pg_catalog.pg_collation c \
       WHERE c.collnamespace <> 'pg_catalog'::pg_catalog.regnamespace) l ON l.collnamespace = nsp"
        .to_owned()
}

fn operators() -> String {
    let arguments = "concat_ws(', ', CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END, \
         CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END)";
    let name = own(&format!("o.oprname || ' (' || {arguments} || ')'"));
    let own = own(&format!(
        "concat_ws(' ', 'function ' || {} || '(' || {arguments} || ')', \
         'commutator ' || {}, 'negator ' || {}, 'restrict ' || {}, 'join ' || {}, \
         CASE WHEN o.oprcanhash THEN 'hashes' END, CASE WHEN o.oprcanmerge THEN 'merges' END)",
        function("o.oprcode"),
        operator("o.oprcom"),
        operator("o.oprnegate"),
        function("o.oprrest"),
        function("o.oprjoin"),
    ));
    format!(
        "SELECT nsp, 'operator', NULL, {name}, {own}, NULL FROM s JOIN pg_catalog.pg_operator o ON o.oprnamespace = nsp \
         WHERE o.oprnamespace <> 'pg_catalog'::pg_catalog.regnamespace AND o.oprcode <> 0 AND NOT EXISTS (SELECT FROM member m \
           WHERE m.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND m.objid = o.oid)"
    )
}

fn text_search() -> String {
    let own = own(
        "(SELECT quote_ident(p.prsname) FROM pg_catalog.pg_ts_parser p WHERE p.oid = c.cfgparser) || coalesce(' ' || ( \
         SELECT string_agg(m.maptokentype || ' ' || m.mapdict::pg_catalog.regdictionary::text, ', ' ORDER BY m.maptokentype, m.mapseqno) \
         FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = c.oid), '')",
    );
    format!(
        "SELECT nsp, 'text search configuration', NULL, quote_ident(c.cfgname), {own}, NULL \
         FROM s JOIN pg_catalog.pg_ts_config c ON c.cfgnamespace = nsp WHERE NOT EXISTS (SELECT FROM member m \
           WHERE m.classid = 'pg_catalog.pg_ts_config'::pg_catalog.regclass AND m.objid = c.oid)"
    )
}
