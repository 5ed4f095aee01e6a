//! The documents of `lint`: fleet's own, and SARIF 2.1.0 for code scanning.

use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use super::Each;
use crate::lint::{Finding, Level, RULES};
use crate::report::{FindingCounts, Looked};
use crate::run::ExitCode;

#[derive(Serialize)]
struct LintDocument<F> {
    exit_code: u8,
    files: usize,
    left_out: usize,
    totals: Totals,
    findings: F,
}

#[derive(Serialize)]
struct Totals {
    denied: usize,
    warnings: usize,
    notes: usize,
}

/// One finding.
#[derive(Serialize)]
struct FindingRow<'a> {
    file: std::borrow::Cow<'a, str>,
    line: Option<u32>,
    column: Option<u32>,
    end_line: Option<u32>,
    end_column: Option<u32>,
    rule: &'a str,
    level: &'a str,
    text: &'a str,
    message: &'a str,
    why: &'a str,
    how: &'a str,
}

impl<'a> FindingRow<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            file: finding.path.to_string_lossy(),
            line: finding.place.map(|place| place.line),
            column: finding.place.map(|place| place.column),
            end_line: finding.end.map(|place| place.line),
            end_column: finding.end.map(|place| place.column),
            rule: finding.rule,
            level: finding.level.as_str(),
            text: &finding.text,
            message: &finding.message,
            why: &finding.why,
            how: &finding.how,
        }
    }
}

/// What `lint` has found.
pub fn lint_document(findings: &[Finding], looked: Looked, exit: ExitCode) -> impl Serialize + '_ {
    let counts = FindingCounts::of(findings);
    LintDocument {
        exit_code: exit.code(),
        files: looked.files,
        left_out: looked.left_out,
        totals: Totals {
            denied: counts.denied,
            warnings: counts.warnings,
            notes: counts.notes,
        },
        findings: finding_rows(findings),
    }
}

/// Findings, a row each.
pub(super) fn finding_rows(findings: &[Finding]) -> impl Serialize + '_ {
    Each::of(findings, FindingRow::of)
}

#[derive(Serialize)]
struct RuleRow {
    rule: &'static str,
    group: &'static str,
    level: &'static str,
    why: &'static str,
    how: &'static str,
}

#[derive(Serialize)]
struct RulesDocument {
    rules: Vec<RuleRow>,
}

/// All rules.
pub fn lint_rules_document() -> impl Serialize {
    let rules = RULES.iter().map(|rule| RuleRow {
        rule: rule.name,
        group: rule.group.as_str(),
        level: rule.level.as_str(),
        why: rule.why,
        how: rule.how,
    });
    RulesDocument {
        rules: rules.collect(),
    }
}

/// The log that code scanning takes.
pub fn lint_sarif(findings: &[Finding]) -> impl Serialize {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            let help = if rule.how.is_empty() {
                rule.why.to_owned()
            } else {
                format!("{}. {}", rule.why, rule.how)
            };
            json!({
                "id": rule.name,
                "shortDescription": { "text": rule.name.replace('-', " ") },
                "fullDescription": { "text": rule.why },
                "help": { "text": help },
                "defaultConfiguration": { "level": sarif_level(rule.level) },
                "properties": { "tags": [rule.group.as_str()] },
            })
        })
        .collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "fleet",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_level(level: Level) -> &'static str {
    match level {
        Level::Deny => "error",
        Level::Warn => "warning",
        Level::Note => "note",
        Level::Off => "none",
    }
}

fn result(finding: &Finding) -> Value {
    let mut physical = json!({ "artifactLocation": { "uri": uri(&finding.path) } });
    if let (Some(place), Some(end)) = (finding.place, finding.end) {
        physical["region"] = json!({
            "startLine": place.line,
            "startColumn": place.column,
            "endLine": end.line,
            "endColumn": end.column,
            "snippet": { "text": finding.line },
        });
    }
    let mut text = finding.message.clone();
    for (label, words) in [("Why", &finding.why), ("How", &finding.how)] {
        if !words.is_empty() {
            text.push_str(". ");
            text.push_str(label);
            text.push_str(": ");
            text.push_str(words);
        }
    }
    json!({
        "ruleId": finding.rule,
        "ruleIndex": RULES.iter().position(|rule| rule.name == finding.rule),
        "level": sarif_level(finding.level),
        "message": { "text": text },
        "locations": [{ "physicalLocation": physical }],
    })
}

/// A path as a relative reference: GitHub joins it to the root of the repository.
fn uri(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let relative = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_owned));
    let path = relative.unwrap_or_else(|| path.to_owned());
    let text = path.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    percent_encoding::utf8_percent_encode(text, UNSAFE).to_string()
}

/// What a path of a URI does not hold as it is.
const UNSAFE: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
