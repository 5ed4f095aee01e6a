//! `fleet verify --isolation`: whatever of one tenant reaches another is found, and an honest fleet raises no alarm.

mod honest;
mod reaches;
mod told;

use serde_json::Value;

use crate::support::{Server, Session, TestDatabase, TestFleet, quote};

/// Tenants with roles of their own, on a server that has the roles of other tests too.
struct Guarded {
    db: Option<TestDatabase>,
    fleet: TestFleet,
    prefix: String,
}

impl Guarded {
    /// Each tenant has an owner and a role of the application, and the same tables, views, types and functions, which
    /// use what is shared. `web` may read and write everywhere.
    fn new(schemas: &[&str]) -> Self {
        let db = TestDatabase::create(Server::A);
        let prefix = db.name().to_owned();
        let fleet = TestFleet::new(&db).config(|yaml| {
            yaml["databases"][0]["tenants"] = serde_json::json!({ "list": schemas });
            yaml["roles"] = serde_json::json!({
                "tenant": format!("{prefix}_{{schema}}_owner"),
                "applications": [format!("{prefix}_web"), format!("{prefix}_{{schema}}_app")],
            });
        });
        db.execute(&format!(
            "CREATE ROLE {prefix}_web; CREATE ROLE {prefix}_staff;
             CREATE SCHEMA shared; GRANT USAGE ON SCHEMA shared TO PUBLIC;
             CREATE TABLE shared.plans (id int PRIMARY KEY); GRANT REFERENCES, SELECT ON shared.plans TO PUBLIC;
             CREATE TYPE shared.level AS ENUM ('low', 'high');
             CREATE FUNCTION shared.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
        ));
        for schema in schemas {
            db.execute(&tenant_sql(&prefix, schema));
        }
        Self {
            db: Some(db),
            fleet,
            prefix,
        }
    }

    fn db(&self) -> &TestDatabase {
        self.db.as_ref().expect("a database until the end")
    }

    /// Runs SQL in which `P_` stands for what the roles of this test begin with.
    #[track_caller]
    fn execute(&self, sql: &str) {
        self.db()
            .execute(&sql.replace("P_", &format!("{}_", self.prefix)));
    }

    /// The document, which must fit its exit code.
    #[track_caller]
    fn look(&self) -> Value {
        let run = self.fleet.fleet(&["-o", "json", "verify", "--isolation"]);
        let document = run.json();
        let code = if document["isolated"] == true { 0 } else { 7 };
        run.assert_code(code);
        assert_eq!(document["exit_code"], code);
        document
    }

    /// The findings, each as `kind from > to: object`.
    #[track_caller]
    fn findings(&self) -> Vec<String> {
        self.look()["reaches"]
            .as_array()
            .expect("findings")
            .iter()
            .map(|reach| self.shown(reach))
            .collect()
    }

    fn shown(&self, reach: &Value) -> String {
        let from = &reach["from"];
        let who = match from["kind"].as_str() {
            Some("tenant") => from["tenant"].as_str().unwrap_or_default().to_owned(),
            Some("schema") => format!("({})", from["schema"].as_str().unwrap_or_default()),
            other => format!("({})", other.unwrap_or_default()),
        };
        let objects: Vec<&str> = reach["objects"]
            .as_array()
            .expect("objects")
            .iter()
            .filter_map(Value::as_str)
            .collect();
        let shown = format!(
            "{} {who} > {}: {}",
            reach["kind"].as_str().unwrap_or_default(),
            reach["to"].as_str().unwrap_or("all"),
            objects.join(", ")
        );
        shown.replace(&format!("{}_", self.prefix), "P_")
    }
}

/// The roles go with the database, and only then: they own what is in it.
impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.db.take());
        if !std::thread::panicking() {
            let session = Session::connect(&Server::A.url());
            let like = format!("{}\\_%", self.prefix.replace('_', "\\_"));
            let roles: Vec<String> = session.column(&format!(
                "SELECT pg_catalog.quote_ident(rolname) FROM pg_catalog.pg_roles WHERE rolname LIKE '{like}'"
            ));
            session.execute(&format!("DROP ROLE {}", roles.join(", ")));
        }
    }
}

fn tenant_sql(prefix: &str, schema: &str) -> String {
    let owner = quote(&format!("{prefix}_{schema}_owner"));
    let app = quote(&format!("{prefix}_{schema}_app"));
    let path = quote(schema);
    format!(
        "CREATE ROLE {owner}; CREATE ROLE {app};
         CREATE SCHEMA {path} AUTHORIZATION {owner};
         SET search_path = {path}; SET ROLE {owner};
         CREATE TYPE mood AS ENUM ('sad', 'happy');
         CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
         CREATE TABLE customers (id serial PRIMARY KEY, email email, mood mood, level shared.level,
             plan int REFERENCES shared.plans, big int GENERATED ALWAYS AS (1) STORED);
         CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers CHECK (customer > 0));
         CREATE TABLE parts (id int) PARTITION BY LIST (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
         CREATE VIEW spent AS SELECT c.id, count(*) AS orders FROM customers c JOIN orders o ON o.customer = c.id GROUP BY c.id;
         CREATE FUNCTION doubled(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
         CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM 1 FROM orders o WHERE o.id = NEW.id; RETURN NEW; END';
         CREATE TRIGGER touched BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION touch();
         CREATE TRIGGER shared BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION shared.touch();
         CREATE INDEX doubled_id ON orders (doubled(id));
         ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
         CREATE POLICY own ON orders USING (id IN (SELECT id FROM customers));
         CREATE FUNCTION own() RETURNS bigint LANGUAGE sql SET search_path = {path}, shared AS 'SELECT count(*) FROM {path}.orders';
         ALTER DEFAULT PRIVILEGES IN SCHEMA {path} GRANT SELECT ON TABLES TO {app};
         ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {prefix}_web;
         GRANT USAGE ON SCHEMA {path} TO {app}, {prefix}_web;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {path} TO {app}, {prefix}_web;
         RESET ROLE; RESET search_path"
    )
}
