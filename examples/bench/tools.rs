//! The tools that are compared, and how each is called.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::options::Options;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Tool {
    Fleet,
    /// The same SQL without any books.
    Raw,
    /// The fastest way to read all histories.
    Read,
    /// A query a tenant.
    Query,
    /// A process a tenant.
    Refinery,
    Dbmate,
    Alembic,
    Django,
    /// fleet, comparing tenants.
    Verify,
    /// The same rows of the catalogues, hashed, on as many connections.
    Catalogue,
    /// On one.
    CatalogueAlone,
}

impl Tool {
    /// Whether it migrates; others only read what fleet has left.
    pub(crate) fn migrates(self) -> bool {
        !matches!(
            self,
            Self::Read | Self::Query | Self::Verify | Self::Catalogue | Self::CatalogueAlone
        )
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fleet => "fleet",
            Self::Raw => "raw limit",
            Self::Read => "set-based read",
            Self::Query => "a query a tenant",
            Self::Refinery => "refinery, a process a tenant",
            Self::Dbmate => "dbmate, a process a tenant",
            Self::Alembic => "alembic, 8 processes",
            Self::Django => "django-tenants, 8 processes",
            Self::Verify => "fleet verify",
            Self::Catalogue => "catalogue query, 4 connections",
            Self::CatalogueAlone => "catalogue query, 1 connection",
        }
    }

    /// The database that it works on. Those that only read do so where fleet was.
    pub(crate) fn database(self) -> &'static str {
        match self {
            Self::Fleet
            | Self::Read
            | Self::Query
            | Self::Verify
            | Self::Catalogue
            | Self::CatalogueAlone => "by_fleet",
            Self::Raw => "by_raw",
            Self::Refinery => "by_refinery",
            Self::Dbmate => "by_dbmate",
            Self::Alembic => "by_alembic",
            Self::Django => "by_django",
        }
    }
}

/// One call of a tool.
#[derive(Clone, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) tool: Tool,
    pub(crate) database: &'a str,
    /// `host:port`, the server's or a proxy's.
    pub(crate) address: &'a str,
    /// The version that the tenants have.
    pub(crate) from: u32,
    /// The version that they are to have.
    pub(crate) to: u32,
    pub(crate) tenants: &'a [String],
    /// How the histories are read, `Tool::Read` only.
    pub(crate) read: ReadPlan,
}

/// How many histories go into one message, how they are asked for, over how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadPlan {
    pub(crate) style: &'static str,
    pub(crate) tenants_a_message: usize,
    pub(crate) connections: usize,
}

impl Default for ReadPlan {
    fn default() -> Self {
        Self {
            style: "union",
            tenants_a_message: 50,
            connections: 8,
        }
    }
}

/// Knows where the tools and the migrations are.
pub(crate) struct Workshop<'a> {
    pub(crate) options: &'a Options,
    /// Versions that there are, with their SQL.
    pub(crate) migrations: Vec<(u32, String, String)>,
}

impl<'a> Workshop<'a> {
    /// The first ten files of the sample set, and as many more of one kind as W2 asks for.
    pub(crate) fn prepare(options: &'a Options, more: u32) -> anyhow::Result<Self> {
        let mut migrations = Vec::new();
        let folder = options.repo.join("migrations/tenant");
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let file = entry.file_name().to_string_lossy().into_owned();
            let (version, name) = parts(&file).with_context(|| file.clone())?;
            if version <= 10 {
                migrations.push((version, name, fs::read_to_string(entry.path())?));
            }
        }
        let one_more = options.repo.join("scripts/bench.d/one_more.sql");
        let one_more =
            fs::read_to_string(&one_more).with_context(|| one_more.display().to_string())?;
        for version in 11..11 + more {
            let sql = one_more.replace("NUMBER", &version.to_string());
            migrations.push((version, format!("customer_phone_{version}"), sql));
        }
        migrations.sort();
        let workshop = Self {
            options,
            migrations,
        };
        workshop.write(&workshop.folder("all"), u32::MAX)?;
        Ok(workshop)
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.options.scratch.join("migrations").join(name)
    }

    /// The files up to a version, as refinery names them.
    pub(crate) fn write(&self, folder: &Path, to: u32) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        for (version, name, sql) in self.migrations.iter().filter(|(v, ..)| *v <= to) {
            fs::write(folder.join(format!("V{version}__{name}.sql")), sql)?;
        }
        Ok(())
    }

    /// The words of a call.
    pub(crate) fn words(&self, call: &Call<'_>) -> anyhow::Result<Vec<String>> {
        let url = format!("postgresql://postgres@{}/{}", call.address, call.database);
        let connections = self.options.concurrency.to_string();
        let (from, to) = (call.from.to_string(), call.to.to_string());
        let raw = path(&self.options.raw_limit);
        let read = call.read;
        Ok(match call.tool {
            Tool::Fleet => {
                let config = self.config(&url)?;
                words(&[
                    &path(&self.options.fleet),
                    "-c",
                    &config,
                    "-q",
                    "-o",
                    "json",
                    "migrate",
                    // the limit has no waves either
                    "--no-canary",
                    "--to",
                    &to,
                ])
            }
            Tool::Raw => {
                let all = path(&self.folder("all"));
                words(&[
                    &raw,
                    "apply",
                    &url,
                    &all,
                    "tenant_",
                    &connections,
                    &from,
                    &to,
                ])
            }
            Tool::Read => words(&[
                &raw,
                "read",
                &url,
                "tenant_",
                &read.connections.to_string(),
                read.style,
                &read.tenants_a_message.to_string(),
            ]),
            Tool::Query => words(&[
                &raw,
                "read",
                &url,
                "tenant_",
                &connections,
                "statements",
                "1",
            ]),
            Tool::Verify => self.words_of_verify(&url)?,
            Tool::Catalogue => catalogue(&raw, &url, call, 4),
            Tool::CatalogueAlone => catalogue(&raw, &url, call, 1),
            _ => self.words_of_peer(&url, call)?,
        })
    }

    fn words_of_verify(&self, url: &str) -> anyhow::Result<Vec<String>> {
        let (fleet, config) = (path(&self.options.fleet), self.config(url)?);
        Ok(words(&[
            &fleet, "-c", &config, "-q", "-o", "json", "verify",
        ]))
    }

    /// fleet's config, written anew for each call.
    fn config(&self, url: &str) -> anyhow::Result<String> {
        let file = self.options.scratch.join("fleet.yaml");
        let (folder, connections) = (path(&self.folder("all")), self.options.concurrency);
        fs::write(
            &file,
            format!(
                "databases:\n  - name: main\n    url: {url}\n    max_connections: {connections}\n    \
                 tenants:\n      schemas: [\"tenant_*\"]\n\
                 migrations:\n  path: {folder}\nexecution:\n  concurrency: {connections}\n"
            ),
        )?;
        Ok(path(&file))
    }
}

/// One message a connection: with 100 tenants a message it takes twice as long, as some catalogues are scanned in whole.
fn catalogue(raw: &str, url: &str, call: &Call<'_>, connections: usize) -> Vec<String> {
    let a_message = call.tenants.len().div_ceil(connections).to_string();
    let connections = connections.to_string();
    words(&[raw, "catalogue", url, "tenant_", &connections, &a_message])
}

pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

pub(crate) fn path(path: &Path) -> String {
    path.display().to_string()
}

/// Version and name of `V7__invoices.sql`.
fn parts(file: &str) -> Option<(u32, String)> {
    let (version, name) = file
        .strip_prefix('V')?
        .strip_suffix(".sql")?
        .split_once("__")?;
    Some((version.parse().ok()?, name.to_owned()))
}
