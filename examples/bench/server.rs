//! The server that everything is measured on: `scripts/bench` starts it, for this run only.

use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::processes;

/// A server of our own, on this machine.
pub(crate) struct Server {
    /// Up to the slash in front of the database's name.
    base: String,
    postmaster: u32,
    runtime: Runtime,
}

/// What the server counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// CPU of the server and all its processes, those that have ended among them.
    pub(crate) cpu: Duration,
    /// Transactions in one database, those that only read among them.
    pub(crate) commits: u64,
    /// Transactions that wrote, in the whole server.
    pub(crate) writes: u64,
}

impl Server {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let (base, _) = url.rsplit_once('/').context("--server needs a database")?;
        let mut server = Self {
            base: base.to_owned(),
            postmaster: 0,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
        };
        let pid_file = server.value("postgres", "SELECT pg_read_file('postmaster.pid')")?;
        let pid = pid_file.lines().next().unwrap_or_default();
        server.postmaster = pid.parse().context("postmaster.pid")?;
        Ok(server)
    }

    pub(crate) fn postmaster(&self) -> u32 {
        self.postmaster
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("{}/{database}", self.base)
    }

    /// `host:port`.
    pub(crate) fn address(&self) -> &str {
        let authority = self.base.rsplit('/').next().unwrap_or_default();
        authority.rsplit('@').next().unwrap_or_default()
    }

    /// Does something on a connection of its own, which has ended when this returns.
    fn with_client<T>(
        &self,
        database: &str,
        work: impl AsyncFnOnce(&Client) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
            let connection = tokio::spawn(connection);
            let done = work(&client).await;
            drop(client);
            // its errors have shown as errors of the work
            let _ = connection.await;
            done
        })
    }

    /// Runs statements.
    pub(crate) fn execute(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        self.with_client(database, async |client| {
            let done = client.batch_execute(sql).await;
            done.with_context(|| sql.to_owned())
        })
    }

    /// The first column of the first row.
    pub(crate) fn value(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        self.with_client(database, async |client| {
            let messages = client.simple_query(sql).await;
            let messages = messages.with_context(|| sql.to_owned())?;
            let row = messages.iter().find_map(|message| match message {
                SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            });
            Ok(row.with_context(|| sql.to_owned())?.to_owned())
        })
    }

    pub(crate) fn number(&self, database: &str, sql: &str) -> anyhow::Result<u64> {
        Ok(self.value(database, sql)?.parse()?)
    }

    /// The lines of a query's only column.
    pub(crate) fn lines(&self, database: &str, sql: &str) -> anyhow::Result<Vec<String>> {
        let all = self.value(
            database,
            &format!("SELECT coalesce(string_agg(line, E'\\n'), '') FROM ({sql}) AS q (line)"),
        )?;
        Ok(all.lines().map(str::to_owned).collect())
    }

    /// A new database, in the place of one of the same name.
    pub(crate) fn create(&self, database: &str, template: &str) -> anyhow::Result<()> {
        self.drop(database)?;
        self.execute(
            "postgres",
            &format!("CREATE DATABASE {database} TEMPLATE {template}"),
        )
    }

    pub(crate) fn drop(&self, database: &str) -> anyhow::Result<()> {
        self.wait_until_idle()?;
        self.execute("postgres", &format!("DROP DATABASE IF EXISTS {database}"))
    }

    /// Waits until no client is connected any more, so that all that a run has cost has been counted.
    pub(crate) fn wait_until_idle(&self) -> anyhow::Result<()> {
        loop {
            let others = self.number(
                "postgres",
                "SELECT count(*) FROM pg_stat_activity
                 WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
            )?;
            if others == 0 {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// A fresh start for whatever runs next.
    pub(crate) fn settle(&self) -> anyhow::Result<()> {
        self.wait_until_idle()?;
        self.execute("postgres", "CHECKPOINT")
    }

    pub(crate) fn counters(&self, database: &str) -> anyhow::Result<Counters> {
        self.wait_until_idle()?;
        // PostgreSQL 12 to 14 count through a process of its own, a little later
        if self.number("postgres", "SHOW server_version_num")? < 150_000 {
            std::thread::sleep(Duration::from_millis(700));
        }
        let commits = self.number(
            "postgres",
            &format!("SELECT xact_commit FROM pg_stat_database WHERE datname = '{database}'"),
        )?;
        let writes = self.number(
            "postgres",
            "SELECT txid_snapshot_xmax(txid_current_snapshot())",
        )?;
        Ok(Counters {
            cpu: processes::cpu_of_server(self.postmaster)?,
            commits,
            writes,
        })
    }
}

impl Counters {
    /// What has been counted since.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            commits: self.commits.saturating_sub(before.commits),
            writes: self.writes.saturating_sub(before.writes),
        }
    }
}
