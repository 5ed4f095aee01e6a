//! Migrations: the files of a set as refinery knows them, and what fleet knows beyond that.

mod fix;
mod step;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as SipHasher13x128};

pub use fix::{Fix, FixBody};
pub use step::{IndexBuild, ObjectName, Settlement, Step, StepKind};

/// A migration's version. refinery's, built with `int8-versions`, so that timestamps fit.
pub type Version = refinery_core::SchemaVersion;

/// Whether a migration may run inside a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionMode {
    /// One transaction, with its history row.
    Transactional,
    /// Statement by statement, outside a transaction.
    NonTransactional,
}

/// What a file's statements do to the session that runs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionUse {
    /// They make, change or fill relations, and no more.
    None,
    /// They may leave settings, a role, temporary tables, locks.
    Possible,
}

/// Where a statement of a file begins, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line in the file.
    pub line: u32,
    /// Column in characters.
    pub column: u32,
}

/// One file of a migration set.
#[derive(Clone, Debug)]
pub struct Migration {
    /// refinery's view: version, name, the file's text and the checksum over it.
    pub refinery: refinery_core::Migration,
    /// Where the file lies.
    pub path: PathBuf,
    /// What is sent to the server: the file's text, a byte order mark dropped and a `BEGIN`/`COMMIT`
    /// around the whole replaced by blanks, so that lines and columns stay those of the file.
    pub body: Arc<str>,
    /// Whether it may run inside a transaction.
    pub mode: TransactionMode,
    /// Where each statement of the body begins, in order.
    pub statements: Vec<Place>,
    /// The same statements, each by itself, where it runs without a transaction; else none.
    pub steps: Arc<[Step]>,
    /// Whether its statements may leave something on the session.
    pub session: SessionUse,
    /// Whether the file may be applied after a later version (refinery's `U` files).
    pub out_of_order: bool,
}

impl Migration {
    /// The version.
    pub fn version(&self) -> Version {
        self.refinery.version()
    }

    /// Whether one of its steps waits for all older transactions of its database.
    pub fn waits_for_others(&self) -> bool {
        self.steps.iter().any(|step| step.kind.waits_for_others())
    }

    /// The name behind the double underscore.
    pub fn name(&self) -> &str {
        self.refinery.name()
    }

    /// refinery's checksum in a build with 64-bit versions.
    pub fn checksum_int8(&self) -> u64 {
        self.refinery.checksum()
    }

    /// refinery's checksum in a stock build: the version goes into it as four bytes. None where
    /// the version does not fit.
    pub fn checksum_int4(&self) -> Option<u64> {
        let version = i32::try_from(self.version()).ok()?;
        // refinery-core 0.10.1, runner.rs: SipHash-1-3 over name, version, sql, by std's Hash
        let mut hasher = SipHasher13::new();
        self.name().hash(&mut hasher);
        version.hash(&mut hasher);
        self.refinery.sql().unwrap_or_default().hash(&mut hasher);
        Some(hasher.finish())
    }
}

/// The file's stem as refinery shows it, `V12__unique_email`.
impl fmt::Display for Migration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refinery.fmt(f)
    }
}

/// The ordered files of one directory, read once at the start of a command.
#[derive(Clone, Debug)]
pub struct MigrationSet {
    migrations: Vec<Migration>,
    fingerprint: String,
    directory: PathBuf,
}

impl MigrationSet {
    /// Sorts by version; versions are unique (the source has seen to it).
    pub fn new(directory: &Path, mut migrations: Vec<Migration>) -> Self {
        migrations.sort_by_key(Migration::version);
        Self {
            fingerprint: fingerprints(&migrations).last().unwrap_or_default(),
            migrations,
            directory: directory.to_owned(),
        }
    }

    /// All migrations by version.
    pub fn migrations(&self) -> &[Migration] {
        &self.migrations
    }

    /// The highest version, None for an empty set.
    pub fn head(&self) -> Option<Version> {
        self.migrations.last().map(Migration::version)
    }

    /// The migration with this version.
    pub fn get(&self, version: Version) -> Option<&Migration> {
        self.migrations
            .binary_search_by_key(&version, Migration::version)
            .ok()
            .map(|index| &self.migrations[index])
    }

    /// 32 hexadecimal digits over versions, names and texts: equal sets have equal fingerprints.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether the set with this fingerprint is the beginning of this one: no file of it has changed since, and
    /// those that were added come behind it.
    pub fn begins_with(&self, fingerprint: &str) -> bool {
        fingerprints(&self.migrations).any(|of_a_beginning| of_a_beginning == fingerprint)
    }

    /// The directory it was read from.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether a stock refinery with 32-bit versions could hold every version.
    pub fn fits_int4(&self) -> bool {
        self.head().is_none_or(|head| i32::try_from(head).is_ok())
    }
}

/// The fingerprints of the set's beginnings: of none of its migrations, the first, the first two, and so on.
fn fingerprints(migrations: &[Migration]) -> impl Iterator<Item = String> {
    let shown = |hasher: &SipHasher13x128| format!("{:032x}", hasher.finish128().as_u128());
    let mut hasher = SipHasher13x128::new();
    let of_none = shown(&hasher);
    let of_more = migrations.iter().map(move |migration| {
        migration.version().hash(&mut hasher);
        migration.name().hash(&mut hasher);
        migration
            .refinery
            .sql()
            .unwrap_or_default()
            .hash(&mut hasher);
        shown(&hasher)
    });
    std::iter::once(of_none).chain(of_more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(stem: &str, sql: &str) -> Migration {
        Migration {
            refinery: refinery_core::Migration::unapplied(stem, sql).unwrap(),
            path: PathBuf::from(format!("{stem}.sql")),
            body: sql.into(),
            mode: TransactionMode::Transactional,
            statements: Vec::new(),
            steps: Arc::default(),
            session: SessionUse::None,
            out_of_order: false,
        }
    }

    #[test]
    fn checksums_are_those_of_both_builds_of_refinery() {
        // both values come from real builds of refinery 0.10, with and without int8-versions
        let initial = migration("V1__initial", "select 1");
        assert_eq!(initial.checksum_int8(), 15_871_197_807_531_774_454);
        assert_eq!(initial.checksum_int4(), Some(1_025_149_720_349_974_486));
        let timestamp = migration("V20240504090241__x", "select 1");
        assert_eq!(timestamp.checksum_int4(), None);
    }

    #[test]
    fn a_fingerprint_covers_text_and_ignores_the_order_of_reading() {
        let (a, b) = (
            migration("V1__a", "select 1"),
            migration("V2__b", "select 2"),
        );
        let one = MigrationSet::new(Path::new("m"), vec![a.clone(), b.clone()]);
        let two = MigrationSet::new(Path::new("m"), vec![b.clone(), a]);
        let three = MigrationSet::new(Path::new("m"), vec![migration("V1__a", "select 3"), b]);
        assert_eq!(one.fingerprint(), two.fingerprint());
        assert_ne!(one.fingerprint(), three.fingerprint());
        assert_eq!(one.head(), Some(2));
        let first = MigrationSet::new(Path::new("m"), vec![migration("V1__a", "select 1")]);
        assert!(one.begins_with(first.fingerprint()) && one.begins_with(one.fingerprint()));
        assert!(!three.begins_with(first.fingerprint()));
        assert!(!first.begins_with(one.fingerprint()));
    }
}
