//! Checks the names that a registry query or a list gave: every problem is found, then all is refused.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{NameFault, TenantProblem, TenantSource};
use crate::tenant::{
    DatabaseName, InvalidSchemaName, Labels, Presence, SchemaName, Tenant, TenantId,
};

/// How many names of one kind of problem are shown; a registry of 100,000 rows can be wrong in each.
const SHOWN: usize = 20;

/// How much of one name is shown: a wrong column can hold whole documents.
const SHOWN_CHARS: usize = 80;

/// A name as it was given, before any check.
#[derive(Clone, Debug)]
pub(super) struct ListedTenant {
    /// None is SQL's NULL.
    pub(super) name: Option<String>,
    /// Further columns.
    pub(super) labels: Arc<Labels>,
}

impl ListedTenant {
    /// A name of a list in the config.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: Some(name.to_owned()),
            labels: Arc::default(),
        }
    }
}

#[derive(Default)]
struct Problems(BTreeMap<NameFault, TenantProblem>);

impl Problems {
    fn add(&mut self, fault: NameFault, shown: impl FnOnce() -> String) {
        let problem = self.0.entry(fault).or_insert_with(|| TenantProblem {
            fault,
            count: 0,
            shown: Vec::new(),
        });
        problem.count += 1;
        if problem.shown.len() < SHOWN {
            problem.shown.push(shown());
        }
    }
}

/// Makes tenants of the names, sorted by name; or says all that is wrong with them. Excluded names
/// are left out first, so that `exclude` can set a bad row of a registry aside on purpose.
pub(super) fn check(
    listed: Vec<ListedTenant>,
    database: &DatabaseName,
    source: &TenantSource,
    reserved: &[SchemaName],
    present: &HashSet<SchemaName>,
) -> Result<Vec<Tenant>, Vec<TenantProblem>> {
    let mut problems = Problems::default();
    let mut times: HashMap<SchemaName, usize> = HashMap::with_capacity(listed.len());
    let mut tenants = Vec::with_capacity(listed.len());
    for (index, ListedTenant { name, labels }) in listed.into_iter().enumerate() {
        let row = || format!("row {}", index + 1);
        let Some(name) = name else {
            problems.add(NameFault::Null, row);
            continue;
        };
        if source.exclude.iter().any(|p| p.matches_schema(&name)) {
            continue;
        }
        let schema = match SchemaName::parse(&name) {
            Ok(schema) => schema,
            Err(InvalidSchemaName::Empty) => {
                problems.add(NameFault::Empty, row);
                continue;
            }
            Err(invalid) => {
                problems.add(NameFault::from(&invalid), || show(&name));
                continue;
            }
        };
        let given = times.entry(schema.clone()).or_default();
        *given += 1;
        match given {
            1 if reserved.contains(&schema) => {
                problems.add(NameFault::NotATenant, || show(&name));
            }
            1 => tenants.push(tenant(database, schema, labels, source, present)),
            2 => problems.add(NameFault::Duplicate, || show(&name)),
            _ => {}
        }
    }
    if !problems.0.is_empty() {
        return Err(problems.0.into_values().collect());
    }
    tenants.sort_unstable_by(|a, b| a.id.schema.cmp(&b.id.schema));
    Ok(tenants)
}

fn tenant(
    database: &DatabaseName,
    schema: SchemaName,
    labels: Arc<Labels>,
    source: &TenantSource,
    present: &HashSet<SchemaName>,
) -> Tenant {
    let presence = if present.contains(&schema) {
        Presence::Present
    } else if source.create_missing {
        Presence::ToCreate
    } else {
        Presence::Absent
    };
    Tenant {
        id: TenantId {
            database: database.clone(),
            schema,
        },
        labels,
        presence,
    }
}

fn show(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}…", &name[..end]),
        None => format!("{name:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Finder;
    use super::*;
    use crate::tenant::TenantPattern;

    fn source(exclude: &[&str], create_missing: bool) -> TenantSource {
        TenantSource {
            finder: Finder::List(Vec::new()),
            exclude: exclude
                .iter()
                .map(|text| TenantPattern::parse(text).unwrap())
                .collect(),
            create_missing,
            allow_empty: false,
        }
    }

    fn check_names(
        names: &[Option<&str>],
        source: &TenantSource,
    ) -> Result<Vec<Tenant>, Vec<TenantProblem>> {
        let listed = names.iter().map(|name| ListedTenant {
            name: name.map(str::to_owned),
            labels: Arc::default(),
        });
        let schema = |name| SchemaName::parse(name).unwrap();
        check(
            listed.collect(),
            &DatabaseName::new("main"),
            source,
            &[schema("fleet_control")],
            &HashSet::from([schema("acme")]),
        )
    }

    #[test]
    fn every_bad_name_is_found_at_once_and_nothing_is_used() {
        let long = "x".repeat(64);
        let names = [
            None,
            Some("acme"),
            Some(""),
            Some(long.as_str()),
            Some("pg_temp_1"),
            Some("information_schema"),
            Some("$user"),
            Some("a\0b"),
            Some("fleet_control"),
            Some("fleet_control"),
            Some("acme"),
            Some("acme"),
            None,
        ];
        let problems = check_names(&names, &source(&[], false)).unwrap_err();
        let counts: Vec<_> = problems.iter().map(|p| (p.fault, p.count)).collect();
        assert_eq!(
            counts,
            [
                (NameFault::Null, 2),
                (NameFault::Empty, 1),
                (NameFault::TooLong, 1),
                (NameFault::Reserved, 2),
                (NameFault::DollarUser, 1),
                (NameFault::Nul, 1),
                (NameFault::NotATenant, 1),
                (NameFault::Duplicate, 2),
            ]
        );
        assert_eq!(problems[0].to_string(), "2 NULL: row 1, row 13");
        assert_eq!(
            problems[7].to_string(),
            "2 given more than once: \"fleet_control\", \"acme\""
        );
    }

    #[test]
    fn presence_follows_the_schemas_and_the_result_is_sorted() {
        let presences = |create| -> Vec<(String, Presence)> {
            let names = [Some("globex"), Some("acme"), Some("pg_out")];
            let tenants = check_names(&names, &source(&["pg_*"], create)).unwrap();
            let pairs = tenants
                .iter()
                .map(|t| (t.id.schema.to_string(), t.presence));
            pairs.collect()
        };
        let acme = ("acme".to_owned(), Presence::Present);
        let globex = |presence| ("globex".to_owned(), presence);
        assert_eq!(presences(false), [acme.clone(), globex(Presence::Absent)]);
        assert_eq!(presences(true), [acme, globex(Presence::ToCreate)]);
    }

    #[test]
    fn a_hundred_thousand_bad_rows_show_twenty() {
        let names: Vec<String> = (0..100_000).map(|n| format!("pg_{n}")).collect();
        let names: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
        let problems = check_names(&names, &source(&[], false)).unwrap_err();
        assert_eq!((problems[0].count, problems[0].shown.len()), (100_000, 20));
        assert!(problems[0].to_string().ends_with("and 99980 more"));
    }
}
