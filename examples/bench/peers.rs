//! How other tools are called, each as its users would on a good day: the same SQL, as many processes at a
//! time as fleet has connections, and every tenant's history in its own schema.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;

use crate::server::Server;
use crate::tools::{Call, Tool, Workshop, path, words};

impl Workshop<'_> {
    /// The other tools that are there.
    pub(crate) fn peers(&self) -> Vec<Tool> {
        let there = [
            (Tool::Refinery, self.options.stock_refinery.is_some()),
            (Tool::Dbmate, self.options.dbmate.is_some()),
            (Tool::Alembic, self.options.alembic_python.is_some()),
            (Tool::Django, self.options.django_python.is_some()),
        ];
        let there = there.iter().filter(|(_, is_there)| *is_there);
        there.map(|(tool, _)| *tool).collect()
    }

    /// Writes the migrations as each of them wants to have them.
    pub(crate) fn write_for_peers(&self) -> anyhow::Result<()> {
        let (alembic, django) = (
            self.folder("alembic"),
            self.folder("django/tenant_migrations"),
        );
        for folder in [&alembic, &django] {
            fs::create_dir_all(folder)?;
        }
        fs::write(django.join("__init__.py"), "")?;
        let mut before: Option<String> = None;
        for (version, name, _) in &self.migrations {
            let file = path(&self.folder("all").join(format!("V{version}__{name}.sql")));
            let revision = format!("{version:04}");
            let down = before
                .as_ref()
                .map_or("None".to_owned(), |before| format!("\"{before}\""));
            fs::write(
                alembic.join(format!("v{revision}.py")),
                format!(
                    "from pathlib import Path\nfrom alembic import op\n\
                     revision, down_revision = \"{revision}\", {down}\n\
                     def upgrade():\n    op.get_bind().exec_driver_sql(Path(\"{file}\").read_text().replace(\"%\", \"%%\"))\n"
                ),
            )?;
            let depends = before.as_ref().map_or(String::new(), |before| {
                format!("(\"tenant_tables\", \"m{before}\")")
            });
            fs::write(
                django.join(format!("m{revision}.py")),
                format!(
                    "from pathlib import Path\nfrom django.db import migrations\n\
                     class Migration(migrations.Migration):\n    dependencies = [{depends}]\n    \
                     operations = [migrations.RunSQL(Path(\"{file}\").read_text())]\n"
                ),
            )?;
            before = Some(revision);
        }
        Ok(())
    }

    /// What a tool has to have in a database of empty schemas before its clock starts.
    pub(crate) fn make_ready(&self, server: &Server, tool: Tool) -> anyhow::Result<()> {
        if tool != Tool::Django {
            return Ok(());
        }
        let database = tool.database();
        let mut words = self.django(server.address(), database)?;
        words.extend(crate::tools::words(&["migrate_schemas", "--shared"]));
        crate::measure::run(&words)?;
        server.execute(
            database,
            "INSERT INTO tenants_tenant (schema_name)
             SELECT nspname FROM pg_namespace WHERE nspname LIKE 'tenant\\_%'",
        )
    }

    pub(crate) fn words_of_peer(&self, url: &str, call: &Call<'_>) -> anyhow::Result<Vec<String>> {
        match call.tool {
            Tool::Refinery => self.refinery(url, call),
            Tool::Dbmate => self.dbmate(url, call),
            Tool::Alembic => self.alembic(url, call),
            _ => {
                let mut words = self.django(call.address, call.database)?;
                let to = format!("m{:04}", call.to);
                let command = ["migrate_schemas", "--tenant", "--executor=multiprocessing"];
                words.extend(crate::tools::words(&command));
                words.extend(crate::tools::words(&["tenant_tables", &to]));
                Ok(words)
            }
        }
    }

    /// A command for every tenant, with `{}` for its name.
    fn each(&self, call: &Call<'_>, command: &[&str]) -> anyhow::Result<Vec<String>> {
        let list = path(&self.list(call.tenants)?);
        let at_once = self.options.concurrency.to_string();
        let xargs = ["xargs", "-a", &list, "-P", &at_once, "-I", "{}"];
        Ok(words(&[&xargs, command].concat()))
    }

    fn refinery(&self, url: &str, call: &Call<'_>) -> anyhow::Result<Vec<String>> {
        let program = self.options.stock_refinery.as_ref().context("refinery")?;
        let folder = self.folder(&format!("up_to_{}", call.to));
        if !folder.exists() {
            self.write(&folder, call.to)?;
        }
        self.each(call, &[&path(program), url, "{}", &path(&folder)])
    }

    fn dbmate(&self, url: &str, call: &Call<'_>) -> anyhow::Result<Vec<String>> {
        let program = path(self.options.dbmate.as_ref().context("dbmate")?);
        let url = format!("{url}?sslmode=disable&search_path={{}}");
        let folder = path(&self.dbmate_folder(call.to)?);
        let files = ["--migrations-dir", &folder, "--no-dump-schema"];
        self.each(
            call,
            &[&[&program, "--url", &url], &files[..], &["migrate"]].concat(),
        )
    }

    fn alembic(&self, url: &str, call: &Call<'_>) -> anyhow::Result<Vec<String>> {
        let python = path(self.options.alembic_python.as_ref().context("alembic")?);
        let script = path(&self.options.repo.join("scripts/bench.d/alembic/migrate.py"));
        let (versions, to) = (path(&self.folder("alembic")), format!("{:04}", call.to));
        let (list, at_once) = (
            path(&self.list(call.tenants)?),
            self.options.concurrency.to_string(),
        );
        let cache = self.python_cache();
        Ok(words(&[
            "env", &cache, &python, &script, url, &versions, &to, &list, &at_once,
        ]))
    }

    /// The files up to a version, as dbmate wants them.
    fn dbmate_folder(&self, to: u32) -> anyhow::Result<std::path::PathBuf> {
        let folder = self.folder(&format!("dbmate_{to}"));
        if !folder.exists() {
            fs::create_dir_all(&folder)?;
            for (version, name, sql) in self.migrations.iter().filter(|(v, ..)| *v <= to) {
                let text = format!("-- migrate:up\n{sql}\n-- migrate:down\n");
                fs::write(folder.join(format!("{version:04}_{name}.sql")), text)?;
            }
        }
        Ok(folder)
    }

    /// The tenants, one a line.
    fn list(&self, tenants: &[String]) -> anyhow::Result<std::path::PathBuf> {
        let file = self.options.scratch.join("tenants");
        let mut lines = String::new();
        for tenant in tenants {
            writeln!(lines, "{tenant}")?;
        }
        fs::write(&file, lines)?;
        Ok(file)
    }

    /// Compiled once and for all, and not into the repository.
    fn python_cache(&self) -> String {
        format!(
            "PYTHONPYCACHEPREFIX={}",
            path(&self.options.scratch.join("python"))
        )
    }

    /// `manage.py` on a database.
    fn django(&self, address: &str, database: &str) -> anyhow::Result<Vec<String>> {
        let python = self
            .options
            .django_python
            .as_ref()
            .context("django-tenants")?;
        let script = path(&self.options.repo.join("scripts/bench.d/django/manage.py"));
        Ok(words(&[
            "env",
            &self.python_cache(),
            &format!("PYTHONPATH={}", path(&self.folder("django"))),
            &format!("BENCH_ADDRESS={address}"),
            &format!("BENCH_DATABASE={database}"),
            &format!("BENCH_PROCESSES={}", self.options.concurrency),
            &path(python),
            &script,
        ]))
    }
}
