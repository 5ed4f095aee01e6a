//! The shape of `fleet.yaml`, as serde reads it. Only the shape: scalars stay the text that was
//! written, because `${VAR:-8}` may stand for a number as well, and because a tenant that is called
//! `no` or `1e3` must not become a boolean or a float. Nothing here has `Debug`: URLs hold secrets.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One value, or an item of a list. None is an empty one.
pub(super) type Text = Option<String>;

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `databases`"
)]
pub(super) struct File {
    pub(super) control: Option<Control>,
    pub(super) databases: Option<Vec<Option<Database>>>,
    pub(super) migrations: Option<Migrations>,
    pub(super) execution: Option<Execution>,
    pub(super) roles: Option<Roles>,
    pub(super) throttle: Option<Throttle>,
    pub(super) rehearsal: Option<Rehearsal>,
    pub(super) rollout: Option<Rollout>,
    pub(super) lint: Option<Lint>,
    pub(super) verify: Option<Verify>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `schema`"
)]
pub(super) struct Control {
    pub(super) schema: Text,
    pub(super) url: Text,
    pub(super) lease: Text,
    pub(super) wait: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `name`, `url` and `tenants`"
)]
pub(super) struct Database {
    pub(super) name: Text,
    pub(super) url: Text,
    pub(super) max_connections: Text,
    pub(super) max_index_builds: Text,
    pub(super) search_path: Option<Vec<Text>>,
    pub(super) tenants: Option<Tenants>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `schemas`, `query` or `list`"
)]
pub(super) struct Tenants {
    pub(super) schemas: Option<Vec<Text>>,
    pub(super) query: Text,
    pub(super) list: Option<Vec<Text>>,
    pub(super) exclude: Option<Vec<Text>>,
    pub(super) create_missing: Text,
    pub(super) allow_empty: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `path`"
)]
pub(super) struct Migrations {
    pub(super) path: Text,
    pub(super) history_table: Text,
    pub(super) history_version: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `concurrency`"
)]
pub(super) struct Execution {
    pub(super) concurrency: Text,
    pub(super) transaction: Text,
    pub(super) isolation: Text,
    pub(super) lock_timeout: Text,
    pub(super) statement_timeout: Text,
    pub(super) index_build_timeout: Text,
    pub(super) reconnect_timeout: Text,
    pub(super) retry: Option<Retry>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `tenant` and `applications`"
)]
pub(super) struct Roles {
    pub(super) tenant: Text,
    pub(super) applications: Option<Vec<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `attempts`, `backoff` and `max_backoff`"
)]
pub(super) struct Retry {
    pub(super) attempts: Text,
    pub(super) backoff: Text,
    pub(super) max_backoff: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `replica_lag`"
)]
pub(super) struct Throttle {
    pub(super) replica_lag: Text,
    pub(super) active_sessions: Text,
    pub(super) lock_waits: Text,
    pub(super) ignored_replicas: Option<Vec<Text>>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `lock_timeout`, `statement_timeout` and `concurrency`"
)]
pub(super) struct Rehearsal {
    pub(super) lock_timeout: Text,
    pub(super) statement_timeout: Text,
    pub(super) concurrency: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `waves`"
)]
pub(super) struct Rollout {
    pub(super) waves: Option<Vec<Option<Wave>>>,
    pub(super) canary: Text,
    pub(super) max_failures: Text,
    pub(super) same_failures: Text,
    pub(super) windows: Option<Vec<Option<WindowRule>>>,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `after`"
)]
pub(super) struct Verify {
    pub(super) grants: Text,
    pub(super) comments: Text,
    pub(super) exclude: Option<Vec<Text>>,
    pub(super) after: Text,
    pub(super) drift: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `count`"
)]
pub(super) struct Wave {
    pub(super) name: Text,
    pub(super) tenants: Option<Vec<Text>>,
    pub(super) labels: Option<BTreeMap<String, Text>>,
    pub(super) count: Text,
    pub(super) random: Text,
    pub(super) concurrency: Text,
    pub(super) soak: Text,
    pub(super) check: Option<Check>,
    pub(super) gate: Text,
    pub(super) max_failures: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `labels` and `window`"
)]
pub(super) struct WindowRule {
    pub(super) tenants: Option<Vec<Text>>,
    pub(super) labels: Option<BTreeMap<String, Text>>,
    pub(super) window: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with `tenant`, `database` or `command`"
)]
pub(super) struct Check {
    pub(super) tenant: Text,
    pub(super) database: Text,
    pub(super) command: Text,
    pub(super) timeout: Text,
}

#[derive(Default, Deserialize)]
#[serde(
    deny_unknown_fields,
    default,
    expecting = "a mapping with keys such as `isolation`"
)]
pub(super) struct Lint {
    pub(super) from: Text,
    pub(super) isolation: Text,
    pub(super) lock_safety: Text,
    pub(super) rules: Option<BTreeMap<String, Text>>,
    pub(super) tenant_column: Text,
}
