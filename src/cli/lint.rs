//! `fleet lint`: judges migration files, without touching a database beyond a look at the histories.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::error::{self, Refusal};
use super::fleet::{Fleet, Needed};
use super::linting::{self, Text};
use super::open;
use super::options::{Global, Selection};
use super::output::Output;
use crate::config::{self, Config};
use crate::lint::{self, Finding, Level};
use crate::migration::Version;
use crate::report::{self, FindingCounts, Looked};
use crate::run::ExitCode;
use crate::source::{self, Survey, Surveyed};

/// `fleet lint`.
#[derive(Args, Debug)]
pub(super) struct LintArguments {
    /// Only these files, whatever was applied
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// All files of another folder instead of migrations.path, such as the set of the shared schema
    #[arg(long, value_name = "DIR", conflicts_with = "files")]
    path: Option<PathBuf>,

    /// All files of the set, not only those that no tenant has; connects to no database
    #[arg(long, conflicts_with_all = ["files", "path"])]
    all: bool,

    /// How findings are written, instead of --output
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<LintFormat>,

    /// List the rules, how bad a finding is by default and why, and do nothing else
    #[arg(long, conflicts_with_all = ["files", "path", "all"])]
    rules: bool,
}

/// How findings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LintFormat {
    /// Text for people
    Human,
    /// One JSON document
    Json,
    /// Commands that GitHub Actions shows as annotations
    Github,
    /// A SARIF 2.1.0 log, for code scanning
    Sarif,
}

/// Reads the files, judges them, says what was found.
pub(super) async fn execute(
    global: &Global,
    arguments: &LintArguments,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    if arguments.rules {
        output.result(
            |out, style, _| report::lint_rules(out, style),
            &report::lint_rules_document(),
        )?;
        return Ok(ExitCode::Done);
    }
    let config = config::load(&global.config)?;
    let survey = survey(&config, arguments)?;
    let is_whole_set = arguments.files.is_empty() && arguments.path.is_none();
    let applied = if is_whole_set && !arguments.all {
        applied(global, &config, output).await
    } else {
        HashSet::new()
    };
    let is_judged = |file: &Surveyed| {
        !is_whole_set
            || file
                .version
                .is_none_or(|version| version >= config.lint.from && !applied.contains(&version))
    };
    let findings = findings(&survey, &config, is_judged).await?;
    let judged = survey.files.iter().filter(|file| is_judged(file)).count();
    let looked = Looked {
        files: judged + survey.unread().len(),
        left_out: survey.files.len() - judged,
    };
    let exit = if FindingCounts::of(&findings).denied > 0 {
        ExitCode::Refused
    } else {
        ExitCode::Done
    };
    show(&findings, looked, exit, arguments.format, output)?;
    Ok(exit)
}

fn survey(config: &Config, arguments: &LintArguments) -> anyhow::Result<Survey> {
    if arguments.files.is_empty() {
        let directory = arguments.path.as_deref();
        if let Some(missing) = directory.filter(|directory| !directory.is_dir()) {
            return Err(Refusal::NoSuchFile(missing.display().to_string()).into());
        }
        let directory = directory.unwrap_or(&config.migrations.directory);
        return Ok(source::survey(directory)?);
    }
    let missing = arguments.files.iter().find(|file| !file.is_file());
    if let Some(missing) = missing {
        return Err(Refusal::NoSuchFile(missing.display().to_string()).into());
    }
    Ok(source::survey_files(&arguments.files))
}

/// The versions that some tenant has. Where that cannot be found out, all files are judged.
async fn applied(global: &Global, config: &Config, output: &Output) -> HashSet<Version> {
    let is_unborn = open::needs_embedded(config) && !open::embedded_directory(config).exists();
    if is_unborn {
        return HashSet::new();
    }
    let looked = async {
        let selection = Selection::default();
        let fleet = Fleet::open(global, Needed::Glance(&selection), output).await?;
        let applied = async {
            let tenants = fleet.tenants(&selection).await?;
            linting::applied_anywhere(&fleet, &tenants).await
        };
        let applied = applied.await;
        fleet.close().await?;
        applied
    };
    match looked.await {
        Ok(applied) => applied,
        Err(failed) => {
            output.notice(&format!(
                "which files are applied is not known, so all are judged: {} (--all does not ask)",
                error::message(&failed)
            ));
            HashSet::new()
        }
    }
}

async fn findings(
    survey: &Survey,
    config: &Config,
    is_judged: impl Fn(&Surveyed) -> bool,
) -> anyhow::Result<Vec<Finding>> {
    let texts: Vec<Text> = survey
        .files
        .iter()
        .map(|file| Text {
            path: file.path.clone(),
            body: file.text.clone(),
            in_transaction: file.in_transaction,
            is_judged: is_judged(file),
        })
        .collect();
    let mut findings = linting::aside(texts, linting::terms(config)).await?;
    // what nobody can run, the linter need not be able to read
    let is_refused = |path: &Path| survey.problems.iter().any(|problem| problem.path == path);
    findings.retain(|finding| finding.level != Level::Note || !is_refused(&finding.path));
    let text_of = |path: &Path| {
        let mut files = survey.files.iter();
        files.find(|file| file.path == path)
    };
    for problem in &survey.problems {
        let file = text_of(&problem.path);
        // a file that was applied as it is cannot be changed any more; migrate says so itself
        let text = file.map(|file| file.text.as_str());
        let said = (problem.place, &*problem.problem, &*problem.hint);
        findings.push(lint::refused(&problem.path, text, said));
    }
    let place = |finding: &Finding| finding.place.map(|place| (place.line, place.column));
    findings.sort_by(|a, b| (&a.path, place(a)).cmp(&(&b.path, place(b))));
    Ok(findings)
}

fn show(
    findings: &[Finding],
    looked: Looked,
    exit: ExitCode,
    format: Option<LintFormat>,
    output: &Output,
) -> anyhow::Result<()> {
    match format {
        Some(LintFormat::Github) => {
            Ok(report::to_stdout(|out| report::lint_github(out, findings))?)
        }
        Some(LintFormat::Sarif) => {
            let log = report::lint_sarif(findings);
            Ok(report::to_stdout(|out| report::write_document(out, &log))?)
        }
        Some(LintFormat::Human | LintFormat::Json) | None => {
            let mut output = output.clone();
            match format {
                Some(LintFormat::Human) => output.format = report::Format::Human,
                Some(LintFormat::Json) => output.format = report::Format::Json,
                _ => {}
            }
            output.result(
                |out, style, verbosity| report::lint(out, findings, looked, style, verbosity),
                &report::lint_document(findings, looked, exit),
            )
        }
    }
}
