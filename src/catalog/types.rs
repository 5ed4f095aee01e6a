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
        operator_classes(),
        text_search(),
        dictionaries(),
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

/// Of a family in another schema only what is about the type of the class: others may add to it.
fn operator_classes() -> String {
    let name = own(
        "quote_ident(o.opcname) || ' using ' || (SELECT quote_ident(a.amname) FROM pg_catalog.pg_am a WHERE a.oid = o.opcmethod)",
    );
    let own = own(&format!(
        "concat_ws(E'\\n', concat_ws(' ', CASE WHEN o.opcdefault THEN 'default' END, 'for type ' || format_type(o.opcintype, NULL), 'family ' || {family}), \
           (SELECT string_agg('operator ' || m.amopstrategy || ' ' || {operator} || ' (' || format_type(m.amoplefttype, NULL) || ', ' \
               || format_type(m.amoprighttype, NULL) || ')' || coalesce(' for order by ' || {sort_family}, ''), E'\\n' \
               ORDER BY m.amopstrategy, format_type(m.amoplefttype, NULL) COLLATE \"C\", format_type(m.amoprighttype, NULL) COLLATE \"C\") \
             FROM pg_catalog.pg_amop m WHERE m.amopfamily = o.opcfamily AND (f.opfnamespace = nsp OR m.amoplefttype = o.opcintype)), \
           (SELECT string_agg('function ' || m.amprocnum || ' (' || format_type(m.amproclefttype, NULL) || ', ' \
               || format_type(m.amprocrighttype, NULL) || ') ' || {function}, E'\\n' \
               ORDER BY m.amprocnum, format_type(m.amproclefttype, NULL) COLLATE \"C\", format_type(m.amprocrighttype, NULL) COLLATE \"C\") \
             FROM pg_catalog.pg_amproc m WHERE m.amprocfamily = o.opcfamily AND (f.opfnamespace = nsp OR m.amproclefttype = o.opcintype)), \
           CASE WHEN o.opckeytype <> 0 THEN 'storage ' || format_type(o.opckeytype, NULL) END)",
        family = named("pg_opfamily", "opf", "o.opcfamily"),
        operator = operator("m.amopopr"),
        sort_family = named("pg_opfamily", "opf", "m.amopsortfamily"),
        function = function("m.amproc"),
    ));
    format!(
        "SELECT nsp, 'operator class', NULL, {name}, {own}, NULL FROM s JOIN pg_catalog.pg_opclass o ON o.opcnamespace = nsp \
           JOIN pg_catalog.pg_opfamily f ON f.oid = o.opcfamily \
         WHERE o.opcnamespace <> 'pg_catalog'::pg_catalog.regnamespace AND NOT EXISTS (SELECT FROM member m \
           WHERE m.classid = 'pg_catalog.pg_opclass'::pg_catalog.regclass AND m.objid = o.oid)"
    )
}

fn dictionaries() -> String {
    let own = own(&format!(
        "concat_ws(', ', 'template = ' || {}, d.dictinitoption)",
        named("pg_ts_template", "tmpl", "d.dicttemplate")
    ));
    format!(
        "SELECT nsp, 'text search dictionary', NULL, quote_ident(d.dictname), {own}, NULL \
         FROM s JOIN pg_catalog.pg_ts_dict d ON d.dictnamespace = nsp WHERE NOT EXISTS (SELECT FROM member m \
           WHERE m.classid = 'pg_catalog.pg_ts_dict'::pg_catalog.regclass AND m.objid = d.oid)"
    )
}

/// A line a kind of token: there are many of them, and it has to be seen which one differs.
fn text_search() -> String {
    let own = own(
        "'parser ' || (SELECT quote_ident(p.prsname) FROM pg_catalog.pg_ts_parser p WHERE p.oid = c.cfgparser) || coalesce(( \
         SELECT string_agg(E'\\n' || 'for ' || coalesce((SELECT k.alias FROM pg_catalog.ts_token_type(c.cfgparser) k WHERE k.tokid = t.token), t.token::text) \
             || ' with ' || t.dictionaries, '' ORDER BY t.token) \
         FROM (SELECT m.maptokentype, string_agg(m.mapdict::pg_catalog.regdictionary::text, ', ' ORDER BY m.mapseqno) \
           FROM pg_catalog.pg_ts_config_map m WHERE m.mapcfg = c.oid GROUP BY 1) AS t(token, dictionaries)), '')",
    );
    format!(
        "SELECT nsp, 'text search configuration', NULL, quote_ident(c.cfgname), {own}, NULL \
         FROM s JOIN pg_catalog.pg_ts_config c ON c.cfgnamespace = nsp WHERE NOT EXISTS (SELECT FROM member m \
           WHERE m.classid = 'pg_catalog.pg_ts_config'::pg_catalog.regclass AND m.objid = c.oid)"
    )
}
