//! Compares the shapes of tenants when they are done, and says of those that are unlike the others in what.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::fleet::Fleet;
use super::verify::shape_options;
use crate::catalog::{self, CatalogError, ShapeOptions};
use crate::migration::{MigrationSet, Version};
use crate::pg::{self, Pool};
use crate::rollout::{AtVersion, Comparer, RetryPolicy, Unlike, UnlikeSince};
use crate::run::{Failure, FailureClass};
use crate::shape::{Before, Difference, Outlier, Sight, in_short};
use crate::tenant::{DatabaseName, SchemaName, TenantId, TenantPattern};

/// How many others of each version are asked who is right.
const PEERS: usize = 5;

/// How many differences of a tenant are listed.
const LISTED: usize = 20;

/// How many tenants that could not be read are named.
const NAMED: usize = 3;

/// How long a definition may be where it is quoted.
const QUOTED_CHARS: usize = 200;

/// Tenants at a version.
pub(super) type Seen = Sight<Option<Version>>;

/// Reads shapes.
#[derive(Clone)]
pub(super) struct ShapeReader {
    pools: HashMap<DatabaseName, Pool>,
    options: ShapeOptions,
}

/// Tenants that could not be read, with the reason, and whether another try may help.
pub(super) type Unread = BTreeMap<TenantId, String>;

impl ShapeReader {
    /// One for the databases of this fleet.
    pub(super) fn new(fleet: &Fleet) -> Self {
        let pools = fleet
            .pools()
            .map(|(name, pool)| (name.clone(), pool.clone()));
        Self {
            pools: pools.collect(),
            options: shape_options(fleet),
        }
    }

    /// Reads the shapes of these tenants. Whoever is gone is in neither answer.
    pub(super) async fn read(&self, tenants: &[AtVersion]) -> Result<(Seen, Unread), CatalogError> {
        let mut schemas: BTreeMap<&DatabaseName, Vec<SchemaName>> = BTreeMap::new();
        for (id, _) in tenants {
            let of_database = schemas.entry(&id.database).or_default();
            of_database.push(id.schema.clone());
        }
        let mut prints = HashMap::new();
        let mut unread = Unread::new();
        let mut seen = Seen::default();
        for (database, schemas) in schemas {
            let Some(pool) = self.pools.get(database) else {
                continue;
            };
            let read = catalog::read_shapes(pool, database, &schemas, &self.options).await?;
            let id = |schema| TenantId {
                database: database.clone(),
                schema,
            };
            prints.extend(
                read.fingerprints
                    .into_iter()
                    .map(|(s, print)| (id(s), print)),
            );
            unread.extend(read.unreadable.into_iter().map(|(s, why)| (id(s), why)));
            seen.shapes.extend(read.shapes);
        }
        let tenants = tenants.iter();
        seen.tenants = tenants
            .filter_map(|(id, version)| Some((id.clone(), *version, *prints.get(id)?)))
            .collect();
        Ok((seen, unread))
    }

    /// The same, again and again where somebody is in the way. The error says who could not be read, and why.
    async fn read_all(&self, tenants: &[AtVersion], retry: RetryPolicy) -> Result<Seen, String> {
        let mut seen = Seen::default();
        let mut todo = tenants.to_vec();
        for attempt in 1.. {
            let problem = match self.read(&todo).await {
                Ok((found, unread)) => {
                    seen.add(found);
                    if unread.is_empty() {
                        break;
                    }
                    todo.retain(|(id, _)| unread.contains_key(id));
                    in_words(&unread)
                }
                Err(error) if is_transient(&error) => error.to_string(),
                Err(error) => return Err(error.to_string()),
            };
            let Some(pause) = retry.pause_after(attempt, fastrand::f64()) else {
                return Err(problem);
            };
            tokio::time::sleep(pause.max(Duration::from_millis(50))).await;
        }
        Ok(seen)
    }
}

/// `main/acme: canceling statement due to lock timeout`.
fn in_words(unread: &Unread) -> String {
    let named = unread.iter().take(NAMED);
    let named: Vec<String> = named.map(|(id, why)| format!("{id}: {why}")).collect();
    let named = named.join("; ");
    match unread.len().saturating_sub(NAMED) {
        0 => named,
        more => format!("{named}; and {more} more"),
    }
}

/// Whether another try may help.
pub(super) fn is_transient(error: &CatalogError) -> bool {
    let class = match error {
        CatalogError::Connect(error) => error.class(),
        CatalogError::Query { cause, .. } => pg::failure_of(cause).class,
    };
    class == FailureClass::Transient
}

/// Tenants beside those that are compared, a few of each version.
#[derive(Clone, Default)]
pub(super) struct Peers(BTreeMap<Option<Version>, Vec<TenantId>>);

impl Peers {
    /// A few of these, from the whole breadth of them: the oldest may have in common what nobody else has.
    pub(super) fn of(tenants: impl Iterator<Item = AtVersion>) -> Self {
        let mut all: BTreeMap<Option<Version>, Vec<TenantId>> = BTreeMap::new();
        for (id, version) in tenants {
            all.entry(version).or_default().push(id);
        }
        for ids in all.values_mut() {
            let few = PEERS.min(ids.len());
            let chosen = (0..few).map(|n| ids[n * ids.len() / few].clone());
            *ids = chosen.collect();
        }
        Self(all)
    }

    /// Those of some versions.
    pub(super) fn at(&self, versions: &BTreeSet<Option<Version>>) -> Vec<AtVersion> {
        let known = versions.iter();
        let known = known.filter_map(|version| Some((version, self.0.get(version)?)));
        let known = known.flat_map(|(version, ids)| ids.iter().map(|id| (id.clone(), *version)));
        known.collect()
    }
}

/// Compares tenants.
pub(super) struct Comparison {
    /// Reads their shapes.
    pub(super) reader: ShapeReader,
    /// What is known of them from before.
    pub(super) before: Before,
    /// Who is asked as well: a few tenants of a run alone do not tell what is right.
    pub(super) peers: Peers,
    /// Who has differed, and must not be taken for mended where there is nobody to be compared with.
    pub(super) doubtful: HashSet<TenantId>,
    /// Where the names of migrations are.
    pub(super) set: Arc<MigrationSet>,
    /// Who may differ.
    pub(super) exclude: Vec<TenantPattern>,
    /// Whether a difference that was there before is a failure too.
    pub(super) fails_for_drift: bool,
    /// How often it is tried.
    pub(super) retry: RetryPolicy,
}

impl Comparison {
    /// As the engine takes it.
    pub(super) fn into_comparer(self) -> Comparer {
        let comparison = Arc::new(self);
        Box::new(move |members| {
            let comparison = Arc::clone(&comparison);
            Box::pin(async move { comparison.compare(members).await })
        })
    }

    async fn compare(&self, mut members: Vec<AtVersion>) -> Result<Vec<Unlike>, String> {
        members.retain(|(id, _)| !self.exclude.iter().any(|pattern| pattern.matches(id)));
        let mut seen = self.reader.read_all(&members, self.retry).await?;
        let peers = self.peers.at(&seen.versions());
        if !peers.is_empty() {
            seen.add(self.reader.read_all(&peers, self.retry).await?);
        }
        let members: HashSet<&TenantId> = members.iter().map(|(id, _)| id).collect();
        let outliers = seen.outliers(&self.before).into_iter();
        let outliers = outliers.filter(|outlier| members.contains(&outlier.tenant));
        let mut unlike: Vec<Unlike> = outliers.map(|outlier| self.judge(outlier)).collect();
        let alone = seen.alone().into_iter();
        let alone = alone.filter(|id| members.contains(id) && self.doubtful.contains(id));
        unlike.extend(alone.map(still_in_doubt));
        Ok(unlike)
    }

    fn judge(&self, outlier: Outlier<Option<Version>>) -> Unlike {
        let Outlier {
            tenant,
            version,
            mut new,
            old,
        } = outlier;
        if self.fails_for_drift {
            new.extend(old.iter().cloned());
        }
        if new.is_empty() {
            let note = format!(
                "differs from the others, as before the run: {}",
                in_short(&old)
            );
            let since = UnlikeSince::Before(note);
            return Unlike { tenant, since };
        }
        let message = format!(
            "its shape differs from that of the others: {}",
            in_short(&new)
        );
        let migration = version.and_then(|version| self.set.get(version));
        let mut failure = Failure::new(FailureClass::Permanent, message).with_hint(
            "fleet verify shows it; mend it, then fleet resume. verify.exclude names tenants that may differ",
        );
        failure.migration = migration.map(ToString::to_string);
        failure.detail = Some(in_full(&new));
        Unlike {
            tenant,
            since: UnlikeSince::Run(Box::new(failure)),
        }
    }
}

/// A tenant that differed when it was compared last, and is the only one of its version now.
fn still_in_doubt(tenant: TenantId) -> Unlike {
    let message = "its shape differed from that of the others, and nobody is at its version to compare it with";
    let failure = Failure::new(FailureClass::Permanent, message.to_owned()).with_hint(
        "migrate others together with it, or look at it with fleet verify --reference; verify.exclude names tenants that may differ",
    );
    Unlike {
        tenant,
        since: UnlikeSince::Run(Box::new(failure)),
    }
}

/// One difference a line.
fn in_full(differences: &[Difference]) -> String {
    let lines = differences.iter().take(LISTED);
    let mut lines: Vec<String> = lines.map(line).collect();
    if differences.len() > LISTED {
        lines.push(format!("and {} more", differences.len() - LISTED));
    }
    lines.join("\n")
}

fn line(difference: &Difference) -> String {
    let quoted = |text: &str| -> String {
        let text = text.replace('\n', " ");
        let short: String = text.chars().take(QUOTED_CHARS).collect();
        if short.len() < text.len() {
            format!("{short}…")
        } else {
            short
        }
    };
    match (&difference.found, &difference.expected) {
        (Some(found), Some(expected)) => format!(
            "{difference}: {}, and in the others {}",
            quoted(found),
            quoted(expected)
        ),
        (None, Some(expected)) => format!("{difference}: in the others {}", quoted(expected)),
        (Some(found), None) => format!("{difference}: {}", quoted(found)),
        (None, None) => difference.to_string(),
    }
}
