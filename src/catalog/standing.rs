//! What a server lets fleet's own role do and see, and what stands open in it.

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use crate::tenant::SchemaName;

/// How many invalid indexes are named.
const NAMED: i64 = 3;

/// What fleet's own role is in a database, and what stands open there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether nothing is refused to it.
    pub is_superuser: bool,
    /// Whether it may make roles.
    pub makes_roles: bool,
    /// Whether it sees what the sessions of others do.
    pub sees_sessions: bool,
    /// The schemas in which everybody may create objects.
    pub open_schemas: Vec<String>,
    /// How many indexes of tenants are invalid.
    pub invalid_indexes: i64,
    /// Some of them.
    pub examples: Vec<String>,
}

/// Looks. Writes nothing.
///
/// # Errors
/// The server's.
pub async fn standing(
    client: &Client,
    tenants: &[SchemaName],
) -> Result<Standing, tokio_postgres::Error> {
    let tenants: Vec<&str> = tenants.iter().map(SchemaName::as_str).collect();
    let row = client
        .query_typed_one(
            "WITH invalid AS (SELECT n.nspname, c.relname FROM pg_catalog.pg_index i \
               JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
               WHERE NOT i.indisvalid AND n.nspname = ANY($1)) \
             SELECT r.rolsuper, r.rolsuper OR r.rolcreaterole, \
               pg_catalog.pg_has_role(r.oid, 'pg_read_all_stats', 'USAGE'), \
               ARRAY(SELECT n.nspname::text FROM pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) x \
                 WHERE x.grantee = 0 AND x.privilege_type = 'CREATE' ORDER BY 1), \
               (SELECT pg_catalog.count(*) FROM invalid), \
               ARRAY(SELECT pg_catalog.format('%I.%I', nspname, relname) FROM invalid ORDER BY 1 LIMIT $2) \
             FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
            &[(&tenants, Type::NAME_ARRAY), (&NAMED, Type::INT8)],
        )
        .await?;
    Ok(Standing {
        is_superuser: row.get(0),
        makes_roles: row.get(1),
        sees_sessions: row.get(2),
        open_schemas: row.get(3),
        invalid_indexes: row.get(4),
        examples: row.get(5),
    })
}
