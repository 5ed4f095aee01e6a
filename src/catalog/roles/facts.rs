//! What is there before tenants get roles of their own: whose the schemas and objects are, and who lives on that.

use std::collections::{BTreeSet, HashMap};

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::{Columns, IS_OF_EXTENSION, OBJECTS, WANTED, Wanted};
use crate::tenant::{RoleName, SchemaName};

/// From this version on a membership has options, and whoever makes a role is not yet a member.
pub(super) const MEMBERSHIP_HAS_OPTIONS: i32 = 160_000;

/// An owner so far.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Which role.
    pub name: String,
    /// Whether it loses nothing: it is a superuser, or becomes a member of the tenant's role.
    pub keeps_all: bool,
}

/// An object that is not the tenant's role's.
#[derive(Clone, Debug)]
pub struct Object {
    /// As `ALTER` calls it.
    pub kind: String,
    /// Its name in SQL, with the schema.
    pub identity: String,
    /// Whose it is.
    pub owner: Owner,
    /// What `GRANT ALL ON` calls it where its owner has rights that nobody else has.
    pub grant_kind: Option<&'static str>,
    /// Whether it gets its owner from the table that it belongs to.
    pub follows: bool,
    /// Whether an owner has more of it than grants give: rows that a policy hides, or the right to refresh it.
    pub needs_owner: bool,
    /// Whether it is a function that runs with the rights of its owner.
    pub is_definer: bool,
}

/// One privilege that somebody gets on all objects of a kind that a role makes.
#[derive(Clone, Debug)]
pub struct DefaultPrivilege {
    /// Whose objects.
    pub owner: String,
    /// In which schema; None: in all of them.
    pub schema: Option<String>,
    /// `r`, `S`, `f`, `T` or `n`.
    pub kind: char,
    /// Who gets it; None: everybody.
    pub grantee: Option<String>,
    /// What.
    pub privilege: String,
    /// Whether with the right to pass it on.
    pub is_grantable: bool,
}

/// What is there of one tenant.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Which tenant, and the role that is to own it.
    pub wanted: Wanted,
    /// Whether the role is there.
    pub has_role: bool,
    /// Whose the schema is, where there is one and it is not the role's.
    pub schema_owner: Option<Owner>,
    /// fleet's own roles that are to be members.
    pub members: BTreeSet<String>,
    /// The role that makes fleet's objects as long as tenants have none.
    pub fleet: String,
    /// Whether everybody may create objects in the schema.
    pub is_open: bool,
    /// Shared schemas that the role may not use.
    pub hidden: Vec<String>,
    /// What is not the role's.
    pub objects: Vec<Object>,
    /// What the role lacks in other schemas: the privilege, the schema's name, and the table in SQL.
    pub lacks: Vec<(&'static str, String, String)>,
    /// Default privileges of everybody in the schema, and of everybody in all.
    pub defaults: Vec<DefaultPrivilege>,
    /// The server's version.
    pub version: i32,
}

/// Reads what is there of these tenants. `tenants` are all schemas of the database that hold one.
///
/// # Errors
/// The server's.
pub async fn read_facts(
    client: &Client,
    wanted: &[Wanted],
    shared: &[String],
    tenants: &[SchemaName],
) -> Result<Vec<Facts>, tokio_postgres::Error> {
    super::begin_look(client).await?;
    let found = facts(client, wanted, shared, tenants).await;
    client.batch_execute("COMMIT").await?;
    found
}

/// The same within a transaction.
pub(super) async fn facts(
    client: &Client,
    wanted: &[Wanted],
    shared: &[String],
    tenants: &[SchemaName],
) -> Result<Vec<Facts>, tokio_postgres::Error> {
    let mut all = Vec::with_capacity(wanted.len());
    for batch in wanted.chunks(super::BATCH) {
        let columns = Columns::of(batch);
        let mut facts = beginnings(client, &columns, shared).await?;
        add_objects(client, &columns, &mut facts).await?;
        add_sequences(client, &columns, &mut facts).await?;
        add_lacks(client, &columns, tenants, &mut facts).await?;
        add_defaults(client, &columns, &mut facts).await?;
        all.extend(
            batch
                .iter()
                .filter_map(|one| facts.remove(one.schema.as_str())),
        );
    }
    Ok(all)
}

type BySchema = HashMap<String, Facts>;

/// In SQL: whether a role, a row `r` of `pg_roles`, loses nothing with what it owns.
const KEEPS_ALL: &str = "(r.rolsuper OR r.rolname IN (session_user, current_user))";

async fn query(
    client: &Client,
    text: &str,
    columns: &Columns<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    client
        .query_typed(
            text,
            &[
                (&columns.schemas, Type::NAME_ARRAY),
                (&columns.roles, Type::NAME_ARRAY),
            ],
        )
        .await
}

async fn beginnings(
    client: &Client,
    columns: &Columns<'_>,
    shared: &[String],
) -> Result<BySchema, tokio_postgres::Error> {
    let text = format!(
        "WITH {WANTED}, me AS (SELECT pg_catalog.current_setting('server_version_num')::int4 AS version, \
           (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user) AS session_super, \
           (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS current_super) \
         SELECT w.schema::text, w.role::text, w.role_oid IS NOT NULL, \
           CASE WHEN w.nspowner IS DISTINCT FROM w.role_oid THEN pg_catalog.pg_get_userbyid(w.nspowner)::text END, {KEEPS_ALL}, \
           coalesce(pg_catalog.pg_has_role(session_user, w.role_oid, \
             CASE WHEN m.version >= {MEMBERSHIP_HAS_OPTIONS} THEN 'SET' ELSE 'MEMBER' END), m.session_super), session_user::text, \
           coalesce(pg_catalog.pg_has_role(current_user, w.role_oid, 'USAGE'), m.current_super), current_user::text, \
           EXISTS (SELECT FROM pg_catalog.aclexplode(w.nspacl) x WHERE x.grantee = 0 AND x.privilege_type = 'CREATE'), \
           ARRAY(SELECT s.nspname::text FROM pg_catalog.pg_namespace s WHERE s.nspname = ANY($3) AND s.oid IS DISTINCT FROM w.namespace \
             AND NOT CASE WHEN w.role_oid IS NULL \
               THEN EXISTS (SELECT FROM pg_catalog.aclexplode(s.nspacl) x WHERE x.grantee = 0 AND x.privilege_type = 'USAGE') \
               ELSE pg_catalog.has_schema_privilege(w.role_oid, s.oid, 'USAGE') END ORDER BY 1), \
           m.version \
         FROM me m, wanted w LEFT JOIN pg_catalog.pg_roles r ON r.oid = w.nspowner"
    );
    let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    let rows = client
        .query_typed(
            &text,
            &[
                (&columns.schemas, Type::NAME_ARRAY),
                (&columns.roles, Type::NAME_ARRAY),
                (&shared, Type::NAME_ARRAY),
            ],
        )
        .await?;
    Ok(rows.iter().filter_map(beginning).collect())
}

fn beginning(row: &Row) -> Option<(String, Facts)> {
    let schema: String = row.get(0);
    let name: Option<String> = row.get(3);
    let mut members = BTreeSet::new();
    for (may, user) in [(5, 6), (7, 8)] {
        if row.get::<_, Option<bool>>(may) != Some(true) {
            members.insert(row.get(user));
        }
    }
    let facts = Facts {
        wanted: Wanted {
            schema: SchemaName::parse(&schema).ok()?,
            role: RoleName::parse(row.get(1)).ok()?,
        },
        has_role: row.get(2),
        schema_owner: name.map(|name| Owner {
            name,
            keeps_all: row.get::<_, Option<bool>>(4) == Some(true),
        }),
        members,
        fleet: row.get(8),
        is_open: row.get(9),
        hidden: row.get(10),
        objects: Vec::new(),
        lacks: Vec::new(),
        defaults: Vec::new(),
        version: row.get(11),
    };
    Some((schema, facts))
}

async fn add_objects(
    client: &Client,
    columns: &Columns<'_>,
    facts: &mut BySchema,
) -> Result<(), tokio_postgres::Error> {
    let text = format!(
        "WITH {WANTED}, {OBJECTS} SELECT w.schema::text, i.type, i.identity, r.rolname::text, {KEEPS_ALL}, \
           CASE WHEN c.relkind = 'S' THEN 'SEQUENCE' WHEN c.oid IS NOT NULL THEN 'TABLE' \
             WHEN p.proacl IS NOT NULL THEN 'ROUTINE' WHEN t.typacl IS NOT NULL THEN 'TYPE' END, \
           coalesce(c.relrowsecurity AND NOT c.relforcerowsecurity \
             OR c.relkind = 'm' AND pg_catalog.current_setting('server_version_num')::int4 < 170000, false), \
           coalesce(p.prosecdef, false) \
         FROM wanted w JOIN objects o ON o.namespace = w.namespace \
         JOIN pg_catalog.pg_roles r ON r.oid = o.owner \
         LEFT JOIN pg_catalog.pg_class c ON o.classid = 'pg_catalog.pg_class'::regclass AND c.oid = o.oid \
         LEFT JOIN pg_catalog.pg_proc p ON o.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = o.oid \
         LEFT JOIN pg_catalog.pg_type t ON o.classid = 'pg_catalog.pg_type'::regclass AND t.oid = o.oid \
         CROSS JOIN LATERAL pg_catalog.pg_identify_object(o.classid, o.oid, 0) i \
         WHERE o.owner IS DISTINCT FROM o.role_oid AND NOT {IS_OF_EXTENSION} ORDER BY o.classid, o.oid"
    );
    for row in query(client, &text, columns).await? {
        let object = Object {
            kind: alter_kind(row.get(1)),
            identity: row.get(2),
            owner: Owner {
                name: row.get(3),
                keeps_all: row.get(4),
            },
            grant_kind: match row.get(5) {
                Some("TABLE") => Some("TABLE"),
                Some("SEQUENCE") => Some("SEQUENCE"),
                Some("ROUTINE") => Some("ROUTINE"),
                Some("TYPE") => Some("TYPE"),
                _ => None,
            },
            follows: false,
            needs_owner: row.get(6),
            is_definer: row.get(7),
        };
        if let Some(of) = facts.get_mut(row.get::<_, &str>(0)) {
            of.objects.push(object);
        }
    }
    Ok(())
}

/// The word behind `ALTER` for an object as PostgreSQL identifies it.
fn alter_kind(kind: &str) -> String {
    match kind {
        "function" | "procedure" | "aggregate" => "ROUTINE".to_owned(),
        "statistics object" => "STATISTICS".to_owned(),
        other => other.to_ascii_uppercase(),
    }
}

/// Sequences of columns go with their tables; what their owners so far could do with them does not.
async fn add_sequences(
    client: &Client,
    columns: &Columns<'_>,
    facts: &mut BySchema,
) -> Result<(), tokio_postgres::Error> {
    let text = format!(
        "WITH {WANTED} SELECT w.schema::text, pg_catalog.format('%I.%I', w.schema, c.relname), r.rolname::text, {KEEPS_ALL} \
         FROM wanted w JOIN pg_catalog.pg_depend i ON i.refclassid = 'pg_catalog.pg_namespace'::regclass \
           AND i.refobjid = w.namespace AND i.classid = 'pg_catalog.pg_class'::regclass \
         JOIN pg_catalog.pg_class c ON c.oid = i.objid AND c.relkind = 'S' \
         JOIN pg_catalog.pg_roles r ON r.oid = c.relowner \
         WHERE c.relowner IS DISTINCT FROM w.role_oid AND EXISTS (\
           SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid \
             AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')) ORDER BY c.oid"
    );
    for row in query(client, &text, columns).await? {
        if let Some(of) = facts.get_mut(row.get::<_, &str>(0)) {
            of.objects.push(Object {
                kind: "SEQUENCE".to_owned(),
                identity: row.get(1),
                owner: Owner {
                    name: row.get(2),
                    keeps_all: row.get(3),
                },
                grant_kind: Some("SEQUENCE"),
                follows: true,
                needs_owner: false,
                is_definer: false,
            });
        }
    }
    Ok(())
}

/// What views and foreign keys of tenants need of shared tables. What they have of another tenant's is no right of theirs.
async fn add_lacks(
    client: &Client,
    columns: &Columns<'_>,
    tenants: &[SchemaName],
    facts: &mut BySchema,
) -> Result<(), tokio_postgres::Error> {
    let tenants: Vec<&str> = tenants.iter().map(SchemaName::as_str).collect();
    let text = format!(
        "WITH {WANTED}, relations AS (\
           SELECT w.schema, w.role_oid, c.oid, c.relkind, c.relowner FROM wanted w \
           JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_namespace'::regclass \
             AND d.refobjid = w.namespace AND d.classid = 'pg_catalog.pg_class'::regclass \
           JOIN pg_catalog.pg_class c ON c.oid = d.objid), needs AS (\
           SELECT r.schema, r.role_oid, 'REFERENCES' AS privilege, k.confrelid AS relation \
           FROM relations r JOIN pg_catalog.pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f' \
           UNION SELECT r.schema, r.role_oid, 'SELECT', d.refobjid FROM relations r \
           JOIN pg_catalog.pg_rewrite x ON x.ev_class = r.oid \
             AND r.relkind IN ('v', 'm') AND r.relowner IS DISTINCT FROM r.role_oid \
           JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = x.oid \
             AND d.refclassid = 'pg_catalog.pg_class'::regclass) \
         SELECT DISTINCT e.schema::text, e.privilege, n.nspname::text, \
           pg_catalog.format('%I.%I', n.nspname, c.relname) \
         FROM needs e JOIN pg_catalog.pg_class c ON c.oid = e.relation AND c.relkind IN ('r','p','v','m','f') \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname <> e.schema AND n.nspname <> ALL($3) AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
           AND coalesce(NOT pg_catalog.has_table_privilege(e.role_oid, c.oid, e.privilege), true) ORDER BY 1, 2, 4"
    );
    let rows = client
        .query_typed(
            &text,
            &[
                (&columns.schemas, Type::NAME_ARRAY),
                (&columns.roles, Type::NAME_ARRAY),
                (&tenants, Type::NAME_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        let privilege = match row.get(1) {
            "SELECT" => "SELECT",
            _ => "REFERENCES",
        };
        if let Some(of) = facts.get_mut(row.get::<_, &str>(0)) {
            of.lacks.push((privilege, row.get(2), row.get(3)));
        }
    }
    Ok(())
}

async fn add_defaults(
    client: &Client,
    columns: &Columns<'_>,
    facts: &mut BySchema,
) -> Result<(), tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT r.rolname::text, n.nspname::text, d.defaclobjtype::text, \
               CASE WHEN x.grantee <> 0 THEN pg_catalog.pg_get_userbyid(x.grantee)::text END, x.privilege_type, x.is_grantable \
             FROM pg_catalog.pg_default_acl d JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole \
             LEFT JOIN pg_catalog.pg_namespace n ON n.oid = d.defaclnamespace \
             CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) x \
             WHERE d.defaclnamespace = 0 OR n.nspname = ANY($1) ORDER BY 1, 2, 3, 4, 5",
            &[(&columns.schemas, Type::NAME_ARRAY)],
        )
        .await?;
    let mut of_all = Vec::new();
    for row in &rows {
        let privilege = DefaultPrivilege {
            owner: row.get(0),
            schema: row.get(1),
            kind: row.get::<_, &str>(2).chars().next().unwrap_or(' '),
            grantee: row.get(3),
            privilege: row.get(4),
            is_grantable: row.get(5),
        };
        match &privilege.schema {
            None => of_all.push(privilege),
            Some(schema) => {
                if let Some(of) = facts.get_mut(schema) {
                    of.defaults.push(privilege);
                }
            }
        }
    }
    for of in facts.values_mut() {
        let concerns =
            |one: &&DefaultPrivilege| one.owner == of.fleet || of.owners().contains(&one.owner);
        let of_all: Vec<DefaultPrivilege> = of_all.iter().filter(concerns).cloned().collect();
        of.defaults.extend(of_all);
    }
    Ok(())
}

impl Facts {
    /// What is worth knowing before the tenant is handed over.
    pub fn notes(&self) -> Vec<String> {
        let definers = self.objects.iter().filter(|object| object.is_definer);
        definers
            .map(|object| {
                format!(
                    "{} is SECURITY DEFINER: it runs with the rights of {} from then on, no more with those of {}",
                    object.identity, self.wanted.role, object.owner.name
                )
            })
            .collect()
    }

    /// Who owns the schema or something in it, other than the role.
    pub(super) fn owners(&self) -> BTreeSet<String> {
        let of_objects = self.objects.iter().map(|object| &object.owner);
        let owners = self.schema_owner.iter().chain(of_objects);
        owners.map(|owner| owner.name.clone()).collect()
    }
}
