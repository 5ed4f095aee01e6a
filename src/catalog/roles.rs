//! Who owns tenants' schemas and what is in them, and whether the roles of tenants reach no further.

mod apply;
mod facts;
mod statements;

use std::collections::HashMap;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

pub use apply::{ApplyError, Neighbours, apply};
pub use facts::{Facts, read_facts};
pub use statements::{Change, changes};

use crate::plan::Gap;
use crate::tenant::{RoleName, SchemaName};

/// Tenants that are looked at in one query.
const BATCH: usize = 2000;

/// A tenant and the role that is to own it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The tenant's schema.
    pub schema: SchemaName,
    /// The role's name.
    pub role: RoleName,
}

/// The columns of a query about tenants.
struct Columns<'a> {
    schemas: Vec<&'a str>,
    roles: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(wanted: &'a [Wanted]) -> Self {
        Self {
            schemas: wanted.iter().map(|one| one.schema.as_str()).collect(),
            roles: wanted.iter().map(|one| one.role.as_str()).collect(),
        }
    }
}

/// `w`: tenants, with what is there of schema and role.
const WANTED: &str = "\
    wanted AS (SELECT w.schema, w.role, n.oid AS namespace, n.nspowner, n.nspacl, r.oid AS role_oid \
      FROM ROWS FROM (pg_catalog.unnest($1::name[]), pg_catalog.unnest($2::name[])) AS w(schema, role) \
      LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema \
      LEFT JOIN pg_catalog.pg_roles r ON r.rolname = w.role)";

/// `o`: what has an owner of its own in a schema. Indexes, toast and the sequences of columns follow their tables,
/// array and row types what they are of. What depends on a schema is found by an index, whose it is in the schema is not.
const OBJECTS: &str = "\
    objects AS (\
    SELECT w.namespace, w.role_oid, d.classid, d.objid AS oid, c.relkind, coalesce(c.relowner, p.proowner, t.typowner, \
      l.collowner, v.conowner, r.oprowner, k.opcowner, f.opfowner, s.stxowner, g.cfgowner, i.dictowner) AS owner \
    FROM wanted w JOIN pg_catalog.pg_depend d \
      ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = w.namespace \
    LEFT JOIN pg_catalog.pg_class c ON d.classid = 'pg_catalog.pg_class'::regclass AND c.oid = d.objid \
      AND (c.relkind IN ('r','p','v','m','f') OR c.relkind = 'S' AND NOT EXISTS (\
        SELECT FROM pg_catalog.pg_depend u WHERE u.classid = 'pg_catalog.pg_class'::regclass AND u.objid = c.oid \
          AND u.refclassid = 'pg_catalog.pg_class'::regclass AND u.deptype IN ('a', 'i'))) \
    LEFT JOIN pg_catalog.pg_proc p ON d.classid = 'pg_catalog.pg_proc'::regclass AND p.oid = d.objid \
    LEFT JOIN pg_catalog.pg_type t ON d.classid = 'pg_catalog.pg_type'::regclass AND t.oid = d.objid \
      AND t.typtype IN ('b','d','e','r','c') AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid) \
    LEFT JOIN pg_catalog.pg_collation l ON d.classid = 'pg_catalog.pg_collation'::regclass AND l.oid = d.objid \
    LEFT JOIN pg_catalog.pg_conversion v ON d.classid = 'pg_catalog.pg_conversion'::regclass AND v.oid = d.objid \
    LEFT JOIN pg_catalog.pg_operator r ON d.classid = 'pg_catalog.pg_operator'::regclass AND r.oid = d.objid \
    LEFT JOIN pg_catalog.pg_opclass k ON d.classid = 'pg_catalog.pg_opclass'::regclass AND k.oid = d.objid \
    LEFT JOIN pg_catalog.pg_opfamily f ON d.classid = 'pg_catalog.pg_opfamily'::regclass AND f.oid = d.objid \
    LEFT JOIN pg_catalog.pg_statistic_ext s ON d.classid = 'pg_catalog.pg_statistic_ext'::regclass AND s.oid = d.objid \
    LEFT JOIN pg_catalog.pg_ts_config g ON d.classid = 'pg_catalog.pg_ts_config'::regclass AND g.oid = d.objid \
    LEFT JOIN pg_catalog.pg_ts_dict i ON d.classid = 'pg_catalog.pg_ts_dict'::regclass AND i.oid = d.objid)";

/// What belongs to an extension has the extension's owner.
const IS_OF_EXTENSION: &str = "EXISTS (SELECT FROM pg_catalog.pg_depend e \
    WHERE e.classid = o.classid AND e.objid = o.oid AND e.deptype = 'e')";

/// As whom a role acts: as itself, and as every role that it is a member of, with what it inherits and what it may
/// take on.
const ACTING: &str = "\
    acting AS (SELECT role_oid AS role, role_oid AS acts_as FROM wanted WHERE role_oid IS NOT NULL \
      UNION SELECT a.role, m.roleid FROM acting a JOIN pg_catalog.pg_auth_members m ON m.member = a.acts_as)";

/// Says by which other role a role has something, where it is a member of that one.
const THROUGH: &str = "CASE WHEN a.acts_as = a.role THEN '' \
    ELSE ' (through the role ' || pg_catalog.pg_get_userbyid(a.acts_as)::text || ')' END";

/// Begins a look at the catalogue. Its queries are short for what the planner takes them for: compiling one takes
/// longer than running it.
async fn begin_look(client: &Client) -> Result<(), tokio_postgres::Error> {
    let begin = "BEGIN READ ONLY;SET LOCAL jit=off";
    client.batch_execute(begin).await
}

/// Finds out what lacks for these tenants to be guarded by the database; those that lack nothing are not in the answer.
///
/// # Errors
/// The server's.
pub async fn read_gaps(
    client: &Client,
    wanted: &[Wanted],
    shared: &[String],
) -> Result<HashMap<SchemaName, Vec<Gap>>, tokio_postgres::Error> {
    begin_look(client).await?;
    let found = gaps(client, wanted, shared).await;
    client.batch_execute("COMMIT").await?;
    found
}

/// The same within a transaction.
async fn gaps(
    client: &Client,
    wanted: &[Wanted],
    shared: &[String],
) -> Result<HashMap<SchemaName, Vec<Gap>>, tokio_postgres::Error> {
    let mut gaps: HashMap<SchemaName, Vec<Gap>> = HashMap::new();
    let open = open_to_all(client).await?;
    for batch in wanted.chunks(BATCH) {
        let columns = Columns::of(batch);
        own_gaps(client, &columns, shared, &open, &mut gaps).await?;
        reach(client, &columns, &mut gaps).await?;
        objects_of_others(client, &columns, &mut gaps).await?;
    }
    for found in gaps.values_mut() {
        // what nobody can have is no news
        if found.contains(&Gap::RoleMissing) {
            found.retain(|gap| {
                matches!(
                    gap,
                    Gap::RoleMissing | Gap::OpenToAll | Gap::AllMayCreateIn(_)
                )
            });
        }
    }
    gaps.retain(|_, found| !found.is_empty());
    Ok(gaps)
}

fn note(gaps: &mut HashMap<SchemaName, Vec<Gap>>, row: &Row, gap: Gap) {
    if let Ok(schema) = SchemaName::parse(row.get(0)) {
        gaps.entry(schema).or_default().push(gap);
    }
}

/// The schemas in which everybody may create objects.
async fn open_to_all(client: &Client) -> Result<Vec<String>, tokio_postgres::Error> {
    let rows = client
        .query_typed(
            "SELECT n.nspname::text FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) x \
             WHERE n.nspacl IS NOT NULL AND x.grantee = 0 AND x.privilege_type = 'CREATE' ORDER BY 1",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// What schema and role say of themselves.
async fn own_gaps(
    client: &Client,
    columns: &Columns<'_>,
    shared: &[String],
    open: &[String],
    gaps: &mut HashMap<SchemaName, Vec<Gap>>,
) -> Result<(), tokio_postgres::Error> {
    let shared: Vec<&str> = shared.iter().map(String::as_str).collect();
    let query = format!(
        "WITH {WANTED} SELECT w.schema::text, w.role_oid IS NOT NULL, \
           w.namespace IS NULL OR w.nspowner = w.role_oid, pg_catalog.pg_get_userbyid(w.nspowner)::text, \
           pg_catalog.pg_has_role(session_user, w.role_oid, CASE \
             WHEN pg_catalog.current_setting('server_version_num')::int4 >= 160000 THEN 'SET' ELSE 'MEMBER' END), \
           session_user::text, pg_catalog.pg_has_role(current_user, w.role_oid, 'USAGE'), current_user::text, \
           pg_catalog.has_database_privilege(w.role_oid, pg_catalog.current_database(), 'CREATE'), \
           ARRAY(SELECT s.nspname::text FROM pg_catalog.pg_namespace s WHERE s.nspname = ANY($3) AND s.oid <> w.namespace \
             AND NOT pg_catalog.has_schema_privilege(w.role_oid, s.oid, 'USAGE') ORDER BY 1) \
         FROM wanted w"
    );
    let rows = client
        .query_typed(
            &query,
            &[
                (&columns.schemas, Type::NAME_ARRAY),
                (&columns.roles, Type::NAME_ARRAY),
                (&shared, Type::NAME_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        let is_there = |column| row.get::<_, Option<bool>>(column);
        let name = |column| row.get::<_, Option<String>>(column).unwrap_or_default();
        let own: &str = row.get(0);
        if is_there(1) == Some(false) {
            note(gaps, row, Gap::RoleMissing);
        }
        if is_there(4) == Some(false) {
            note(gaps, row, Gap::NotMember { user: name(5) });
        } else if is_there(6) == Some(false) {
            note(gaps, row, Gap::NotInheriting { user: name(7) });
        }
        if is_there(2) == Some(false) {
            note(gaps, row, Gap::SchemaOwner(name(3)));
        }
        if is_there(8) == Some(true) {
            note(gaps, row, Gap::MayCreateSchemas);
        }
        if open.iter().any(|schema| schema == own) {
            note(gaps, row, Gap::OpenToAll);
        }
        let elsewhere: Vec<String> = open.iter().filter(|s| *s != own).cloned().collect();
        if !elsewhere.is_empty() {
            note(gaps, row, Gap::AllMayCreateIn(elsewhere));
        }
        let hidden: Vec<String> = row.get(9);
        if !hidden.is_empty() {
            note(gaps, row, Gap::SharedSchemas(hidden));
        }
    }
    Ok(())
}

/// What the roles can do beyond their schemas.
async fn reach(
    client: &Client,
    columns: &Columns<'_>,
    gaps: &mut HashMap<SchemaName, Vec<Gap>>,
) -> Result<(), tokio_postgres::Error> {
    let query = format!(
        "WITH RECURSIVE {WANTED}, {ACTING}, here AS (\
           SELECT s.refobjid AS role, s.classid, s.objid, s.deptype FROM (SELECT DISTINCT acts_as FROM acting) a \
           JOIN pg_catalog.pg_shdepend s ON s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = a.acts_as \
           JOIN pg_catalog.pg_database b ON b.oid = s.dbid AND b.datname = pg_catalog.current_database()), found AS (\
         SELECT a.role, 'attribute' AS what, x.name FROM acting a JOIN pg_catalog.pg_roles r ON r.oid = a.acts_as, \
           LATERAL (VALUES (r.rolsuper, 'SUPERUSER'), (r.rolcreaterole, 'CREATEROLE'), (r.rolcreatedb, 'CREATEDB'), \
             (r.rolbypassrls, 'BYPASSRLS'), (r.rolreplication, 'REPLICATION')) AS x(has, name) WHERE x.has \
         UNION SELECT a.role, 'member', r.rolname::text FROM acting a JOIN pg_catalog.pg_roles r ON r.oid = a.acts_as \
           WHERE r.rolname LIKE 'pg\\_%' AND a.acts_as <> a.role \
         UNION SELECT w.role_oid, 'owns', n.nspname::text || {THROUGH} FROM acting a JOIN wanted w ON w.role_oid = a.role \
           JOIN pg_catalog.pg_namespace n ON n.nspowner = a.acts_as AND n.oid IS DISTINCT FROM w.namespace \
         UNION SELECT w.role_oid, 'outside', pg_catalog.format('%s %s', CASE c.relkind WHEN 'v' THEN 'view' \
             WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END, c.oid::regclass) || {THROUGH} \
           FROM acting a JOIN wanted w ON w.role_oid = a.role \
           JOIN here s ON s.role = a.acts_as AND s.deptype = 'o' AND s.classid = 'pg_catalog.pg_class'::regclass \
           JOIN pg_catalog.pg_class c ON c.oid = s.objid AND c.relnamespace IS DISTINCT FROM w.namespace \
             AND c.relkind IN ('r','p','v','m','f','S') \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT LIKE 'pg\\_%' \
         UNION SELECT w.role_oid, 'creates', n.nspname::text || {THROUGH} FROM acting a JOIN wanted w ON w.role_oid = a.role \
           JOIN here s ON s.role = a.acts_as AND s.deptype = 'a' AND s.classid = 'pg_catalog.pg_namespace'::regclass \
           JOIN pg_catalog.pg_namespace n ON n.oid = s.objid AND n.oid IS DISTINCT FROM w.namespace AND n.nspowner <> a.acts_as \
           CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) x \
           WHERE x.grantee = a.acts_as AND x.privilege_type = 'CREATE' \
         UNION SELECT a.role, 'database', d.datname::text FROM acting a \
           JOIN pg_catalog.pg_shdepend s ON s.refclassid = 'pg_catalog.pg_authid'::regclass AND s.refobjid = a.acts_as \
             AND s.deptype = 'o' \
           JOIN pg_catalog.pg_database d ON d.oid = s.dbid AND d.datname <> pg_catalog.current_database()) \
         SELECT w.schema::text, f.what, pg_catalog.array_agg(f.name ORDER BY f.name) \
         FROM found f JOIN wanted w ON w.role_oid = f.role GROUP BY 1, 2 ORDER BY 1, 2"
    );
    let rows = client
        .query_typed(
            &query,
            &[
                (&columns.schemas, Type::NAME_ARRAY),
                (&columns.roles, Type::NAME_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        let names: Vec<String> = row.get(2);
        let gap = match row.get(1) {
            "attribute" => Gap::Attributes(names),
            "member" => Gap::Memberships(names),
            "owns" => Gap::OwnsSchemas(names),
            "outside" => Gap::OwnsOutside(names),
            "creates" => Gap::MayCreateIn(names),
            _ => Gap::OtherDatabases(names),
        };
        note(gaps, row, gap);
    }
    Ok(())
}

/// What is in the schemas and belongs to somebody else.
async fn objects_of_others(
    client: &Client,
    columns: &Columns<'_>,
    gaps: &mut HashMap<SchemaName, Vec<Gap>>,
) -> Result<(), tokio_postgres::Error> {
    let query = format!(
        "WITH {WANTED}, {OBJECTS}, others AS (\
           SELECT w.schema, pg_catalog.count(*) AS n, \
             (pg_catalog.array_agg(o.classid ORDER BY o.classid, o.oid))[1] AS classid, \
             (pg_catalog.array_agg(o.oid ORDER BY o.classid, o.oid))[1] AS oid, \
             (pg_catalog.array_agg(o.owner ORDER BY o.classid, o.oid))[1] AS owner \
           FROM wanted w JOIN objects o ON o.namespace = w.namespace \
           WHERE o.owner <> o.role_oid AND NOT {IS_OF_EXTENSION} GROUP BY w.schema) \
         SELECT x.schema::text, x.n, i.type || ' ' || i.identity, pg_catalog.pg_get_userbyid(x.owner)::text \
         FROM others x, pg_catalog.pg_identify_object(x.classid, x.oid, 0) i"
    );
    let rows = client
        .query_typed(
            &query,
            &[
                (&columns.schemas, Type::NAME_ARRAY),
                (&columns.roles, Type::NAME_ARRAY),
            ],
        )
        .await?;
    for row in &rows {
        let gap = Gap::Objects {
            count: u64::try_from(row.get::<_, i64>(1)).unwrap_or(0),
            example: row.get::<_, Option<String>>(2).unwrap_or_default(),
            owner: row.get(3),
        };
        note(gaps, row, gap);
    }
    Ok(())
}
