//! The raw limit: what PostgreSQL allows at best, for `scripts/bench` to compare fleet with.
//!
//! `apply` sends the same files to the same tenants over as many connections, one message and one
//! transaction a migration, and keeps no books at all: no history, no locks, no time limits, no retries.
//! `read` reads every tenant's history, several tenants a message: the least that "nothing to do" costs.
//! `statements` sends a SELECT a tenant, `union` one over all tenants of the message, `copy` a COPY a tenant.
//! `statements 1` is what a loop over tenants does.
//! `catalogue` hashes what the catalogues hold of each tenant: the least that comparing tenants costs.
//!
//! ```text
//! raw_limit apply URL DIRECTORY SCHEMA_PREFIX CONNECTIONS FROM TO    versions above FROM, up to TO
//! raw_limit read URL SCHEMA_PREFIX CONNECTIONS statements|union|copy TENANTS_A_MESSAGE
//! raw_limit catalogue URL SCHEMA_PREFIX CONNECTIONS TENANTS_A_MESSAGE
//! ```

mod catalogue;
mod copy;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use tokio::task::{JoinHandle, JoinSet};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

const USAGE: &str = "usage: raw_limit apply URL DIRECTORY SCHEMA_PREFIX CONNECTIONS FROM TO
       raw_limit read URL SCHEMA_PREFIX CONNECTIONS statements|union|copy TENANTS_A_MESSAGE
       raw_limit catalogue URL SCHEMA_PREFIX CONNECTIONS TENANTS_A_MESSAGE";

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the result of a program")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    let (tenants, messages) = match arguments[..] {
        ["apply", url, directory, prefix, connections, from, to] => {
            let files = read_files(directory, from.parse()?, to.parse()?)?;
            let connections = Connections::open(url, connections.parse()?);
            connections
                .send(prefix, |tenants| {
                    let files = |tenant: &String| {
                        let messages = files.iter().map(|sql| migration(tenant, sql));
                        messages.collect()
                    };
                    tenants.iter().map(files).collect()
                })
                .await?
        }
        ["read", url, prefix, connections, "copy", tenants_a_message] => copy::read(
            url,
            prefix,
            connections.parse()?,
            tenants_a_message.parse()?,
        )?,
        ["read", url, prefix, connections, style, tenants_a_message] => {
            let message: fn(&[String]) -> String = match style {
                "statements" => statements,
                "union" => union,
                _ => bail!(USAGE),
            };
            ask(url, prefix, connections, tenants_a_message, message).await?
        }
        ["catalogue", url, prefix, connections, tenants_a_message] => {
            let message = catalogue::message;
            ask(url, prefix, connections, tenants_a_message, message).await?
        }
        _ => bail!(USAGE),
    };
    println!(
        "{:.1} ms, {tenants} tenants, {messages} messages",
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}

/// Sends a message for each few tenants.
async fn ask(
    url: &str,
    prefix: &str,
    connections: &str,
    tenants_a_message: &str,
    message: fn(&[String]) -> String,
) -> anyhow::Result<(usize, usize)> {
    let tenants_a_message = tenants_a_message.parse()?;
    let connections = Connections::open(url, connections.parse()?);
    connections
        .send(prefix, |tenants| {
            let chunks = tenants.chunks(tenants_a_message);
            chunks.map(|chunk| vec![message(chunk)]).collect()
        })
        .await
}

/// The SQL of the versions above `from` and up to `to`, in order.
fn read_files(directory: &str, from: i64, to: i64) -> anyhow::Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).context(directory.to_owned())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some((version, _)) = name.trim_start_matches('V').split_once("__") else {
            continue;
        };
        let version: i64 = version.parse().with_context(|| name.to_string())?;
        if from < version && version <= to {
            files.push((version, std::fs::read_to_string(&path)?));
        }
    }
    if files.is_empty() {
        bail!("{directory} holds no version above {from} and up to {to}");
    }
    files.sort();
    Ok(files.into_iter().map(|(_, sql)| sql).collect())
}

fn quote(schema: &str) -> String {
    format!("\"{}\"", schema.replace('"', "\"\""))
}

fn migration(tenant: &str, sql: &str) -> String {
    format!(
        "BEGIN; SET LOCAL search_path TO {}; {sql}\n; COMMIT",
        quote(tenant)
    )
}

fn statements(tenants: &[String]) -> String {
    let statement = |tenant: &String| {
        let tenant = quote(tenant);
        format!("SELECT version, name, checksum FROM {tenant}.refinery_schema_history;")
    };
    tenants.iter().map(statement).collect()
}

fn union(tenants: &[String]) -> String {
    let select = |(index, tenant): (usize, &String)| {
        let tenant = quote(tenant);
        format!("SELECT {index}, version, name, checksum FROM {tenant}.refinery_schema_history")
    };
    let selects: Vec<String> = tenants.iter().enumerate().map(select).collect();
    selects.join(" UNION ALL ")
}

/// Connections that open side by side, and stay open.
struct Connections {
    first: JoinHandle<anyhow::Result<Client>>,
    others: Vec<JoinHandle<anyhow::Result<Client>>>,
}

impl Connections {
    fn open(url: &str, count: usize) -> Self {
        let open = |_| tokio::spawn(connect(url.to_owned()));
        Self {
            first: open(0),
            others: (1..count).map(open).collect(),
        }
    }

    /// Finds the tenants, then sends every piece of the work that is made of them, its messages one after
    /// the other. Returns how many tenants and messages there were.
    async fn send(
        self,
        prefix: &str,
        make: impl FnOnce(&[String]) -> Vec<Vec<String>>,
    ) -> anyhow::Result<(usize, usize)> {
        let first = self.first.await??;
        let tenants = find_tenants(&first, prefix).await?;
        let work = make(&tenants);
        let messages = work.iter().map(Vec::len).sum();
        let work = Arc::new(work);
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for connection in [tokio::spawn(async { Ok(first) })]
            .into_iter()
            .chain(self.others)
        {
            let (work, next) = (Arc::clone(&work), Arc::clone(&next));
            workers.spawn(async move {
                let client = connection.await??;
                while let Some(messages) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    for message in messages {
                        client.simple_query(message).await?;
                    }
                }
                anyhow::Ok(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker??;
        }
        Ok((tenants.len(), messages))
    }
}

async fn find_tenants(client: &Client, prefix: &str) -> anyhow::Result<Vec<String>> {
    let messages = client
        .simple_query("SELECT nspname FROM pg_namespace ORDER BY 1")
        .await?;
    let names = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let tenants: Vec<String> = names
        .filter(|name| name.starts_with(prefix))
        .map(str::to_owned)
        .collect();
    if tenants.is_empty() {
        bail!("no schema begins with {prefix}");
    }
    Ok(tenants)
}

async fn connect(url: String) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
    // its end shows as an error of the next statement
    tokio::spawn(connection);
    Ok(client)
}
