//! How fast tenants are compared: `fleet verify` beside a query that hashes the same rows of the catalogues and prints
//! no definition. Kept in a file of its own, as it can be measured without the rest.

use std::fmt::Write as _;
use std::fs;

use anyhow::ensure;

use crate::bed;
use crate::machine;
use crate::options::{Form, Options, Part};
use crate::report::{as_number, machine_table, thousands};
use crate::results::{Key, Results, Sample, Wire, Work};
use crate::run::{Bench, Job};
use crate::say;
use crate::tools::Tool;

/// The version that the tenants are at.
const HEAD: u32 = 10;

const TOOLS: [Tool; 3] = [Tool::Verify, Tool::Catalogue, Tool::CatalogueAlone];

/// The catalogues that are read; all of the tenants' own tables would take minutes.
const TIDY: &str = "VACUUM ANALYZE pg_namespace, pg_class, pg_attribute, pg_attrdef, pg_constraint, pg_index, pg_sequence, \
                    pg_trigger, pg_policy, pg_proc, pg_type, pg_enum, pg_depend, pg_inherits, pg_description";

const ABOUT: &str = "\
Every tenant has the first ten files of the sample set; they are equal. The catalogue query reads the same rows \
(relations, columns, constraints, indexes, sequences, triggers, policies, functions, types) and makes one hash of each \
schema's, as they are; what fleet does beside it is printing each definition, with the schema's own name taken out, reading \
the histories and comparing. Medians of rounds in which each runs once, in an order that changes, after a VACUUM ANALYZE of the catalogues. \
Times are those of whole processes. × is the ratio of the medians, with the least and the most of single rounds; × CPU is \
that of both sides' CPU, which other work on the machine disturbs less. Backend is the own memory of the largest one.";

/// Measures, prints, and keeps it where that is asked for.
#[expect(clippy::print_stdout, reason = "the result of a program")]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let is_alone = options.only == [Part::Verify];
    let (tenants, rounds) = match options.form {
        Form::Full => (5_000, 5),
        Form::Quick => (500, 5),
    };
    let given = options.tenants.iter().copied().max();
    let tenants = given.filter(|_| is_alone).unwrap_or(tenants);
    let rounds = options.rounds.unwrap_or(rounds);
    ensure!(rounds > 0, "--rounds 0 measures nothing");
    let mut bench = Bench::new(options, 0)?;
    let machine = machine::describe(options, &bench.server)?;
    bench.measure_verify(tenants, rounds)?;
    let title = "Comparing tenants: `fleet verify`";
    let body = format!(
        "{}\n{ABOUT}\n\n{}",
        machine_table(&machine)?,
        table(&bench.results)?
    );
    if let Some(folder) = &options.save {
        fs::create_dir_all(folder)?;
        let from = "Written by `scripts/bench`, and by `scripts/bench --only verify --save` alone. Read the ratios, \
                    not the milliseconds.";
        let text = format!("# {title}\n\n{from}\n\n{body}");
        fs::write(folder.join("verify.md"), text)?;
    }
    println!("## {title}\n\n{body}");
    Ok(())
}

impl Bench<'_> {
    fn measure_verify(&mut self, tenants: usize, rounds: usize) -> anyhow::Result<()> {
        let database = Tool::Verify.database();
        let template = bed::template(&self.server, tenants)?;
        self.server.create(database, &template)?;
        let names = bed::tenants(&self.server, database)?;
        let job = |(work, tool), turn, from| Job {
            key: Key {
                work,
                wire: Wire::Loopback,
                tenants,
                tool,
            },
            turn,
            database,
            from,
            to: HEAD,
            tenants: &names,
        };
        say(&format!("{tenants} tenants to compare are deployed"));
        self.sample(&job((Work::W1, Tool::Fleet), (0, 0), 0))?;
        // autovacuum would do it in the middle of a round
        self.server.execute(database, TIDY)?;
        for round in 0..rounds {
            for turn in 0..TOOLS.len() {
                let tool = TOOLS[(round + turn) % TOOLS.len()];
                self.run(&job((Work::Verify, tool), (round, 0), HEAD))?;
            }
        }
        self.server.drop(database)
    }
}

fn table(results: &Results) -> anyhow::Result<String> {
    let mut text = String::from(
        "| tenants | what | seconds a pass | ms a tenant | × catalogue query (rounds) | × CPU | client MiB | backend MiB | rounds |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let keys = results.keys().filter(|key| key.work == Work::Verify);
    for key in keys {
        let of = |number: fn(&Sample) -> f64| results.median(key, number).unwrap_or(f64::NAN);
        let limit = key.by(Tool::Catalogue);
        let (mut ratio, mut cpu) = (String::new(), String::new());
        if key != limit {
            if let Some(wall) = results.ratio(key, limit, Sample::wall_ms) {
                ratio = format!("{:.2} ({:.2}–{:.2})", wall.median, wall.least, wall.most);
            }
            if let Some(both) = results.ratio(key, limit, Sample::cpu_ms) {
                cpu = format!("{:.2}", both.median);
            }
        }
        let wall = of(Sample::wall_ms);
        writeln!(
            text,
            "| {} | {} | {:.2} | {:.2} | {ratio} | {cpu} | {:.0} | {:.0} | {} |",
            thousands(key.tenants),
            key.tool.name(),
            wall / 1e3,
            wall / as_number(key.tenants),
            of(|sample| as_number(sample.usage.peak_kib)) / 1024.0,
            of(|sample| as_number(sample.backend_kib)) / 1024.0,
            results.samples(key).len(),
        )?;
    }
    Ok(text)
}
