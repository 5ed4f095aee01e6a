//! Planning a hundred thousand tenants in memory: what deciding costs, without any server.
//!
//! A plan of that size is made within the start of every command, so it has to cost next to nothing beside
//! reading the histories, and must not grow faster than the tenants do.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fleet::migration::MigrationSet;
use fleet::plan::{AppliedRow, HistorySnapshot, VersionColumn, build};
use fleet::tenant::{DatabaseName, Presence, SchemaName, Tenant, TenantId};

/// The sample set that the README and the demo use.
fn sample_set() -> MigrationSet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/tenant");
    fleet::source::read(&folder).expect("the sample set is whole")
}

/// The history of a tenant that has the first so many of the set.
fn history(set: &MigrationSet, applied: usize) -> HistorySnapshot {
    let migrations = set.migrations().iter().take(applied);
    let rows = migrations.map(|migration| AppliedRow {
        version: migration.version(),
        name: migration.name().to_owned(),
        checksum: migration.checksum_int8(),
    });
    HistorySnapshot::Rows {
        column: VersionColumn::Int8,
        rows: rows.collect(),
        steps: Arc::default(),
    }
}

/// Tenants in no order, as a catalogue gives them, each with the history that its number asks for.
fn tenants(
    count: usize,
    history: impl Fn(usize) -> HistorySnapshot,
) -> Vec<(Tenant, HistorySnapshot)> {
    let database = DatabaseName::new("main");
    let tenant = |index: usize| {
        let number = index * 7919 % count;
        let schema = SchemaName::parse(&format!("tenant_{number:06}")).expect("a schema's name");
        let tenant = Tenant {
            id: TenantId {
                database: database.clone(),
                schema,
            },
            labels: Arc::default(),
            presence: Presence::Present,
        };
        (tenant, history(number))
    };
    (0..count).map(tenant).collect()
}

fn planning(criterion: &mut Criterion) {
    let set = sample_set();
    let head = set.migrations().len();
    let up_to_date = history(&set, head);
    let behind = history(&set, head - 1);
    let new = HistorySnapshot::NoTable { relations: 0 };
    let mut group = criterion.benchmark_group("plan");
    for count in [1_000, 10_000, 100_000] {
        group.throughput(Throughput::Elements(count as u64));
        let mut measure = |name: &str, fleet: Vec<(Tenant, HistorySnapshot)>| {
            group.bench_with_input(BenchmarkId::new(name, count), &fleet, |bencher, fleet| {
                bencher.iter_batched(
                    || fleet.clone(),
                    |fleet| black_box(build(fleet, Vec::new(), &set, set.head())),
                    BatchSize::PerIteration,
                );
            });
        };
        measure("nothing to do", tenants(count, |_| up_to_date.clone()));
        measure("one more migration", tenants(count, |_| behind.clone()));
        measure("a fresh deploy", tenants(count, |_| new.clone()));
        // as read from many servers: no two share their rows
        measure(
            "histories that share nothing",
            tenants(count, |_| history(&set, head)),
        );
        measure(
            "some of each",
            tenants(count, |number| match number % 100 {
                0 => new.clone(),
                1..10 => behind.clone(),
                _ => up_to_date.clone(),
            }),
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20);
    targets = planning
}
criterion_main!(benches);
