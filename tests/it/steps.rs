//! Migrations that run without a transaction: statement by statement, resumable, few at a time.

mod doubt;
mod indexes;
mod kinds;

use crate::support::{Server, TestDatabase, TestFleet, tenants};

/// Tenants at V1 with a table `t1` of a hundred rows, and what comes after it.
struct Fleet {
    db: TestDatabase,
    schemas: Vec<String>,
    folder: TestFleet,
}

impl Fleet {
    fn with(tenant_count: usize) -> Self {
        let db = TestDatabase::create(Server::A);
        let schemas = tenants(&db, tenant_count);
        let folder = TestFleet::new(&db).probe_migrations(1..=1).set(
            "execution.retry",
            serde_json::json!({ "attempts": 5, "backoff": "20ms", "max_backoff": "200ms" }),
        );
        folder.json(&["migrate"], 0);
        for schema in &schemas {
            db.execute(&format!(
                "INSERT INTO {schema}.t1 SELECT n, 'note ' || n FROM generate_series(1, 100) AS n"
            ));
        }
        Self {
            db,
            schemas,
            folder,
        }
    }

    fn migration(self, name: &str, sql: &str) -> Self {
        self.folder.write_migration(name, sql);
        self
    }

    fn set(mut self, path: &str, value: impl Into<serde_json::Value>) -> Self {
        self.folder = self.folder.set(path, value);
        self
    }

    /// The names of indexes, with `!` behind those that are not valid.
    fn indexes(&self, schema: &str) -> Vec<String> {
        self.db.column(&format!(
            "SELECT c.relname || CASE WHEN i.indisvalid THEN '' ELSE '!' END
             FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
             WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname NOT LIKE '%pkey'
             ORDER BY 1"
        ))
    }

    /// Whether a tenant's notes of steps are there, as they are while a migration is under way.
    fn has_notes(&self, schema: &str) -> bool {
        self.db.query_one(&format!(
            "SELECT to_regclass('{schema}.fleet_schema_steps') IS NOT NULL"
        ))
    }

    /// The versions of a tenant's history.
    fn history(&self, schema: &str) -> Vec<i64> {
        self.db.column(&format!(
            "SELECT version FROM {schema}.refinery_schema_history ORDER BY version"
        ))
    }
}

const TENANT: &str = "tenant_0001";
