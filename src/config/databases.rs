//! The rules of `databases`.

use std::collections::HashMap;

use super::check::Checker;
use super::file;
use super::{Database, names, values};
use crate::inventory::{Finder, TenantSource};
use crate::tenant::SchemaName;

/// The databases, in the file's order.
pub(super) fn check(
    checker: &mut Checker<'_>,
    databases: Option<Vec<Option<file::Database>>>,
) -> Option<Vec<Database>> {
    let databases = databases.unwrap_or_default();
    if databases.is_empty() {
        checker.refuse(
            "databases",
            "must name at least one database that holds tenants",
        );
        return None;
    }
    let found: Vec<Option<Database>> = databases
        .into_iter()
        .enumerate()
        .map(|(index, file)| database(checker, &format!("databases[{index}]"), file))
        .collect();
    let mut indices = HashMap::new();
    for (index, database) in found.iter().enumerate() {
        let Some(database) = database else { continue };
        if let Some(first) = indices.insert(database.name.clone(), index) {
            checker.refuse(
                &format!("databases[{index}].name"),
                format!("is `{}`, as that of databases[{first}]", database.name),
            );
        }
    }
    found.into_iter().collect()
}

fn database(
    checker: &mut Checker<'_>,
    key: &str,
    file: Option<file::Database>,
) -> Option<Database> {
    let Some(file) = file else {
        checker.refuse(key, "is empty");
        return None;
    };
    let name = checker.needed(&format!("{key}.name"), file.name, names::database_name);
    let url = checker.value(
        &format!("{key}.url"),
        file.url,
        "${DATABASE_URL:-embedded}",
        names::url,
    );
    let max_connections = checker.value(
        &format!("{key}.max_connections"),
        file.max_connections,
        "8",
        values::count,
    );
    let max_index_builds = checker.value(
        &format!("{key}.max_index_builds"),
        file.max_index_builds,
        "1",
        values::count,
    );
    let search_path = checker.items(
        &format!("{key}.search_path"),
        file.search_path.unwrap_or_default(),
        names::shared_schema,
    );
    let source = source(checker, &format!("{key}.tenants"), file.tenants);
    Some(Database {
        name: name?,
        url: url?,
        max_connections: max_connections?,
        max_index_builds: max_index_builds?,
        search_path: search_path?,
        source: source?,
    })
}

fn source(
    checker: &mut Checker<'_>,
    key: &str,
    file: Option<file::Tenants>,
) -> Option<TenantSource> {
    let file = file.unwrap_or_default();
    let create_missing = checker.value(
        &format!("{key}.create_missing"),
        file.create_missing,
        "false",
        values::flag,
    );
    let allow_empty = checker.value(
        &format!("{key}.allow_empty"),
        file.allow_empty,
        "false",
        values::flag,
    );
    let exclude = checker.items(
        &format!("{key}.exclude"),
        file.exclude.unwrap_or_default(),
        names::pattern,
    );
    let finder = match (file.schemas, file.query, file.list) {
        (Some(patterns), None, None) => {
            let key = format!("{key}.schemas");
            if patterns.is_empty() {
                checker.refuse(&key, "holds no pattern, so no tenant could be found");
            }
            checker
                .items(&key, patterns, names::pattern)
                .map(Finder::Schemas)
        }
        (None, Some(query), None) => checker
            .written(&format!("{key}.query"), &query, names::query)
            .map(Finder::Query),
        (None, None, Some(names)) => list(checker, &format!("{key}.list"), names),
        _ => {
            checker.refuse(
                key,
                "must have exactly one of `schemas`, `query` and `list`",
            );
            None
        }
    };
    Some(TenantSource {
        finder: finder?,
        exclude: exclude?,
        create_missing: create_missing?,
        allow_empty: allow_empty?,
    })
}

fn list(checker: &mut Checker<'_>, key: &str, names: Vec<file::Text>) -> Option<Finder> {
    let names = checker.items(key, names, names::schema_name)?;
    let mut indices: HashMap<&SchemaName, usize> = HashMap::new();
    for (index, name) in names.iter().enumerate() {
        if let Some(first) = indices.get(name) {
            checker.refuse(
                &format!("{key}[{index}]"),
                format!("is `{}`, as {key}[{first}]", values::shown(name.as_str())),
            );
        } else {
            indices.insert(name, index);
        }
    }
    let names = names.iter().map(|name| name.as_str().to_owned());
    Some(Finder::List(names.collect()))
}
