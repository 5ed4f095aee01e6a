//! Findings with one cause: one grant that was made 300 times is one thing to read, and to mend.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use super::{Found, Origin, ReachKind};

/// What findings of one cause have in common: who does it to many, or to whom many do it.
type Key<'a> = (&'a str, ReachKind, u8, &'a str, &'a str, &'a str);

/// Sorts findings by cause, the largest first. No cause is empty.
pub fn causes(found: &[Found]) -> Vec<Vec<&Found>> {
    let mut sizes: HashMap<Key<'_>, usize> = HashMap::new();
    for one in found {
        for key in [from_key(one), to_key(one)] {
            *sizes.entry(key).or_default() += 1;
        }
    }
    let mut by_key: BTreeMap<Key<'_>, Vec<&Found>> = BTreeMap::new();
    for one in found {
        let (from, to) = (from_key(one), to_key(one));
        let key = if sizes[&to] > sizes[&from] { to } else { from };
        by_key.entry(key).or_default().push(one);
    }
    let mut causes: Vec<Vec<&Found>> = by_key.into_values().collect();
    causes.sort_by_key(|reaches| Reverse(reaches.len()));
    causes
}

fn from_key((database, reach): &Found) -> Key<'_> {
    let (origin, name, role) = match &reach.from {
        Origin::Everyone => (0, "", ""),
        Origin::Application(role) => (1, "", role.as_str()),
        Origin::Tenants(_, role) => (2, "", role.as_str()),
        Origin::Tenant(tenant, role) => (3, tenant.as_str(), role.as_deref().unwrap_or_default()),
        Origin::Shared(schema) => (4, schema.as_str(), ""),
        Origin::Database => (5, "", ""),
    };
    // a grant reads the same in every tenant, what an object does and the role that owns one name the other one
    let how = match reach.kind {
        ReachKind::Grant | ReachKind::DefaultPrivilege | ReachKind::Role => reach.how.as_str(),
        _ => "",
    };
    (database.as_str(), reach.kind, origin, name, role, how)
}

fn to_key((database, reach): &Found) -> Key<'_> {
    let to = reach.to.as_ref().map_or("", |to| to.as_str());
    (database.as_str(), reach.kind, 9, to, "", &reach.how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reach::Reach;
    use crate::tenant::{DatabaseName, SchemaName};

    fn found(from: Origin, to: &str, kind: ReachKind, how: &str) -> Found {
        let reach = Reach {
            from,
            to: Some(SchemaName::parse(to).unwrap()),
            kind,
            objects: Vec::new(),
            count: 1,
            how: how.to_owned(),
            remedy: None,
        };
        (DatabaseName::new("main"), reach)
    }

    fn tenant(name: &str) -> Origin {
        Origin::Tenant(SchemaName::parse(name).unwrap(), None)
    }

    #[test]
    fn what_one_does_to_many_and_many_do_to_one_is_one_cause_each() {
        use ReachKind::{ForeignKey, Grant, Ownership, View};
        let application = || Origin::Application("app".to_owned());
        let usage = "USAGE granted to PUBLIC";
        let all = [
            found(Origin::Everyone, "a", Grant, usage),
            found(tenant("b"), "a", ForeignKey, "references a.plans"),
            found(Origin::Everyone, "b", Grant, usage),
            found(tenant("c"), "a", ForeignKey, "references a.plans"),
            found(Origin::Everyone, "c", Grant, usage),
            found(tenant("b"), "c", View, "reads c.orders"),
            found(application(), "a", Ownership, "owned by a_owner"),
            found(application(), "b", Ownership, "owned by b_owner"),
        ];
        let sizes: Vec<usize> = causes(&all).iter().map(Vec::len).collect();
        assert_eq!(sizes, [3, 2, 2, 1]);
    }
}
