//! Functions whose body is a text: PostgreSQL does not know what they use before they run.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::PLACES;
use crate::reach::{Origin, Reach, ReachKind};
use crate::sql::{Mention, Sought, mention};
use crate::tenant::SchemaName;

/// One name, as a regular expression that holds in every encoding: what is no blank, no control character and no
/// punctuation of ASCII. Digits in front do no harm, for what is found has to be a tenant's name.
const NAME: &str = r##"[^]\s\x01-\x1f!"#%&'()*+,./:;<=>?@[\\^`{|}~-]+"##;

/// The name of a schema and what comes behind its dot, with the word in front where only a schema can follow it.
fn qualified() -> String {
    format!(
        r#"(?:\m(from|join|into|update|table|only|call|references|truncate|using|view)\s+)?(?:({NAME})|"((?:[^"]|"")+)")\s*\.\s*(?:({NAME})|"((?:[^"]|"")+)")?"#
    )
}

/// Functions that name another tenant, with their texts. Each text is read once, for all tenants have the same, and
/// a name counts where that schema has such an object, or where it can be nothing but a schema's: `t.x` mostly means
/// a column. An extension's functions are its own.
const TEXTS: &str = "
    written AS (
        SELECT p.oid, p.pronamespace, p.prosrc, l.lanname IN ('sql', 'plpgsql') AS is_sql
        FROM pg_catalog.pg_proc p
        JOIN place s ON s.oid = p.pronamespace
        JOIN pg_catalog.pg_language l ON l.oid = p.prolang
        WHERE l.lanname NOT IN ('c', 'internal') AND p.prosrc <> '' AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e')
    ),
    body AS (SELECT DISTINCT w.prosrc FROM written w),
    named AS MATERIALIZED (
        SELECT DISTINCT b.prosrc, t.oid, t.nspname, x.object, x.is_schema
        FROM body b
        CROSS JOIN LATERAL (
            SELECT
                COALESCE(pg_catalog.translate(m[2], $3, $4), pg_catalog.replace(m[3], '\"\"', '\"')) AS schema,
                COALESCE(pg_catalog.translate(m[4], $3, $4), pg_catalog.replace(m[5], '\"\"', '\"')) AS object,
                m[1] IS NOT NULL AS is_schema
            FROM pg_catalog.regexp_matches(b.prosrc, $2, 'gi') AS m
        ) x
        JOIN tenant t ON t.nspname::pg_catalog.text COLLATE \"C\" = x.schema COLLATE \"C\"
    ),
    real AS (
        SELECT n.prosrc, n.oid, n.nspname, n.object, EXISTS (
                SELECT FROM pg_catalog.pg_class c WHERE c.relname = n.object::pg_catalog.name AND c.relnamespace = n.oid
            ) OR EXISTS (
                SELECT FROM pg_catalog.pg_proc p WHERE p.proname = n.object::pg_catalog.name AND p.pronamespace = n.oid
            ) OR EXISTS (
                SELECT FROM pg_catalog.pg_type y WHERE y.typname = n.object::pg_catalog.name AND y.typnamespace = n.oid
            ) AS is_there, n.is_schema
        FROM named n
    )
    SELECT r.nspname::pg_catalog.text, p.nspname::pg_catalog.text, p.is_tenant, i.type, i.identity,
        w.prosrc, w.is_sql, CASE WHEN r.is_there THEN r.object END
    FROM real r
    JOIN written w ON w.prosrc = r.prosrc
    JOIN place p ON p.oid = w.pronamespace
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, w.oid, 0) i
    WHERE w.pronamespace <> r.oid AND (r.is_there OR r.is_schema)
    ORDER BY p.nspname, i.identity, r.nspname, 8";

/// How PostgreSQL folds names: ASCII alone.
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";

/// Functions that name another tenant in their text.
pub(super) async fn texts(
    client: &Client,
    tenants: &[&str],
) -> Result<Vec<Reach>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            &format!("WITH {PLACES},{TEXTS}"),
            &[
                (&tenants, Type::NAME_ARRAY),
                (&qualified(), Type::TEXT),
                (&UPPER, Type::TEXT),
                (&LOWER, Type::TEXT),
            ],
        )
        .await?;
    // a function that names five tables of one tenant is one finding
    let mut found: BTreeMap<(String, String), Reach> = BTreeMap::new();
    for row in &rows {
        let Some(reach) = text(row) else { continue };
        let to = reach.to.as_ref().map(ToString::to_string);
        let key = (reach.objects.concat(), to.unwrap_or_default());
        found.entry(key).or_insert(reach);
    }
    Ok(found.into_values().collect())
}

fn text(row: &Row) -> Option<Reach> {
    let schema: &str = row.get(0);
    let to = SchemaName::parse(schema).ok()?;
    let (body, is_sql): (&str, bool) = (row.get(5), row.get(6));
    let object: Option<&str> = row.get(7);
    let place = if is_sql {
        mention(body, Sought { schema, object })?
    } else {
        // another language's strings and comments are its own
        Mention::Text
    };
    let named = match object {
        Some(object) => format!("{schema}.{object}"),
        None => schema.to_owned(),
    };
    let how = match place {
        Mention::Code => format!("names {named}"),
        Mention::Text => format!("names {named} in a text"),
    };
    function(row, to, ReachKind::FunctionText, how, None)
}

/// A finding about the function of a row.
fn function(
    row: &Row,
    to: SchemaName,
    kind: ReachKind,
    how: String,
    remedy: Option<String>,
) -> Option<Reach> {
    let schema: &str = row.get(1);
    let from = if row.get(2) {
        Origin::Tenant(SchemaName::parse(schema).ok()?, None)
    } else {
        Origin::Shared(schema.to_owned())
    };
    Some(Reach {
        from,
        to: Some(to),
        kind,
        objects: vec![name(row)],
        count: 1,
        how,
        remedy,
    })
}

fn name(row: &Row) -> String {
    let text = |column: usize| row.get::<_, Option<&str>>(column).unwrap_or("(gone)");
    format!("{} {}", text(3), text(4))
}

/// Functions that carry a `search_path` with another tenant in it.
const SEARCH_PATHS: &str = "
    SELECT t.nspname::pg_catalog.text, s.nspname::pg_catalog.text, s.is_tenant, i.type, i.identity
    FROM pg_catalog.pg_proc p
    JOIN place s ON s.oid = p.pronamespace
    CROSS JOIN LATERAL pg_catalog.unnest(p.proconfig) AS setting(text)
    CROSS JOIN LATERAL pg_catalog.regexp_matches(
        pg_catalog.substr(setting.text, 13), '\"((?:[^\"]|\"\")*)\"|([^\",[:space:]]+)', 'g') AS m
    JOIN tenant t ON t.nspname::pg_catalog.text COLLATE \"C\" =
        COALESCE(pg_catalog.replace(m[1], '\"\"', '\"'), pg_catalog.translate(m[2], $2, $3)) COLLATE \"C\"
    CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0) i
    WHERE p.proconfig IS NOT NULL AND setting.text LIKE 'search\\_path=%' AND p.pronamespace <> t.oid
    ORDER BY s.nspname, i.identity, t.nspname";

/// Functions that look for names in another tenant.
pub(super) async fn search_paths(
    client: &Client,
    tenants: &[&str],
) -> Result<Vec<Reach>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            &format!("WITH {PLACES}{SEARCH_PATHS}"),
            &[
                (&tenants, Type::NAME_ARRAY),
                (&UPPER, Type::TEXT),
                (&LOWER, Type::TEXT),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let to = SchemaName::parse(row.get(0)).ok()?;
            let how = format!("has {to} in its search_path");
            let remedy = format!("ALTER {} RESET search_path", upper_first_word(&name(row)));
            function(row, to, ReachKind::SearchPath, how, Some(remedy))
        })
        .collect())
}

/// `function acme.f()` as ALTER takes it.
fn upper_first_word(object: &str) -> String {
    match object.split_once(' ') {
        Some((kind, rest)) => format!("{} {rest}", kind.to_uppercase()),
        None => object.to_owned(),
    }
}
