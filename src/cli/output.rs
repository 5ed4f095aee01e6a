//! Where results, notices and errors of the commands go.

use std::io::{self, IsTerminal as _, Write};
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;

use super::error;
use super::linting::LintRefused;
use super::options::{Color, DEFAULT_CONFIG, Global, OutputFormat, Selection};
use crate::report::{self, ColorChoice, Format, Invocation, Screen, Style, Verbosity};
use crate::rollout::Operator;
use crate::run;

/// How this process talks.
#[derive(Clone)]
pub(super) struct Output {
    /// What `--output` asks for.
    pub(super) format: Format,
    /// How much is said.
    pub(super) verbosity: Verbosity,
    /// What the streams can show.
    pub(super) screen: Screen,
}

impl Output {
    /// As the command line and the streams say.
    pub(super) fn new(global: &Global) -> Self {
        let color = match global.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        Self {
            format: match global.output {
                OutputFormat::Human => Format::Human,
                OutputFormat::Json => Format::Json,
                OutputFormat::Ndjson => Format::Ndjson,
            },
            verbosity: match (global.quiet, global.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, true) => Verbosity::Verbose,
                (false, false) => Verbosity::Normal,
            },
            screen: Screen::detect(color, invocation(global)),
        }
    }

    /// The same, for a command over selected tenants: what it proposes is about the same ones.
    pub(super) fn selecting(&self, selection: &Selection) -> Self {
        let mut output = self.clone();
        if let Some(typed) = selection.typed() {
            let style = &mut output.screen.stdout;
            style.invocation = style.invocation.with_selection(&typed);
        }
        output
    }

    /// Writes a result: text for people, or the document in one of the machine formats.
    pub(super) fn result<D: Serialize>(
        &self,
        text: impl FnOnce(&mut dyn Write, Style, Verbosity) -> io::Result<()>,
        document: &D,
    ) -> anyhow::Result<()> {
        let written = report::to_stdout(|out| match self.format {
            Format::Human => text(out, self.screen.stdout, self.verbosity),
            Format::Json | Format::Ndjson => report::write_document(out, document),
        });
        Ok(written?)
    }

    /// Whether somebody is there who can be waited for.
    pub(super) fn operator(&self) -> Operator {
        if self.screen.live && io::stdin().is_terminal() {
            Operator::Present
        } else {
            Operator::Absent
        }
    }

    /// Asks whoever is there; None where nobody is, or nothing is answered.
    pub(super) async fn ask(&self, question: &str) -> Option<String> {
        if self.operator() == Operator::Absent {
            return None;
        }
        let _ = write!(io::stderr(), "{question}");
        let read = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = read.await.ok()?.ok()?.trim().to_owned();
        (!answer.is_empty()).then_some(answer)
    }

    /// Something worth knowing that is no result.
    pub(super) fn notice(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            to_stderr(&format!("note: {text}"));
        }
    }

    /// What the lint has found in files that are about to be run.
    pub(super) fn lint(&self, text: &str) {
        if self.verbosity != Verbosity::Quiet {
            to_stderr(&format!("lint: {text}"));
        }
    }

    /// Says on stderr what went wrong; for an error after a run, whose document is written already.
    pub(super) fn complain(
        &self,
        failed: &anyhow::Error,
    ) -> (run::ExitCode, String, Option<String>) {
        let message = error::message(failed);
        let hint = error::hint(failed);
        let label = if self.screen.stderr.color {
            "\u{1b}[31merror:\u{1b}[0m"
        } else {
            "error:"
        };
        to_stderr(&format!("{label} {message}"));
        if let Some(hint) = &hint {
            to_stderr(&format!("hint: {hint}"));
        }
        (error::exit_code(failed), message, hint)
    }

    /// An error ends the command: one message, what can be done about it, and with a machine format
    /// a document on stdout that says so too.
    pub(super) fn fail(&self, failed: &anyhow::Error) -> ExitCode {
        let (code, message, hint) = self.complain(failed);
        if self.format != Format::Human {
            let complaint = report::Complaint {
                error: &message,
                hint: hint.as_deref(),
            };
            // the error is on stderr already; a closed stdout changes nothing about it
            let _ = report::to_stdout(|out| {
                if let Some(LintRefused { findings }) = failed.downcast_ref() {
                    let document = report::refused_by_lint(complaint, findings);
                    return report::write_document(out, &document);
                }
                let outcome = error::outcome(code);
                let document = report::runless_document(outcome, code, Some(complaint));
                report::write_document(out, &document)
            });
        }
        ExitCode::from(code.code())
    }
}

/// The document of a command line that does not parse.
pub(super) fn write_usage_document(message: &str) {
    let complaint = report::Complaint {
        error: message.trim(),
        hint: None,
    };
    let exit = run::ExitCode::Usage;
    let document = report::runless_document(error::outcome(exit), exit, Some(complaint));
    // the error is on stderr already
    let _ = report::to_stdout(|out| report::write_document(out, &document));
}

/// The default config needs no naming.
fn invocation(global: &Global) -> Invocation {
    if global.config == Path::new(DEFAULT_CONFIG) {
        Invocation::NONE
    } else {
        Invocation::with_config(&global.config.display().to_string())
    }
}

/// A closed stderr is nobody's problem.
fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
