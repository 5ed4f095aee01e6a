//! What is granted to whom, and what belongs to whom.

use tokio_postgres::types::{Oid, Type};
use tokio_postgres::{Client, Row};

use super::PLACES;
use crate::reach::{NAMED_OBJECTS, Origin, Reach, ReachKind, Standing, Standings};
use crate::tenant::{SchemaName, quote_identifier};

/// How PUBLIC stands in an access list.
const PUBLIC: Oid = 0;

/// The roles in question, `$2` to `$4`: number, the tenant that it may reach, whether the application is meant.
const WHO: &str = "
    who AS (
        SELECT * FROM ROWS FROM (
            pg_catalog.unnest($2::pg_catalog.oid[]),
            pg_catalog.unnest($3::pg_catalog.name[]),
            pg_catalog.unnest($4::pg_catalog.bool[])
        ) AS w(role, mine, is_application)
    )";

/// Everything in tenants' schemas that has an owner or an access list. What a missing list stands for does not
/// matter: PUBLIC may execute functions and use types by default, once it can use the schema.
const OBJECTS: &str = "
    object AS (
        SELECT t.nspname, 'schema' AS kind, 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid AS class,
            t.oid, 0 AS sub, t.nspowner AS owner, t.nspacl AS acl
        FROM tenant t
        UNION ALL
        SELECT t.nspname, CASE WHEN c.relkind = 'S' THEN 'sequence' ELSE 'table' END,
            'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, 0, c.relowner, c.relacl
        FROM pg_catalog.pg_class c JOIN tenant t ON t.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
        UNION ALL
        SELECT t.nspname, 'column', 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, a.attnum, c.relowner, a.attacl
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
        JOIN tenant t ON t.oid = c.relnamespace
        WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
        UNION ALL
        SELECT t.nspname, CASE WHEN p.prokind = 'p' THEN 'procedure' ELSE 'function' END,
            'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, 0, p.proowner, p.proacl
        FROM pg_catalog.pg_proc p JOIN tenant t ON t.oid = p.pronamespace
        UNION ALL
        SELECT t.nspname, 'type', 'pg_catalog.pg_type'::pg_catalog.regclass, y.oid, 0, y.typowner, y.typacl
        FROM pg_catalog.pg_type y JOIN tenant t ON t.oid = y.typnamespace
        WHERE y.typtype IN ('b', 'd', 'e', 'r') AND y.typcategory <> 'A'
    )";

/// Grants and owners that are not the tenant's own, those of a schema, a kind and a role in one row.
const GRANTS: &str = "
    hit AS (
        SELECT o.nspname, o.kind, o.class, o.oid, o.sub, w.role, w.is_application,
            pg_catalog.string_agg(DISTINCT a.privilege_type, ', ') AS privileges
        FROM object o
        CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) a
        JOIN who w ON w.role = a.grantee
        WHERE o.acl IS NOT NULL AND a.grantee <> o.owner AND w.mine IS DISTINCT FROM o.nspname
            AND (w.role <> 0 OR o.kind NOT IN ('function', 'procedure', 'type'))
            AND (NOT w.is_application OR (o.kind = 'schema' AND a.privilege_type = 'CREATE'))
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        UNION ALL
        SELECT o.nspname, o.kind, o.class, o.oid, o.sub, w.role, w.is_application, NULL
        FROM object o JOIN who w ON w.role = o.owner
        WHERE o.kind <> 'column' AND w.mine IS DISTINCT FROM o.nspname
    ),
    counted AS (
        SELECT nspname, kind, class, role, is_application, privileges, pg_catalog.count(*) AS objects,
            (pg_catalog.array_agg(oid ORDER BY oid, sub))[1:$5] AS oids,
            (pg_catalog.array_agg(sub ORDER BY oid, sub))[1:$5] AS subs
        FROM hit GROUP BY 1, 2, 3, 4, 5, 6
    )
    SELECT c.nspname::pg_catalog.text, c.kind, c.role, c.is_application, c.privileges, c.objects, ARRAY(
        SELECT i.identity
        FROM ROWS FROM (pg_catalog.unnest(c.oids), pg_catalog.unnest(c.subs)) AS o(oid, sub)
        CROSS JOIN LATERAL pg_catalog.pg_identify_object(c.class, o.oid, o.sub) i
    ) FROM counted c ORDER BY c.nspname, c.kind, c.role, c.privileges";

/// The roles in question, as the server is asked for them.
struct Who<'a> {
    roles: Vec<Oid>,
    mine: Vec<Option<&'a str>>,
    is_application: Vec<bool>,
}

impl<'a> Who<'a> {
    fn of(standings: &'a Standings) -> Self {
        let mut who = Self {
            roles: Vec::new(),
            mine: Vec::new(),
            is_application: Vec::new(),
        };
        for (oid, standing) in &standings.roles {
            if !standing.tenants.is_empty() {
                who.push(*oid, standing.mine.as_ref(), false);
            }
            if standing.application.is_some() {
                who.push(*oid, None, true);
            }
        }
        // where no tenant has a role of its own, what everybody may do is what the application may
        if !who.roles.is_empty() {
            who.push(PUBLIC, None, !standings.has_tenants);
        }
        who
    }

    fn push(&mut self, role: Oid, mine: Option<&'a SchemaName>, is_application: bool) {
        self.roles.push(role);
        self.mine.push(mine.map(SchemaName::as_str));
        self.is_application.push(is_application);
    }
}

/// Grants to roles of others, and objects that belong to them.
pub(super) async fn grants(
    client: &Client,
    tenants: &[&str],
    standings: &Standings,
) -> Result<Vec<Reach>, tokio_postgres::Error> {
    let who = Who::of(standings);
    if who.roles.is_empty() {
        return Ok(Vec::new());
    }
    let named = i32::try_from(NAMED_OBJECTS).unwrap_or(i32::MAX);
    let rows = client
        .query_typed(
            &format!("WITH {PLACES},{WHO},{OBJECTS},{GRANTS}"),
            &[
                (&tenants, Type::NAME_ARRAY),
                (&who.roles, Type::OID_ARRAY),
                (&who.mine, Type::NAME_ARRAY),
                (&who.is_application, Type::BOOL_ARRAY),
                (&named, Type::INT4),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| grant(row, standings))
        .collect())
}

fn grant(row: &Row, standings: &Standings) -> Option<Reach> {
    let schema = SchemaName::parse(row.get(0)).ok()?;
    let kind: &str = row.get(1);
    let role: Oid = row.get(2);
    let privileges: Option<&str> = row.get(4);
    let names: Vec<String> = row.get(6);
    let standing = standings.roles.get(&role);
    let from = origin(role, standing, row.get(3), &schema);
    let count = u64::try_from(row.get::<_, i64>(5)).unwrap_or_default();
    let grantee = standing.map_or("PUBLIC", |standing| &standing.name);
    let (reach_kind, how) = match privileges {
        Some(privileges) => (
            ReachKind::Grant,
            format!(
                "{privileges} on {} granted to {grantee}",
                of_kind(kind, count)
            ),
        ),
        None => (
            ReachKind::Ownership,
            format!("{} owned by {grantee}", of_kind(kind, count)),
        ),
    };
    Some(Reach {
        from,
        kind: reach_kind,
        remedy: privileges.and_then(|privileges| {
            let target = target(kind, count, &names, &schema)?;
            let grantee = standing.map_or("PUBLIC".to_owned(), |s| quote_identifier(&s.name));
            Some(format!("REVOKE {privileges} ON {target} FROM {grantee}"))
        }),
        to: Some(schema),
        objects: names.iter().map(|name| format!("{kind} {name}")).collect(),
        count,
        how,
    })
}

/// `a table`, `20 tables`.
fn of_kind(kind: &str, count: u64) -> String {
    if count == 1 {
        format!("the {kind}")
    } else {
        format!("{count} {kind}s")
    }
}

fn origin(
    role: Oid,
    standing: Option<&Standing>,
    is_application: bool,
    reached: &SchemaName,
) -> Origin {
    match standing {
        Some(Standing {
            application: Some(application),
            ..
        }) if is_application => Origin::Application(application.clone()),
        Some(standing) if role != PUBLIC => {
            Origin::of_role(&standing.name, &standing.tenants, Some(reached))
        }
        _ => Origin::Everyone,
    }
}

/// What a REVOKE is on. Names come quoted from the server.
fn target(kind: &str, count: u64, names: &[String], schema: &SchemaName) -> Option<String> {
    match (kind, names) {
        // its columns would have to be named in the list of privileges
        ("column", _) => None,
        (_, [name]) => Some(format!("{} {name}", kind.to_uppercase())),
        ("type", _) => None,
        _ if count > 1 => Some(format!(
            "ALL {}S IN SCHEMA {}",
            kind.to_uppercase(),
            schema.quoted()
        )),
        _ => None,
    }
}

/// Grants to come, by the schema that they are for, or in any schema by the role that creates. Those of roles that
/// create nothing in tenants are nobody's business here.
const DEFAULT_PRIVILEGES: &str = "
    SELECT n.nspname::pg_catalog.text, d.defaclrole, r.rolname::pg_catalog.text, d.defaclobjtype::pg_catalog.text,
        a.grantee, pg_catalog.string_agg(DISTINCT a.privilege_type, ', ')
    FROM pg_catalog.pg_default_acl d
    JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole
    LEFT JOIN tenant n ON n.oid = d.defaclnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a
    JOIN who w ON w.role = a.grantee AND NOT w.is_application
    WHERE a.grantee <> d.defaclrole
        AND (a.grantee <> 0 OR d.defaclobjtype NOT IN ('f', 'T'))
        AND w.mine IS DISTINCT FROM n.nspname
        AND (n.oid IS NOT NULL OR (d.defaclnamespace = 0 AND (
            r.rolname = current_user
            OR d.defaclrole IN (SELECT t.nspowner FROM tenant t))))
    GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 3, 4, 5";

/// Default privileges for roles of others.
pub(super) async fn default_privileges(
    client: &Client,
    tenants: &[&str],
    standings: &Standings,
) -> Result<Vec<Reach>, tokio_postgres::Error> {
    let who = Who::of(standings);
    if who.roles.is_empty() {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(
            &format!("WITH {PLACES},{WHO}{DEFAULT_PRIVILEGES}"),
            &[
                (&tenants, Type::NAME_ARRAY),
                (&who.roles, Type::OID_ARRAY),
                (&who.mine, Type::NAME_ARRAY),
                (&who.is_application, Type::BOOL_ARRAY),
            ],
        )
        .await?;
    Ok(rows
        .iter()
        .filter_map(|row| default_privilege(row, standings))
        .collect())
}

fn default_privilege(row: &Row, standings: &Standings) -> Option<Reach> {
    let schema: Option<&str> = row.get(0);
    let schema = schema.and_then(|name| SchemaName::parse(name).ok());
    let (creator, creator_name): (Oid, &str) = (row.get(1), row.get(2));
    let objects = match row.get(3) {
        "r" => "TABLES",
        "S" => "SEQUENCES",
        "f" => "FUNCTIONS",
        "T" => "TYPES",
        "n" => "SCHEMAS",
        _ => "LARGE OBJECTS",
    };
    let (grantee, privileges): (Oid, &str) = (row.get(4), row.get(5));
    let standing = standings.roles.get(&grantee);
    // without a schema, what a tenant's role creates is that tenant's, and what another creates may be anybody's
    let of_creator = || standings.roles.get(&creator)?.mine.clone();
    let to = schema.clone().or_else(of_creator);
    if to.is_some() && standing.and_then(|standing| standing.mine.as_ref()) == to.as_ref() {
        return None;
    }
    let from = match standing {
        Some(standing) => Origin::of_role(&standing.name, &standing.tenants, to.as_ref()),
        None => Origin::Everyone,
    };
    let name = standing.map_or("PUBLIC", |standing| &standing.name);
    let quoted = standing.map_or("PUBLIC".to_owned(), |s| quote_identifier(&s.name));
    let within = schema.as_ref().map_or(String::new(), |schema| {
        format!(" IN SCHEMA {}", schema.quoted())
    });
    Some(Reach {
        from,
        to,
        kind: ReachKind::DefaultPrivilege,
        objects: vec![format!("default privileges of role {creator_name}")],
        count: 1,
        how: format!(
            "grant {privileges} on {} to come to {name}",
            objects.to_lowercase()
        ),
        remedy: Some(format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {}{within} REVOKE {privileges} ON {objects} FROM {quoted}",
            quote_identifier(creator_name)
        )),
    })
}
