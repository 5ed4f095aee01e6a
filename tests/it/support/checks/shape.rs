//! What a tenant looks like in the catalogue, and what it should look like.

use std::collections::BTreeSet;

use super::super::database::TestDatabase;
use super::super::documents::public_objects;
use super::super::fleet::TestFleet;
use super::super::server::Server;
use super::super::session::quote;

/// One line for everything in a schema, with the schema's own name taken out. What fleet notes of repairs is
/// not part of it.
pub(crate) fn shape(db: &TestDatabase, schema: &str) -> Vec<String> {
    let literal = schema.replace('\'', "''");
    // names in the tenant's schema are written without it where the search path finds them there
    db.column(&format!(
        "BEGIN;
         SET LOCAL search_path TO {};
         WITH here AS (SELECT oid, quote_ident(nspname) || '.' AS prefix
                       FROM pg_namespace WHERE nspname = '{literal}'),
         relations AS (SELECT c.* FROM pg_class c JOIN here ON c.relnamespace = here.oid
                       WHERE c.relname <> 'fleet_schema_repairs'),
         lines AS (
           SELECT format('relation %s %s %s rls=%s options=%s', relname, relkind, relpersistence,
                         relrowsecurity, reloptions) AS line FROM relations
           UNION ALL
           SELECT format('column %s.%s %s %s not_null=%s default=%s identity=%s generated=%s', r.relname,
                         a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
                         pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated)
           FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
                LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
           WHERE r.relkind NOT IN ('i', 'I')
           UNION ALL
           SELECT format('constraint %s.%s %s validated=%s', c.conrelid::regclass, c.conname,
                         pg_get_constraintdef(c.oid), c.convalidated)
           FROM pg_constraint c JOIN here ON c.connamespace = here.oid
           WHERE c.conrelid <> coalesce(to_regclass('fleet_schema_repairs')::oid, 0)
           UNION ALL
           SELECT format('index %s valid=%s', pg_get_indexdef(i.indexrelid), i.indisvalid)
           FROM pg_index i JOIN relations r ON r.oid = i.indexrelid
           UNION ALL
           SELECT format('view %s %s', relname, pg_get_viewdef(oid)) FROM relations WHERE relkind IN ('v', 'm')
           UNION ALL
           SELECT format('trigger %s', pg_get_triggerdef(t.oid))
           FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid WHERE NOT t.tgisinternal
           UNION ALL
           SELECT format('function %s(%s) %s', p.proname, pg_get_function_identity_arguments(p.oid), p.prosrc)
           FROM pg_proc p JOIN here ON p.pronamespace = here.oid
           UNION ALL
           SELECT format('label %s.%s %s', t.typname, e.enumsortorder, e.enumlabel)
           FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN here ON t.typnamespace = here.oid)
         SELECT replace(line, prefix, '') FROM lines, here ORDER BY 1;
         COMMIT",
        quote(schema)
    ))
}

/// All schemas but PostgreSQL's own.
pub(super) fn schemas_of(db: &TestDatabase) -> BTreeSet<String> {
    let all: Vec<String> = db.column(
        "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'",
    );
    all.into_iter().collect()
}

/// What undisturbed runs make of one tenant, version by version.
#[derive(Clone, Debug)]
pub(crate) struct Golden {
    /// The versions of the set, ascending.
    pub(crate) versions: Vec<i64>,
    /// The shape before the first of them, after the first, and so on.
    shapes: Vec<Vec<String>>,
    /// What else there is afterwards: the control schema and shared ones.
    pub(super) other_schemas: BTreeSet<String>,
    /// What lies in `public` afterwards.
    pub(super) public: Vec<String>,
}

impl Golden {
    /// Migrates a tenant in a database of its own with the files that there are now, one by one.
    #[track_caller]
    pub(crate) fn of(fleet: &TestFleet) -> Self {
        Self::prepared(fleet, "")
    }

    /// The same after statements that the migrations rely on, such as shared schemas.
    #[track_caller]
    pub(crate) fn prepared(fleet: &TestFleet, sql: &str) -> Self {
        const TENANT: &str = "tenant_golden";
        let db = TestDatabase::create(Server::A);
        db.execute(&format!("CREATE SCHEMA {TENANT}; {sql}"));
        let fleet = fleet.with_only(&db);
        let versions = fleet.versions();
        let mut shapes = vec![shape(&db, TENANT)];
        for version in &versions {
            fleet
                .fleet(&["migrate", "--to", &version.to_string()])
                .assert_code(0);
            shapes.push(shape(&db, TENANT));
        }
        let mut other_schemas = schemas_of(&db);
        other_schemas.remove(TENANT);
        Self {
            versions,
            shapes,
            other_schemas,
            public: public_objects(&db),
        }
    }

    /// The shape of a tenant that has had so many of the versions.
    pub(super) fn after(&self, versions: usize) -> &[String] {
        &self.shapes[versions]
    }
}
