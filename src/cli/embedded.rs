//! `fleet embedded`: the private local server.

use std::io::{self, Write};

use anyhow::Context;
use serde::Serialize;

use super::error::Refusal;
use super::fleet::{embedded_directory, needs_embedded};
use super::options::{EmbeddedAction, EmbeddedArguments, Global};
use super::output::Output;
use crate::config;
use crate::pg::EmbeddedServer;
use crate::run::ExitCode;

#[derive(Serialize)]
struct Server<'a> {
    url: Option<&'a str>,
    running: bool,
}

/// Starts, stops or names the server.
pub(super) async fn execute(
    global: &Global,
    arguments: &EmbeddedArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let config = config::load(&global.config)?;
    if !needs_embedded(&config) {
        return Err(Refusal::NotEmbedded {
            config: config.path.display().to_string(),
        }
        .into());
    }
    let directory = embedded_directory(&config);
    let action = arguments.action;
    let url = tokio::task::spawn_blocking(move || act(&EmbeddedServer::new(&directory), action))
        .await
        .context("the embedded server")??;
    let document = Server {
        url: url.as_deref(),
        running: action != EmbeddedAction::Stop,
    };
    output.result(
        |out, _, _| write(out, action, url.as_deref().unwrap_or_default()),
        &document,
    )?;
    Ok(ExitCode::Done)
}

fn act(server: &EmbeddedServer, action: EmbeddedAction) -> anyhow::Result<Option<String>> {
    match action {
        EmbeddedAction::Start => Ok(Some(server.start()?)),
        EmbeddedAction::Stop => {
            server.stop()?;
            Ok(None)
        }
        EmbeddedAction::Url => Ok(Some(server.running_url().ok_or(Refusal::NotRunning)?)),
    }
}

fn write(out: &mut dyn Write, action: EmbeddedAction, url: &str) -> io::Result<()> {
    match action {
        EmbeddedAction::Start => {
            writeln!(out, "Embedded server runs until fleet embedded stop: {url}")
        }
        EmbeddedAction::Stop => writeln!(out, "Embedded server stopped"),
        EmbeddedAction::Url => writeln!(out, "{url}"),
    }
}
