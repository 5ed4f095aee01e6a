//! `fleet tenants`: what the config finds.

use super::fleet::{Fleet, Needed};
use super::options::{Global, TenantsArguments};
use super::output::Output;
use crate::report;
use crate::run::ExitCode;

/// Finds and lists them.
pub(super) async fn execute(
    global: &Global,
    arguments: &TenantsArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let fleet = Fleet::open(global, Needed::Tenants(&arguments.selection), output).await?;
    let found = fleet.tenants(&arguments.selection).await;
    fleet.close().await?;
    let tenants = found?.selected;
    output.result(
        |out, style, _| report::tenants(out, &tenants, style),
        &report::tenants_document(&tenants),
    )?;
    Ok(ExitCode::Done)
}
