//! The promises that hold after every fault, whatever it was. A test names the fault, this the damage.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::database::TestDatabase;
use super::super::documents::public_objects;
use super::super::wait::comes_within;
use super::shape::{Golden, schemas_of, shape};
use super::{ADVISORY_LOCKS, applied};

/// How long backends and locks may outlive their fleet.
const GRACE: Duration = Duration::from_secs(5);

/// What the database tells of a fault, at once and of all tenants:
///
/// * I1 a migration ran once where the history has its row, and never where it has not;
/// * I2 the history is a prefix of the set;
/// * I3 no index is invalid;
/// * I4 each tenant has the shape of the golden one at its version;
/// * I5 there is nothing in `public`, and no schema, that an undisturbed run does not leave either;
/// * I7 no backend of fleet and no advisory lock outlives it by more than five seconds.
#[track_caller]
pub(crate) fn assert_invariants(db: &TestDatabase, schemas: &[String], golden: &Golden) {
    let mut broken = left_behind(db);
    broken.extend(histories(db, schemas, golden));
    broken.extend(invalid_indexes(db));
    broken.extend(strangers(db, schemas, golden));
    assert!(
        broken.is_empty(),
        "{} invariants are broken:\n{}",
        broken.len(),
        broken[..broken.len().min(40)].join("\n")
    );
}

fn histories(db: &TestDatabase, schemas: &[String], golden: &Golden) -> Vec<String> {
    let mut broken = Vec::new();
    for (schema, tenant) in applied(db, schemas) {
        let (ran, history) = (&tenant.probe, &tenant.history);
        if ran != history {
            broken.push(format!("I1 {schema}: ran {ran:?}, history {history:?}"));
        }
        if !golden.versions.starts_with(history) {
            let set = &golden.versions;
            broken.push(format!(
                "I2 {schema}: history {history:?} of the set {set:?}"
            ));
            continue;
        }
        let (is, should) = (shape(db, &schema), golden.after(history.len()));
        if is != should {
            let [is, should]: [BTreeSet<&String>; 2] =
                [is.iter().collect(), should.iter().collect()];
            broken.push(format!(
                "I4 {schema} after {history:?}: has {:?}, lacks {:?}",
                is.difference(&should).collect::<Vec<_>>(),
                should.difference(&is).collect::<Vec<_>>()
            ));
        }
    }
    broken
}

fn invalid_indexes(db: &TestDatabase) -> impl Iterator<Item = String> {
    db.column::<String>(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_index i
         JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid ORDER BY 1",
    )
    .into_iter()
    .map(|index| format!("I3 {index} is invalid"))
}

fn strangers(db: &TestDatabase, schemas: &[String], golden: &Golden) -> Vec<String> {
    let mut broken = Vec::new();
    let unknown: Vec<String> = schemas_of(db)
        .into_iter()
        .filter(|schema| !schemas.contains(schema) && !golden.other_schemas.contains(schema))
        .collect();
    if !unknown.is_empty() {
        broken.push(format!("I5 schemas that nobody made: {unknown:?}"));
    }
    let mut public = public_objects(db);
    public.retain(|object| !golden.public.contains(object));
    if !public.is_empty() {
        broken.push(format!("I5 in public: {public:?}"));
    }
    broken
}

fn left_behind(db: &TestDatabase) -> Vec<String> {
    let (mut backends, mut locks) = (0, 0);
    let is_clean = comes_within(GRACE, || {
        backends = db.fleet_backends();
        locks = db.query_one(ADVISORY_LOCKS);
        (backends, locks) == (0, 0)
    });
    if is_clean {
        return Vec::new();
    }
    vec![format!(
        "I7 {backends} backends of fleet and {locks} advisory locks are left"
    )]
}
