//! Databases full of tenants, for a tool to work on.

use anyhow::ensure;

use crate::server::Server;
use crate::tools::Tool;

/// Schemas, and later relations, that one transaction makes at most: each is a lock.
const AT_ONCE: usize = 500;

/// A template database with so many empty schemas. Returns its name.
pub(crate) fn template(server: &Server, tenants: usize) -> anyhow::Result<String> {
    let name = format!("empty_{tenants}");
    let there = server.number(
        "postgres",
        &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"),
    )?;
    if there == 0 {
        server.create(&name, "template0")?;
        server.execute(
            &name,
            &format!(
                "DO $$ BEGIN FOR n IN 1..{tenants} LOOP
                     EXECUTE format('CREATE SCHEMA tenant_%s', lpad(n::text, 5, '0'));
                     IF n % {AT_ONCE} = 0 THEN COMMIT; END IF;
                 END LOOP; END $$"
            ),
        )?;
    }
    Ok(name)
}

/// The names of its tenants.
pub(crate) fn tenants(server: &Server, database: &str) -> anyhow::Result<Vec<String>> {
    server.lines(
        database,
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant\\_%' ORDER BY 1",
    )
}

/// A hundred customers for every tenant. A connection for so many of them, as each grows with what it has seen.
pub(crate) fn fill(server: &Server, database: &str, tenants: &[String]) -> anyhow::Result<()> {
    for some in tenants.chunks(AT_ONCE) {
        let names = some.join(",");
        server.execute(
            database,
            &format!(
                "DO $$ DECLARE tenant text; BEGIN
                     PERFORM set_config('synchronous_commit', 'off', false);
                     FOREACH tenant IN ARRAY '{{{names}}}'::text[] LOOP
                         EXECUTE format($i$
                             INSERT INTO %1$I.accounts (name) VALUES ('one');
                             INSERT INTO %1$I.customers (account_id, email, full_name)
                             SELECT 1, format('p%%s@example.com', n), 'Person ' || n
                             FROM generate_series(1, 100) AS n$i$, tenant);
                         COMMIT;
                     END LOOP; END $$"
            ),
        )?;
    }
    Ok(())
}

/// Fails where two tools have not made the same things, their own books aside.
pub(crate) fn compare(server: &Server, tools: &[Tool]) -> anyhow::Result<()> {
    let mut seen = None;
    for tool in tools.iter().filter(|tool| tool.migrates()) {
        let database = tool.database();
        let made = server.value(
            database,
            "SELECT count(*) || ' relations, ' || coalesce(md5(string_agg(name, ' ' ORDER BY name)), '')
             FROM (SELECT nspname || '.' || relname || ' ' || relnatts AS name
                   FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
                   WHERE nspname LIKE 'tenant\\_%' AND relname !~ '^(refinery_schema_history|schema_migrations|alembic_version|django_migrations)')
                 AS made",
        )?;
        let (first, expected) = seen.get_or_insert_with(|| (database, made.clone()));
        ensure!(
            made == *expected,
            "{first} holds {expected}, {database} {made}"
        );
    }
    Ok(())
}
