//! What errors say, and what they must not.

use super::*;

#[test]
fn an_unknown_key_names_the_nearest_with_its_line() {
    let text = format!("{MINIMAL}execution:\n  concurency: 8\n");
    assert_eq!(
        error(&text),
        "fleet.yaml:6: unknown key `execution.concurency`; did you mean `concurrency`?"
    );
    assert_eq!(
        error("databses: []\n"),
        "fleet.yaml:1: unknown key `databses`; did you mean `databases`?"
    );
    assert_eq!(
        error("databases:\n- name: a\n  tenants: {lists: [a]}\n"),
        "fleet.yaml:3: unknown key `databases[0].tenants.lists`; did you mean `list`?"
    );
    assert_eq!(
        error("x: 1\n"),
        "fleet.yaml:1: unknown key `x`; known here: control, databases, migrations, execution, roles, throttle, rehearsal, rollout, lint, verify"
    );
}

#[test]
fn what_is_no_mapping_says_so_with_its_line() {
    let cases = [
        (
            "",
            "fleet.yaml: the file is empty; fleet.example.yaml shows what belongs into it",
        ),
        (
            "# nothing\n",
            "fleet.yaml: the file is empty; fleet.example.yaml shows what belongs into it",
        ),
        (
            "- a\n",
            "fleet.yaml:1: the file is a list and must be a mapping with keys such as `databases`",
        ),
        (
            "hello\n",
            "fleet.yaml:1: the file is a single value and must be a mapping with keys such as `databases`",
        ),
        (
            "control:\n\tschema: a\n",
            "fleet.yaml:2: a tab in front of the line; YAML is indented with spaces",
        ),
        (
            "control: {schema: a}\nmigrations:\n  path: a\n  path: b\n",
            "fleet.yaml:4: the key `migrations.path` is there twice",
        ),
        (
            "control: {}\ncontrol: {}\n",
            "fleet.yaml:2: the key `control` is there twice",
        ),
        (
            "databases:\n  name: main\n",
            "fleet.yaml:2: `databases` is a mapping and must be a list",
        ),
        (
            "execution:\n  concurrency: [8]\n",
            "fleet.yaml:2: `execution.concurrency` is a list and must be a single value",
        ),
        (
            "databases: []\nrollout: 5\n",
            "fleet.yaml:2: `rollout` is a single value and must be a mapping with keys such as `waves`",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(error(text), expected, "{text}");
    }
    let two = error("control: {}\n---\ncontrol: {}\n");
    assert!(two.starts_with("fleet.yaml: not valid YAML:"), "{two}");
    let tagged = error("control: { url: !!null hunter2 }\n");
    assert_eq!(
        tagged,
        "fleet.yaml:1: `control` holds a YAML tag that its value does not fit"
    );
    assert_eq!(
        error("control: {}\nexecution: {transaction: ${SCOPE}}\n"),
        "fleet.yaml:2: not valid YAML: did not find expected ',' or '}', while parsing a flow mapping at line 2 column 12; inside of [ ] and { } a `${…}` needs quotes"
    );
}

#[test]
fn all_problems_come_at_once_with_their_lines() {
    let text = "\
control: { schema: pg_fleet }
databases:
  - name: a/b
    url: ${UNSET}
    max_connections: 0
    search_path: [$user, ~]
    tenants: { schemas: ['a['], list: [a] }
  - name: main
    tenants: { list: [acme, '', acme] }
  - name: main
    url: ''
  - name: main
    tenants: { query: ' ' }
  - name: main
    tenants: { schemas: [], exclude: ['['] }
execution:
  lock_timeout: 30
  retry: { attempts: 0, backoff: 1m }
rollout:
  waves: [{ count: some }]
  max_failures: few
";
    let Err(ConfigError::Invalid { problems, .. }) = parse(text) else {
        panic!("not refused");
    };
    let found: Vec<_> = problems
        .iter()
        .map(|p| (p.key.as_str(), p.line.unwrap_or_default()))
        .collect();
    assert_eq!(
        found,
        [
            ("control.schema", 1),
            ("databases[0].name", 3),
            ("databases[0].url", 4),
            ("databases[0].max_connections", 5),
            ("databases[0].search_path[0]", 6),
            ("databases[0].search_path[1]", 6),
            ("databases[0].tenants", 7),
            ("databases[1].tenants.list[1]", 9),
            ("databases[2].url", 11),
            ("databases[2].tenants", 10),
            ("databases[3].tenants.query", 13),
            ("databases[4].tenants.exclude[0]", 15),
            ("databases[4].tenants.schemas", 15),
            ("execution.lock_timeout", 17),
            ("execution.retry.attempts", 18),
            ("execution.retry.max_backoff", 18),
            ("rollout.waves[0].count", 20),
            ("rollout.max_failures", 21),
        ]
    );
    let shown = error(text);
    assert!(shown.contains("fleet.yaml:17: `execution.lock_timeout` needs a unit: `30s`"));
    assert!(shown.contains("`databases[0].url` needs the environment variable UNSET"));
    assert!(shown.contains("`rollout.waves[0].count` must be a number of tenants or a percentage"));
}

#[test]
fn a_rule_that_is_none_is_told_the_nearest() {
    let with = |lint: &str| error(&format!("{MINIMAL}lint: {lint}\n"));
    assert_eq!(
        with("{ rules: { qualified-names: warn } }"),
        "fleet.yaml:5: `lint.rules` hold a name that is wrong: there is no rule qualified-names; did you mean qualified-name?"
    );
    assert_eq!(
        with("{ rules: { extension: allow }, isolation: strict, from: V3 }"),
        "fleet.yaml:5: `lint.from` must be the version of a migration file, not `V3`\n\
         fleet.yaml:5: `lint.isolation` must be `deny`, `warn` or `off`, not `strict`\n\
         fleet.yaml:5: `lint.rules.extension` must be `deny`, `warn` or `off`, not `allow`"
    );
    assert!(with("{ rules: { refused: off } }").contains("which no config changes"));
}

#[test]
fn names_are_given_once() {
    let text = "databases:\n- {name: a, tenants: {list: [x, y, x]}}\n";
    assert_eq!(
        error(text),
        "fleet.yaml:2: `databases[0].tenants.list[2]` is `x`, as databases[0].tenants.list[0]"
    );
    let text = "databases:\n- {name: a, tenants: {list: []}}\n- {name: a, tenants: {list: []}}\n";
    assert_eq!(
        error(text),
        "fleet.yaml:3: `databases[1].name` is `a`, as that of databases[0]"
    );
    assert_eq!(
        error("control: {}\n"),
        "fleet.yaml: `databases` must name at least one database that holds tenants"
    );
}

#[test]
fn a_missing_file_says_what_to_do() {
    let problem = load(Path::new("no/such/fleet.yaml")).unwrap_err();
    assert_eq!(
        problem.to_string(),
        "there is no config file no/such/fleet.yaml: copy fleet.example.yaml to it, or name another with -c"
    );
}

#[test]
fn no_error_and_no_debug_shows_a_password() {
    let url = "postgres://u:hunter2@h/db";
    let pairs = "host=h password=hunter2";
    let mut texts: Vec<String> = Vec::new();
    for secret in [url, pairs] {
        // At every key of the example that has a value, instead of a section, as a key, as an item.
        for line in example().lines() {
            if let Some((key, _)) = line.split_once(": ").or(line.split_once(":\n")) {
                texts.push(example().replace(line, &format!("{key}: \"{secret}\"")));
            }
        }
        texts.push(secret.to_owned());
        texts.push(format!("\"{secret}\": 1\n"));
        texts.push(format!("control: \"{secret}\"\n"));
        texts.push(format!("control: {{ \"{secret}\": 1 }}\n"));
        texts.push(format!("databases: \"{secret}\"\n"));
        texts.push(format!("databases: [\"{secret}\"]\n"));
        texts.push(format!("databases: [\"{secret}\"\n"));
        texts.push(format!("databases: [{{url: {{a: \"{secret}\"}}}}]\n"));
        texts.push(format!("control: {{url: \"${{A:-{secret}\"}}\n"));
        texts.push(format!("control: {{url: \"${{{secret}}}\"}}\n"));
        texts.push(format!("control: {{url: *{secret}}}\n"));
        texts.push(format!("control: {{url: !{secret} a}}\n"));
        texts.push(format!(
            "control: {{schema: \"{}{secret}\"}}\n",
            "x".repeat(60)
        ));
        texts.push(MINIMAL.replace("tenant_*", &format!("[{secret}")));
        texts.push(format!("control: {{url: \"{secret}\"}}\n{MINIMAL}"));
    }
    for text in texts {
        let shown = match parse(&text) {
            Ok(config) => format!("{:?} {:?}", config.control.url, config.databases[0].url),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains("hunter2"), "{shown}\n---\n{text}");
    }
}
