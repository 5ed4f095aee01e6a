//! `fleet embedded`: the private local server.

use anyhow::Context;
use serde::Serialize;

use super::error::Refusal;
use super::open::{embedded_directory, needs_embedded};
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
    let answer = tokio::task::spawn_blocking(move || act(&EmbeddedServer::new(&directory), action))
        .await
        .context("the embedded server")??;
    let (url, text) = match answer {
        Answer::Kept(url) => {
            let text = format!("Embedded server runs until fleet embedded stop: {url}");
            (Some(url), text)
        }
        Answer::Url(url) => (Some(url.clone()), url),
        Answer::Stopped => (None, "Embedded server stopped".to_owned()),
        Answer::WasNotRunning => (None, "Embedded server was not running".to_owned()),
    };
    let document = Server {
        url: url.as_deref(),
        running: url.is_some(),
    };
    output.result(|out, _, _| writeln!(out, "{text}"), &document)?;
    Ok(ExitCode::Done)
}

enum Answer {
    Kept(String),
    Url(String),
    Stopped,
    WasNotRunning,
}

fn act(server: &EmbeddedServer, action: EmbeddedAction) -> anyhow::Result<Answer> {
    Ok(match action {
        EmbeddedAction::Start => Answer::Kept(server.start()?),
        EmbeddedAction::Stop if server.stop()? => Answer::Stopped,
        EmbeddedAction::Stop => Answer::WasNotRunning,
        EmbeddedAction::Url => Answer::Url(server.running_url().ok_or(Refusal::NotRunning)?),
    })
}
