//! What `scripts/bench` asks for.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// A part of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// A fresh deploy: empty tenants, ten migrations.
    W1,
    /// One more migration.
    W2,
    /// Again, with nothing to do.
    W3,
    /// W2 and W3 with 2.5 ms each way.
    Wire,
    /// Other tools.
    Peers,
    /// All of it with 10,000 tenants.
    Scale,
    /// Comparing tenants, 5,000 of them.
    Verify,
    /// A listing of what is said on the wire. Only when it is asked for.
    Trace,
}

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Some minutes.
    Quick,
    /// Everything that is published.
    Full,
}

/// Measures fleet, the raw limit and other tools on a server of its own. `scripts/bench` starts both.
#[derive(Debug, Parser)]
#[command(name = "bench")]
pub(crate) struct Options {
    /// The server, to be filled and emptied freely.
    #[arg(long)]
    pub(crate) server: String,
    /// fleet's binary.
    #[arg(long)]
    pub(crate) fleet: PathBuf,
    /// The binary of `examples/raw_limit`.
    #[arg(long)]
    pub(crate) raw_limit: PathBuf,
    /// The binary of `tests/stock_refinery`, with versions of 32 bits.
    #[arg(long)]
    pub(crate) stock_refinery: Option<PathBuf>,
    /// dbmate's binary.
    #[arg(long)]
    pub(crate) dbmate: Option<PathBuf>,
    /// A Python that has alembic and psycopg2.
    #[arg(long)]
    pub(crate) alembic_python: Option<PathBuf>,
    /// A Python that has django-tenants and psycopg2.
    #[arg(long)]
    pub(crate) django_python: Option<PathBuf>,
    /// Why a tool is not measured: a line for the reader. Repeatable.
    #[arg(long)]
    pub(crate) left_out: Vec<String>,
    /// The folder of the repository.
    #[arg(long)]
    pub(crate) repo: PathBuf,
    /// An empty folder for what is made on the way.
    #[arg(long)]
    pub(crate) scratch: PathBuf,
    /// Where the results are to be kept, beside standard output.
    #[arg(long)]
    pub(crate) save: Option<PathBuf>,
    /// How much is measured.
    #[arg(long, value_enum)]
    pub(crate) form: Form,
    /// Only these parts; the others are carried out as far as these need them.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) only: Vec<Part>,
    /// Tenants of the ordinary sizes, instead of the form's.
    #[arg(long, value_delimiter = ',')]
    pub(crate) tenants: Vec<usize>,
    /// Rounds, instead of each size's own number.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Connections.
    #[arg(long, default_value_t = 8)]
    pub(crate) concurrency: usize,
}

impl Options {
    /// Whether a part is to be measured.
    pub(crate) fn wants(&self, part: Part) -> bool {
        if self.only.is_empty() {
            part != Part::Trace && (part != Part::Scale || self.form == Form::Full)
        } else {
            self.only.contains(&part)
        }
    }
}
