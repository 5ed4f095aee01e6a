//! Objects that PostgreSQL knows to depend on another tenant's: one pass over `pg_depend`.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::PLACES;
use crate::reach::{Origin, Reach, ReachKind};
use crate::tenant::SchemaName;

/// Every object that can depend, with its schema, its kind, and the object to show for it: a view for its rule. What
/// PostgreSQL makes by itself for a foreign key is left out, for the key is there.
const THINGS: &str = "
    thing AS (
        SELECT 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid AS class, c.oid, c.relnamespace AS schema,
            CASE WHEN c.relkind IN ('i', 'I') THEN 'index' WHEN c.relkind IN ('r', 'p', 'f') THEN 'inheritance' ELSE 'type' END AS kind,
            0::pg_catalog.oid AS shown
        FROM pg_catalog.pg_class c WHERE c.relkind <> 't'
        UNION ALL
        SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, c.relnamespace, 'default', 0
        FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_class c ON c.oid = d.adrelid
        UNION ALL
        SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, k.connamespace,
            CASE k.contype WHEN 'f' THEN 'foreign_key' ELSE 'constraint' END, 0
        FROM pg_catalog.pg_constraint k
        UNION ALL
        SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, g.oid, c.relnamespace, 'trigger', 0
        FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid WHERE NOT g.tgisinternal
        UNION ALL
        SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, y.oid, c.relnamespace, 'policy', 0
        FROM pg_catalog.pg_policy y JOIN pg_catalog.pg_class c ON c.oid = y.polrelid
        UNION ALL
        SELECT 'pg_catalog.pg_rewrite'::pg_catalog.regclass, w.oid, c.relnamespace,
            CASE WHEN c.relkind IN ('v', 'm') AND w.rulename = '_RETURN' THEN 'view' ELSE 'rule' END,
            CASE WHEN c.relkind IN ('v', 'm') AND w.rulename = '_RETURN' THEN c.oid ELSE 0 END
        FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_class c ON c.oid = w.ev_class
        UNION ALL
        SELECT 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.pronamespace, 'function', 0 FROM pg_catalog.pg_proc p
        UNION ALL
        SELECT 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid, y.typnamespace, 'type', 0 FROM pg_catalog.pg_type y
        UNION ALL
        SELECT 'pg_catalog.pg_operator'::pg_catalog.regclass, o.oid, o.oprnamespace, 'function', 0 FROM pg_catalog.pg_operator o
        UNION ALL
        SELECT 'pg_catalog.pg_opclass'::pg_catalog.regclass, o.oid, o.opcnamespace, 'type', 0 FROM pg_catalog.pg_opclass o
        UNION ALL
        SELECT 'pg_catalog.pg_collation'::pg_catalog.regclass, l.oid, l.collnamespace, 'type', 0 FROM pg_catalog.pg_collation l
        UNION ALL
        SELECT 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, e.oid, 0, 'event_trigger', 0 FROM pg_catalog.pg_event_trigger e
    )";

/// What depends on a tenant's object and lies elsewhere. A foreign key also depends on the index behind it.
const CROSSINGS: &str = "
    reachable AS (
        SELECT h.class, h.oid, h.kind, h.schema, t.nspname
        FROM thing h JOIN tenant t ON t.oid = h.schema
        WHERE h.kind IN ('index', 'inheritance', 'type', 'function')
    ),
    crossing AS (
        SELECT d.classid, d.objid, pg_catalog.min(d.objsubid) AS objsubid, d.refclassid, d.refobjid,
            h.schema, h.kind, h.shown, r.nspname AS reached
        FROM pg_catalog.pg_depend d
        JOIN thing h ON h.class = d.classid AND h.oid = d.objid
        JOIN reachable r ON r.class = d.refclassid AND r.oid = d.refobjid
        WHERE d.deptype IN ('n', 'a') AND h.schema <> r.schema
            AND NOT (h.kind = 'foreign_key' AND r.kind = 'index')
        GROUP BY 1, 2, 4, 5, 6, 7, 8, 9
    )
    SELECT c.reached::pg_catalog.text, c.kind, p.nspname::pg_catalog.text, COALESCE(p.is_tenant, false),
        h.type, h.identity, r.type, r.identity,
        c.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass,
        c.kind = 'default' AND EXISTS (
            SELECT FROM pg_catalog.pg_attrdef d
            JOIN pg_catalog.pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
            WHERE d.oid = c.objid AND a.attgenerated <> '')
    FROM crossing c
    LEFT JOIN place p ON p.oid = c.schema
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(
        CASE WHEN c.shown <> 0 THEN 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid ELSE c.classid END,
        CASE WHEN c.shown <> 0 THEN c.shown ELSE c.objid END, c.objsubid) h
    CROSS JOIN LATERAL pg_catalog.pg_identify_object(c.refclassid, c.refobjid, 0) r
    WHERE c.schema = 0 OR p.oid IS NOT NULL
    ORDER BY p.nspname, h.identity, c.reached, r.identity";

/// Objects that depend on those of other tenants.
pub(super) async fn reaches(
    client: &Client,
    tenants: &[&str],
) -> Result<Vec<Reach>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            &format!("WITH {PLACES},{THINGS},{CROSSINGS}"),
            &[(&tenants, Type::NAME_ARRAY)],
        )
        .await?;
    let mut found: Vec<Reach> = Vec::new();
    for row in &rows {
        let Some((reach, reached)) = reach(row) else {
            continue;
        };
        match found.last_mut() {
            // one view that reads five tables of one tenant is one finding
            Some(last)
                if last.objects == reach.objects
                    && last.to == reach.to
                    && last.kind == reach.kind =>
            {
                last.how = format!("{}, {reached}", last.how);
            }
            _ => found.push(reach),
        }
    }
    Ok(found)
}

/// One row, and what it reaches.
fn reach(row: &Row) -> Option<(Reach, String)> {
    let to = SchemaName::parse(row.get(0)).ok()?;
    let is_relation: bool = row.get(8);
    let kind = match ReachKind::of_name(row.get(1))? {
        // before PostgreSQL 13 a generated column depends by itself on what it calls
        ReachKind::Inheritance if row.get::<_, Option<&str>>(6) == Some("function") => {
            ReachKind::Default
        }
        // a table is made of another table only by inheritance
        ReachKind::Inheritance if !is_relation => ReachKind::Type,
        kind => kind,
    };
    let schema: Option<&str> = row.get(2);
    let from = match schema {
        None => Origin::Database,
        Some(name) if row.get(3) => Origin::Tenant(SchemaName::parse(name).ok()?, None),
        Some(name) => Origin::Shared(name.to_owned()),
    };
    let text = |column: usize| row.get::<_, Option<&str>>(column).unwrap_or("(gone)");
    let object = format!("{} {}", text(4), text(5));
    let reached = format!("{} {}", text(6), text(7));
    let reach = Reach {
        from,
        to: Some(to),
        kind,
        // a generated column has no default to drop
        remedy: remedy(kind, text(4), text(5)).filter(|_| !row.get::<_, bool>(9)),
        objects: vec![object],
        count: 1,
        how: format!("{} {reached}", verb(kind)),
    };
    Some((reach, reached))
}

fn verb(kind: ReachKind) -> &'static str {
    match kind {
        ReachKind::View | ReachKind::Policy => "reads",
        ReachKind::ForeignKey => "references",
        ReachKind::Trigger | ReachKind::EventTrigger => "calls",
        ReachKind::Inheritance => "inherits from",
        _ => "uses",
    }
}

/// What is dropped without a thought for data: a reach by a column or a table takes more.
fn remedy(kind: ReachKind, object_type: &str, identity: &str) -> Option<String> {
    // a name in quotes may hold whatever would be looked for here
    if identity.contains('"') && kind != ReachKind::View {
        return None;
    }
    let on = |what: &str| {
        let (name, table) = identity.rsplit_once(" on ")?;
        Some(match what {
            "CONSTRAINT" => format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
            what => format!("DROP {what} {name} ON {table}"),
        })
    };
    match kind {
        ReachKind::View => Some(format!("DROP {} {identity}", object_type.to_uppercase())),
        ReachKind::ForeignKey | ReachKind::Constraint if object_type == "table constraint" => {
            on("CONSTRAINT")
        }
        ReachKind::Rule => on("RULE"),
        ReachKind::Trigger => on("TRIGGER"),
        ReachKind::Policy => on("POLICY"),
        ReachKind::Index => Some(format!("DROP INDEX {identity}")),
        ReachKind::EventTrigger => Some(format!("DROP EVENT TRIGGER {identity}")),
        ReachKind::Default => {
            let column = identity.strip_prefix("for ")?;
            let (table, column) = column.rsplit_once('.')?;
            Some(format!("ALTER TABLE {table} ALTER {column} DROP DEFAULT"))
        }
        _ => None,
    }
}
