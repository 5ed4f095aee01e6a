//! `execution.isolation: role`: each tenant's migrations run as a role that owns the tenant's schema alone, so that
//! PostgreSQL itself refuses whatever reaches further.

mod acts;
mod apply;
mod doctor;

use crate::support::{Server, Session, TestDatabase, TestFleet, tenants};

/// Three tenants, guarded, and their fleet; the roles go with the database.
struct Guarded {
    db: TestDatabase,
    schemas: Vec<String>,
    /// Dropped after the database, which uses them.
    roles: Roles,
}

/// The roles of one test: those of the whole server whose names begin with its database's.
struct Roles {
    prefix: String,
}

impl Roles {
    fn of(db: &TestDatabase) -> Self {
        Self {
            prefix: format!("{}_", db.name()),
        }
    }

    /// A role of the test, by the rest of its name.
    fn named(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

impl Drop for Roles {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let session = Session::connect(&Server::A.url());
        let ours: Vec<String> = session.column(&format!(
            "SELECT quote_ident(rolname) FROM pg_roles WHERE left(rolname, {}) = '{}'",
            self.prefix.len(),
            self.prefix
        ));
        if !ours.is_empty() {
            session.execute(&format!("DROP ROLE {}", ours.join(", ")));
        }
    }
}

impl Guarded {
    /// So many tenants without roles yet.
    fn unguarded(tenant_count: usize) -> Self {
        let db = TestDatabase::create(Server::A);
        // PostgreSQL 14 and older let everybody create there
        db.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
        Self {
            schemas: tenants(&db, tenant_count),
            roles: Roles::of(&db),
            db,
        }
    }

    /// Three tenants with their roles.
    fn new() -> (Self, TestFleet) {
        let guarded = Self::unguarded(3);
        let fleet = guarded.fleet();
        fleet.json(&["roles", "apply"], 0);
        (guarded, fleet)
    }

    /// A fleet in role mode whose roles are this test's.
    fn fleet(&self) -> TestFleet {
        self.named(TestFleet::new(&self.db))
    }

    /// Makes a fleet one in role mode.
    fn named(&self, fleet: TestFleet) -> TestFleet {
        // it is the database that has to refuse what reaches out
        fleet
            .unlinted()
            .set("execution", serde_json::json!({ "isolation": "role" }))
            .set(
                "roles",
                serde_json::json!({ "tenant": self.roles.named("{schema}") }),
            )
    }

    /// A tenant's role.
    fn role(&self, schema: &str) -> String {
        self.roles.named(schema)
    }

    /// Who owns something in a schema, the schema included, each once.
    fn owners(&self, schema: &str) -> Vec<String> {
        self.db.column(&format!(
            "SELECT DISTINCT pg_get_userbyid(owner)::text FROM (
               SELECT nspowner AS owner FROM pg_namespace WHERE nspname = '{schema}'
               UNION ALL SELECT relowner FROM pg_class WHERE relnamespace = '{schema}'::regnamespace
               UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = '{schema}'::regnamespace
               UNION ALL SELECT typowner FROM pg_type WHERE typnamespace = '{schema}'::regnamespace) o"
        ))
    }

    /// What a tenant's history holds.
    fn history(&self, schema: &str) -> Vec<i64> {
        self.db.column(&format!(
            "SELECT version FROM {schema}.refinery_schema_history ORDER BY version"
        ))
    }
}
