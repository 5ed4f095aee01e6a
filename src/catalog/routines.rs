//! Items of functions, procedures and aggregates.

use super::items::{escaped, function, operator, own, without_own_name};
use crate::shape::OWN_SCHEMA;

pub(super) fn branches(major: u32) -> Vec<String> {
    vec![functions(major), aggregates()]
}

/// Settings whose value is a list of names, which PostgreSQL keeps as they are written.
const LISTS: &str = "'search_path', 'temp_tablespaces', 'session_preload_libraries', 'shared_preload_libraries', 'local_preload_libraries'";

/// What a function is called: with the types of its arguments, whatever their names are.
pub(super) fn signature(alias: &str) -> String {
    own(&format!(
        "quote_ident({alias}.proname) || '(' || oidvectortypes({alias}.proargtypes) || ')'"
    ))
}

/// The settings of a function; `list` is how the value of a list is written.
fn config(list: &str) -> String {
    format!(
        "(SELECT string_agg('set ' || c.name || ' to ' || CASE WHEN c.name IN ({LISTS}) THEN {list} ELSE quote_literal(c.value) END, \
            ' ' ORDER BY c.name COLLATE \"C\") \
          FROM (SELECT split_part(o, '=', 1), substr(o, strpos(o, '=') + 1) FROM unnest(p.proconfig) AS o) AS c(name, value))"
    )
}

/// Everything behind the name, as CREATE FUNCTION takes it.
fn definition(major: u32, body: &str, config: &str) -> String {
    let of_sql = if major >= 14 {
        "pg_get_function_sqlbody(p.oid)"
    } else {
        "NULL"
    };
    own(&format!(
        "concat_ws(' ', '(' || pg_get_function_arguments(p.oid) || ')', 'returns ' || pg_get_function_result(p.oid), \
           'language ' || (SELECT quote_ident(l.lanname) FROM pg_catalog.pg_language l WHERE l.oid = p.prolang), \
           CASE p.prokind WHEN 'w' THEN 'window' END, \
           CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' END, CASE WHEN p.proleakproof THEN 'leakproof' END, \
           CASE WHEN p.proisstrict THEN 'strict' END, CASE WHEN p.prosecdef THEN 'security definer' END, \
           CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' END, \
           CASE WHEN p.procost <> (CASE WHEN p.probin IS NULL THEN 100 ELSE 1 END) THEN 'cost ' || p.procost END, \
           CASE WHEN p.proretset AND p.prorows <> 1000 THEN 'rows ' || p.prorows END, {config}, \
           coalesce({of_sql}, 'as ' || quote_literal(p.probin) || ', ' || quote_literal(p.prosrc), \
             'as ' || CASE WHEN strpos(p.prosrc, '$function$') = 0 THEN '$function$' || {body} || '$function$' ELSE quote_literal({body}) END))"
    ))
}

fn functions(major: u32) -> String {
    let own_name = escaped("quote_ident(schema)");
    let cleaned = config(&format!(
        "regexp_replace(c.value, '(^|,\\s*)' || {own_name} || '(\\s*,|$)', '\\1{OWN_SCHEMA}\\2', 'g')"
    ));
    let (body, raw_config) = (without_own_name("p.prosrc"), config("c.value"));
    let name = signature("p");
    let without_name = definition(major, "x.body", "x.config");
    let to_the_letter = definition(major, "p.prosrc", "x.raw_config");
    format!(
        "SELECT nsp, CASE p.prokind WHEN 'p' THEN 'procedure' ELSE 'function' END, NULL, {name}, {without_name}, \
           CASE WHEN x.body <> p.prosrc OR x.config <> x.raw_config THEN {to_the_letter} END \
         FROM fun JOIN pg_catalog.pg_proc p ON p.oid = fun.oid AND p.prokind <> 'a' \
         CROSS JOIN LATERAL (SELECT {body} AS body, {cleaned} AS config, {raw_config} AS raw_config) x"
    )
}

/// The types and the place of an aggregate tell which of several functions of one name it means.
fn aggregates() -> String {
    let name = signature("p");
    let mut parts = vec![
        "'(' || pg_get_function_arguments(p.oid) || ') returns ' || pg_get_function_result(p.oid)"
            .to_owned(),
        "CASE g.aggkind WHEN 'h' THEN 'hypothetical' END".to_owned(),
    ];
    for (word, column) in [
        ("sfunc", "aggtransfn"),
        ("finalfunc", "aggfinalfn"),
        ("combinefunc", "aggcombinefn"),
        ("serialfunc", "aggserialfn"),
        ("deserialfunc", "aggdeserialfn"),
        ("msfunc", "aggmtransfn"),
        ("minvfunc", "aggminvtransfn"),
        ("mfinalfunc", "aggmfinalfn"),
    ] {
        parts.push(format!(
            "'{word} = ' || {}",
            function(&format!("g.{column}"))
        ));
    }
    parts.extend([
        "'stype = ' || format_type(g.aggtranstype, NULL)".to_owned(),
        "'sspace = ' || nullif(g.aggtransspace, 0)".to_owned(),
        "CASE WHEN g.aggfinalextra THEN 'finalfunc_extra' END".to_owned(),
        "CASE g.aggfinalmodify WHEN 's' THEN 'finalfunc_modify = shareable' WHEN 'w' THEN 'finalfunc_modify = read_write' END".to_owned(),
        "'initcond = ' || quote_literal(g.agginitval)".to_owned(),
        "CASE WHEN g.aggmtranstype <> 0 THEN 'mstype = ' || format_type(g.aggmtranstype, NULL) END".to_owned(),
        "'msspace = ' || nullif(g.aggmtransspace, 0)".to_owned(),
        "CASE WHEN g.aggmfinalextra THEN 'mfinalfunc_extra' END".to_owned(),
        "'minitcond = ' || quote_literal(g.aggminitval)".to_owned(),
        format!("'sortop = ' || {}", operator("g.aggsortop")),
        "CASE p.proparallel WHEN 's' THEN 'parallel = safe' WHEN 'r' THEN 'parallel = restricted' END".to_owned(),
    ]);
    let own = own(&format!("concat_ws(', ', {})", parts.join(", ")));
    format!(
        "SELECT nsp, 'aggregate', NULL, {name}, {own}, NULL \
         FROM fun JOIN pg_catalog.pg_proc p ON p.oid = fun.oid JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid"
    )
}
