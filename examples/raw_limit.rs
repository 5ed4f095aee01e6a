//! The raw limit: what PostgreSQL allows at best, for `scripts/bench` to compare fleet with.
//!
//! `apply` sends the same files to the same tenants over as many connections, one message and one
//! transaction a migration, and keeps no books at all: no history, no locks, no time limits, no retries.
//! `read` reads every tenant's history, a hundred tenants a message: the least that "nothing to do" costs.
//!
//! ```text
//! raw_limit apply URL DIRECTORY SCHEMA_PREFIX CONNECTIONS FROM TO    versions above FROM, up to TO
//! raw_limit read URL SCHEMA_PREFIX CONNECTIONS
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

const USAGE: &str = "usage: raw_limit apply URL DIRECTORY SCHEMA_PREFIX CONNECTIONS FROM TO
       raw_limit read URL SCHEMA_PREFIX CONNECTIONS";

/// Tenants whose histories are read in one message.
const TENANTS_A_MESSAGE: usize = 100;

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "the result of a program")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let started = Instant::now();
    let (tenants, messages) = match arguments[..] {
        ["apply", url, directory, prefix, connections, from, to] => {
            let files = read_files(directory, from.parse()?, to.parse()?)?;
            let tenants = find_tenants(url, prefix).await?;
            let messages = tenants
                .iter()
                .map(|tenant| files.iter().map(|sql| message(tenant, sql)).collect())
                .collect();
            (
                tenants.len(),
                send(url, connections.parse()?, messages).await?,
            )
        }
        ["read", url, prefix, connections] => {
            let tenants = find_tenants(url, prefix).await?;
            let messages = tenants
                .chunks(TENANTS_A_MESSAGE)
                .map(|chunk| vec![chunk.iter().map(|tenant| history(tenant)).collect()])
                .collect();
            (
                tenants.len(),
                send(url, connections.parse()?, messages).await?,
            )
        }
        _ => bail!(USAGE),
    };
    println!(
        "{:.1} ms, {tenants} tenants, {messages} messages",
        started.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
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

async fn find_tenants(url: &str, prefix: &str) -> anyhow::Result<Vec<String>> {
    let client = connect(url).await?;
    let rows = client
        .query(
            "SELECT nspname::text FROM pg_namespace WHERE starts_with(nspname::text, $1) ORDER BY 1",
            &[&prefix],
        )
        .await?;
    if rows.is_empty() {
        bail!("no schema begins with {prefix}");
    }
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn quote(schema: &str) -> String {
    format!("\"{}\"", schema.replace('"', "\"\""))
}

fn message(tenant: &str, sql: &str) -> String {
    format!(
        "BEGIN; SET LOCAL search_path TO {}; {sql}\n; COMMIT",
        quote(tenant)
    )
}

fn history(tenant: &str) -> String {
    format!(
        "SELECT version, name, checksum FROM {}.refinery_schema_history ORDER BY version;",
        quote(tenant)
    )
}

/// Sends every piece of work, its messages one after the other, over connections that stay open.
/// Returns how many messages there were.
async fn send(url: &str, connections: usize, work: Vec<Vec<String>>) -> anyhow::Result<usize> {
    let total = work.iter().map(Vec::len).sum();
    let work = Arc::new(work);
    let next = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..connections.min(work.len()) {
        let (url, work, next) = (url.to_owned(), Arc::clone(&work), Arc::clone(&next));
        workers.spawn(async move {
            let client = connect(&url).await?;
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
    Ok(total)
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // its end shows as an error of the next statement
    tokio::spawn(connection);
    Ok(client)
}
