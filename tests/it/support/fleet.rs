//! A folder with a `fleet.yaml` and migrations, and the built binary that runs in it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::database::TestDatabase;
use super::run::{Child, Run};

/// One installation: config, migration files and the environment of the commands that run there.
pub(crate) struct TestFleet {
    folder: TempDir,
    config: Value,
    environment: Vec<(String, String)>,
}

impl TestFleet {
    /// No migrations yet; one database, `main`, whose tenants are the schemas `tenant_*`.
    pub(crate) fn new(db: &TestDatabase) -> Self {
        Self::without_database().database("main", db)
    }

    /// No migrations and no databases yet.
    pub(crate) fn without_database() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("fleet-test-")
            .tempdir()
            .expect("a temporary folder");
        open_to_all(folder.path());
        std::fs::create_dir(folder.path().join("migrations")).expect("a folder");
        let fleet = Self {
            folder,
            config: json!({ "databases": [], "migrations": { "path": "migrations" } }),
            environment: Vec::new(),
        };
        fleet.write_config();
        fleet
    }

    /// Adds a database whose tenants are the schemas `tenant_*`.
    #[must_use]
    pub(crate) fn database(self, name: &str, db: &TestDatabase) -> Self {
        self.database_url(name, &db.url())
    }

    /// Adds a database that may not be a test's own, such as one behind a proxy.
    #[must_use]
    pub(crate) fn database_url(self, name: &str, url: &str) -> Self {
        let entry = json!({ "name": name, "url": url, "tenants": { "schemas": ["tenant_*"] } });
        self.config(|yaml| {
            yaml["databases"]
                .as_array_mut()
                .expect("a list of databases")
                .push(entry);
        })
    }

    /// Another one with the same files and settings, for the tenants of this database alone.
    pub(crate) fn with_only(&self, db: &TestDatabase) -> Self {
        let mut other = Self::without_database().config(|yaml| {
            let mut database = self.config["databases"][0].clone();
            database["url"] = db.url().into();
            database["tenants"] = json!({ "schemas": ["tenant_*"] });
            *yaml = self.config.clone();
            yaml["databases"] = json!([database]);
            if let Some(control) = yaml["control"].as_object_mut() {
                control.remove("url");
            }
        });
        other.environment.clone_from(&self.environment);
        for name in self.migration_names() {
            std::fs::copy(self.migration_path(&name), other.migration_path(&name))
                .expect("a migration file");
        }
        other
    }

    /// The versions of the migration files, ascending.
    pub(crate) fn versions(&self) -> Vec<i64> {
        let mut versions: Vec<i64> = self
            .migration_names()
            .iter()
            .filter_map(|name| {
                name.trim_start_matches(['V', 'U'])
                    .split("__")
                    .next()?
                    .parse()
                    .ok()
            })
            .collect();
        versions.sort_unstable();
        versions
    }

    /// The names of the migration files, without `.sql`.
    fn migration_names(&self) -> Vec<String> {
        std::fs::read_dir(self.folder().join("migrations"))
            .expect("a folder")
            .filter_map(|entry| {
                let path = entry.expect("a readable entry").path();
                Some(path.file_stem()?.to_str()?.to_owned())
            })
            .collect()
    }

    /// Changes the config: `.config(|yaml| yaml["execution"]["concurrency"] = 2.into())`.
    #[must_use]
    pub(crate) fn config(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.config);
        self.write_config();
        self
    }

    /// For files that leave their tenant on purpose: the lint lets them through.
    #[must_use]
    pub(crate) fn unlinted(self) -> Self {
        self.set("lint.isolation", "off")
    }

    /// Sets one key, with numbers for places in lists: `.set("databases.0.max_connections", 3)`.
    #[must_use]
    pub(crate) fn set(self, path: &str, value: impl Into<Value>) -> Self {
        self.config(|yaml| {
            let mut place = yaml;
            for key in path.split('.') {
                place = match key.parse::<usize>() {
                    Ok(index) => &mut place[index],
                    Err(_) => &mut place[key],
                };
            }
            *place = value.into();
        })
    }

    /// A migration file, by its name without `.sql`.
    #[must_use]
    pub(crate) fn migration(self, name: &str, sql: &str) -> Self {
        self.write_migration(name, sql);
        self
    }

    /// Small migrations that each leave a row in the tenant's `probe` and a table `t<version>`.
    #[must_use]
    pub(crate) fn probe_migrations(mut self, versions: RangeInclusive<i64>) -> Self {
        for version in versions {
            self = self.migration(&format!("V{version}__probe_{version}"), &probe_sql(version));
        }
        self
    }

    /// A variable for all commands that follow.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder that the commands run in.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where a migration file is, by its name without `.sql`.
    pub(crate) fn migration_path(&self, name: &str) -> PathBuf {
        self.folder().join("migrations").join(format!("{name}.sql"))
    }

    /// Writes or rewrites a migration file in the middle of a test.
    pub(crate) fn write_migration(&self, name: &str, sql: &str) {
        std::fs::write(self.migration_path(name), sql).expect("a migration file");
    }

    /// Takes a migration file away.
    pub(crate) fn remove_migration(&self, name: &str) {
        std::fs::remove_file(self.migration_path(name)).expect("a migration file");
    }

    /// Writes any file, by its path in the folder; `fleet.yaml` too, for texts that no builder makes.
    pub(crate) fn write_file(&self, path: &str, text: &str) {
        std::fs::write(self.folder().join(path), text).expect("a file");
    }

    fn write_config(&self) {
        let yaml = serde_yaml::to_string(&self.config).expect("YAML");
        self.write_file("fleet.yaml", &yaml);
    }

    /// Runs a command to its end.
    #[track_caller]
    pub(crate) fn fleet(&self, arguments: &[&str]) -> Run {
        self.spawn(arguments).wait()
    }

    /// Runs a command with `-o json`, insists on its exit code and returns the document.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str], code: i32) -> Value {
        let run = self.fleet(&[&["-o", "json"], arguments].concat());
        run.assert_code(code);
        run.json()
    }

    /// Starts a command and leaves it running.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        Child::spawn(self.command(arguments))
    }

    /// The command itself, for what the others do not do. Its environment is clean: nothing of the
    /// caller's `PG…`, `NO_COLOR` or `DATABASE_URL` gets through.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fleet"));
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .env("HOME", self.folder());
        for name in ["PATH", "TMPDIR", "FLEET_PG_BINDIR", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for TestFleet {
    #[expect(
        clippy::print_stderr,
        reason = "whoever looks at the failure needs the path"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept for a look: {}", self.folder().display());
        }
    }
}

/// The SQL of a probe migration. The row tells a migration that ran twice from one that ran once.
pub(crate) fn probe_sql(version: i64) -> String {
    let probe = if version == 1 {
        "CREATE TABLE probe (version bigint NOT NULL);\n"
    } else {
        ""
    };
    format!(
        "{probe}CREATE TABLE t{version} (id bigint PRIMARY KEY, note text);\nINSERT INTO probe (version) VALUES ({version});\n"
    )
}

/// A server of another user (PostgreSQL never runs as root) must be able to walk through the folder.
pub(crate) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .expect("our own folder");
}
