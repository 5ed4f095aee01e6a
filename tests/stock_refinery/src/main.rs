//! refinery as it comes: `stock-refinery URL SCHEMA DIRECTORY` migrates one schema, prints what it
//! applied and exits with 1 where it refuses.

use std::error::Error;
use std::process::ExitCode;

use tokio_postgres::{Config, NoTls};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, schema, directory] = &arguments[..] else {
        return Err("usage: stock-refinery URL SCHEMA DIRECTORY".into());
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(migrate(url, schema, directory))
}

async fn migrate(url: &str, schema: &str, directory: &str) -> Result<(), Box<dyn Error>> {
    let mut config: Config = url.parse()?;
    config.options(format!("-c search_path={schema}"));
    let (mut client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    let migrations = refinery::load_sql_migrations(directory)?;
    let report = refinery::Runner::new(&migrations)
        .run_async(&mut client)
        .await?;
    for migration in report.applied_migrations() {
        println!("{migration}");
    }
    Ok(())
}
