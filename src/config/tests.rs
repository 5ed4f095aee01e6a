//! The config as a whole: defaults, the example, variables, paths.

use std::env::VarError;
use std::path::Path;

use super::*;
use crate::inventory::Finder;

mod refusals;

const MINIMAL: &str = "databases:\n  - name: main\n    tenants:\n      schemas: [\"tenant_*\"]\n";

fn parse_with(text: &str, set: &[(&str, &str)]) -> Result<Config, ConfigError> {
    from_text(Path::new("fleet.yaml"), text, &|name| {
        let found = set.iter().find(|(variable, _)| *variable == name);
        found
            .map(|(_, value)| (*value).to_owned())
            .ok_or(VarError::NotPresent)
    })
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    parse_with(text, &[])
}

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn example() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fleet.example.yaml");
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_example_holds_the_defaults() {
    let example = format!("{:#?}", parse(&example()).unwrap());
    let minimal = format!("{:#?}", parse(MINIMAL).unwrap());
    assert_eq!(example, minimal);
}

#[test]
fn the_defaults_are_the_contract_s() {
    let config = parse(MINIMAL).unwrap();
    assert_eq!(config.control.schema.as_str(), "fleet_control");
    assert_eq!(config.databases[0].url, Url::Embedded);
    assert_eq!(config.migrations.directory, Path::new("migrations/tenant"));
    assert_eq!(config.directory, Path::new("."));
    assert_eq!(config.execution.concurrency, NonZeroUsize::new(8));
    assert_eq!(config.execution.lock_timeout, Duration::from_secs(3));
    assert_eq!(config.execution.statement_timeout, Duration::from_mins(15));
    assert_eq!(config.execution.transaction, TransactionScope::Migration);
    assert_eq!(config.execution.isolation, Isolation::None);
    assert_eq!(config.execution.retry.attempts.get(), 5);
    assert_eq!(config.rollout.max_failures, FailureBudget::Unlimited);
    assert_eq!(config.migrations.history_column, HistoryColumn::Auto);
}

/// Asks the parser itself which keys exist: an unknown key's error lists those of its place.
fn known_keys(wrap: &dyn Fn(&str) -> String, keys: &mut Vec<String>) {
    let Err(ConfigError::UnknownKey { known, .. }) = parse(&wrap("{no_such_key: 1}")) else {
        return;
    };
    for key in known {
        known_keys(&|inner| wrap(&format!("{{{key}: {inner}}}")), keys);
        known_keys(&|inner| wrap(&format!("{{{key}: [{inner}]}}")), keys);
        keys.push(key);
    }
}

#[test]
fn every_key_occurs_in_the_example() {
    let mut keys = Vec::new();
    known_keys(&str::to_owned, &mut keys);
    for key in ["control", "url", "list", "max_backoff", "max_failures"] {
        assert!(keys.iter().any(|k| k == key), "{key} was not asked for");
    }
    let example = example();
    for key in keys {
        let occurs = example.lines().any(|line| {
            let line = line.trim_start_matches([' ', '#', '-']);
            line.starts_with(&format!("{key}:")) || line.contains(&format!(" {key}: "))
        });
        assert!(occurs, "{key} is not in fleet.example.yaml");
    }
}

#[test]
fn variables_stand_for_every_kind_of_value() {
    let text = "\
databases:
  - name: ${NAME}-${REGION:-eu}
    url: postgres://${USER}:${PASSWORD}@h/db
    max_connections: ${CONNECTIONS:-4}
    tenants: { list: [no, 1e3, 0123, \"${TENANT}\"], create_missing: \"${CREATE:-true}\" }
execution:
  statement_timeout: ${TIMEOUT}
rollout:
  max_failures: ${UNSET:-5%}
";
    let set = [
        ("NAME", "shop"),
        ("USER", "u"),
        ("PASSWORD", "hunter2"),
        ("TENANT", "acme"),
        ("TIMEOUT", "0"),
    ];
    let config = parse_with(text, &set).unwrap();
    let database = &config.databases[0];
    assert_eq!(database.name.as_str(), "shop-eu");
    assert_eq!(
        database.url,
        Url::Server("postgres://u:hunter2@h/db".to_owned())
    );
    assert_eq!(database.max_connections.get(), 4);
    assert!(database.source.create_missing);
    let Finder::List(names) = &database.source.finder else {
        panic!("not a list");
    };
    assert_eq!(names, &["no", "1e3", "0123", "acme"]);
    assert_eq!(config.execution.statement_timeout, Duration::ZERO);
    assert_eq!(config.rollout.max_failures, FailureBudget::Percent(5.0));
}

#[test]
fn empty_sections_have_their_defaults() {
    let text =
        format!("{MINIMAL}control:\nmigrations:\nexecution:\n  retry:\nrollout:\n  waves:\n");
    let config = format!("{:?}", parse(&text).unwrap());
    assert_eq!(config, format!("{:?}", parse(MINIMAL).unwrap()));
}

#[test]
fn relative_paths_start_at_the_file() {
    let path = Path::new("deploy/eu/fleet.yaml");
    let text = format!("{MINIMAL}migrations: {{ path: ../sql }}\n");
    let config = from_text(path, &text, &|_| Err(VarError::NotPresent)).unwrap();
    assert_eq!(config.directory, Path::new("deploy/eu"));
    assert_eq!(config.migrations.directory, Path::new("deploy/eu/../sql"));
}

#[test]
fn fleet_s_own_and_shared_schemas_are_reserved() {
    let text = MINIMAL.replace(
        "tenants:",
        "search_path: [extensions, pg_catalog]\n    tenants:",
    );
    let config = parse(&text).unwrap();
    let reserved = config.reserved_schemas(&config.databases[0]);
    let names: Vec<_> = reserved.iter().map(SchemaName::as_str).collect();
    assert_eq!(names, ["fleet_control", "extensions"]);
}
