//! `fleet verify`: proof that tenants are what they should be.

use clap::Args;

use super::isolation;
use super::options::{Global, Selection};
use super::output::Output;
use crate::run::ExitCode;

/// `fleet verify`.
#[derive(Args, Debug)]
pub(super) struct VerifyArguments {
    /// Look for what of one tenant reaches another: grants, default privileges, views, foreign keys, triggers,
    /// functions, policies and more
    #[arg(long, required = true)]
    pub(super) isolation: bool,

    /// Which tenants.
    #[command(flatten)]
    pub(super) selection: Selection,
}

/// Looks, and says what was found.
pub(super) async fn execute(
    global: &Global,
    arguments: &VerifyArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    isolation::execute(global, &arguments.selection, output).await
}
