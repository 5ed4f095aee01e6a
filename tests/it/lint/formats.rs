//! What is written for people, for GitHub and for code scanning.

use std::path::Path;

use serde_json::Value;

use super::{LEAVES, offline};
use crate::support::TestFleet;

fn fleet() -> TestFleet {
    offline()
        .migration("V1__view", LEAVES)
        .migration("V2__index", "CREATE INDEX i ON a (id);\n")
}

#[test]
fn people_see_the_line_and_a_caret() {
    let run = fleet().fleet(&["lint", "--all"]);
    run.assert_code(3);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert!(
        lines[0].ends_with("migrations/V1__view.sql:3:24: deny[qualified-name]: public.v is in the schema public, outside of the tenant"),
        "{run}"
    );
    assert_eq!(
        lines[1],
        "  3 │ CREATE OR REPLACE VIEW public.v AS SELECT 1 AS id;"
    );
    assert_eq!(lines[2], "    │                        ^^^^^^^^");
    assert_eq!(lines.last(), Some(&"1 denied, 1 warning in 2 of 2 files"));
}

#[test]
fn github_gets_a_command_for_each_finding() {
    let run = fleet().fleet(&["lint", "--all", "--format", "github"]);
    run.assert_code(3);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{run}");
    assert!(lines[0].starts_with("::error file=migrations/V1__view.sql,line=3,endLine=3,col=24,endColumn=32,title=qualified-name::public.v is in"), "{run}");
    assert!(lines[0].contains("%0Awhy: "), "{run}");
    assert!(
        lines[1].starts_with("::warning file=migrations/V2__index.sql,line=1,"),
        "{run}"
    );
}

/// What GitHub's code scanning asks of a log: version, a driver with rules, and for each result a rule of them, a
/// message, and a region in a file of the repository.
#[test]
fn code_scanning_gets_what_it_needs() {
    let run = fleet().fleet(&["lint", "--all", "--format", "sarif"]);
    run.assert_code(3);
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(log["version"], "2.1.0");
    assert_eq!(log["runs"].as_array().map(Vec::len), Some(1));
    let scan = &log["runs"][0];
    assert_eq!(scan["tool"]["driver"]["name"], "fleet");
    let rules = scan["tool"]["driver"]["rules"].as_array().unwrap();
    for rule in rules {
        for text in ["shortDescription", "fullDescription", "help"] {
            assert!(
                rule[text]["text"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{rule}"
            );
        }
        let level = rule["defaultConfiguration"]["level"].as_str().unwrap();
        assert!(
            ["error", "warning", "note", "none"].contains(&level),
            "{rule}"
        );
    }
    let results = scan["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        assert!(
            result["message"]["text"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let place = &result["locations"][0]["physicalLocation"];
        let uri = place["artifactLocation"]["uri"].as_str().unwrap();
        assert!(
            Path::new(uri).is_relative() && !uri.starts_with("./"),
            "{uri}"
        );
        assert!(place["region"]["startLine"].as_u64() >= Some(1));
        assert!(place["region"]["startColumn"].as_u64() >= Some(1));
    }
    assert_eq!(results[0]["level"], "error");
    let nothing = offline().migration("V1__a", "CREATE TABLE a (id int);\n");
    let run = nothing.fleet(&["lint", "--all", "--format", "sarif"]);
    run.assert_code(0);
    let log: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
}

#[test]
fn the_rules_can_be_listed() {
    let fleet = offline();
    let run = fleet.fleet(&["lint", "--rules"]);
    run.assert_code(0);
    assert!(run.stdout.contains("qualified-name"), "{run}");
    let listed = fleet.json(&["lint", "--rules"], 0);
    assert!(
        listed["rules"]
            .as_array()
            .is_some_and(|rules| rules.len() > 50)
    );
}
