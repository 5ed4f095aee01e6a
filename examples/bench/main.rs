//! The bench: fleet, the raw limit and other tools on the same server, in turns, and what came of it as
//! Markdown and as plots. `scripts/bench` builds everything, starts the server and calls this.

mod aims;
mod bed;
mod machine;
mod measure;
mod options;
mod peers;
mod plot;
mod processes;
mod proxy;
mod report;
mod results;
mod rounds;
mod run;
mod server;
mod tools;
mod trace;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use options::{Form, Options, Part};
use rounds::Size;
use run::Bench;

fn main() -> anyhow::Result<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, command)) = words.split_first()
        && first == "measure"
    {
        return measure::be_the_parent(command);
    }
    let options = Options::parse();
    if options.wants(Part::Trace) {
        trace::run(&options)?;
    }
    if options.wants(Part::Verify) {
        verify::run(&options)?;
    }
    let sizes = sizes(&options);
    if sizes.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    let repeats = sizes.iter().map(|size| size.repeats).max().unwrap_or(0);
    let mut bench = Bench::new(&options, 2 * u32::try_from(repeats)?)?;
    let machine = machine::describe(&options, &bench.server)?;
    for size in &sizes {
        bench.measure(*size)?;
    }
    report::publish(&bench, &machine)?;
    Ok(ExitCode::SUCCESS)
}

/// What is measured with how many tenants.
fn sizes(options: &Options) -> Vec<Size> {
    let mut sizes = ordinary_sizes(options);
    if options.wants(Part::Scale) {
        sizes.push(Size {
            tenants: 10_000,
            rounds: 1,
            rounds_of_peers: 0,
            repeats: 3,
            wire: true,
            is_scale: true,
        });
    }
    sizes
}

fn ordinary_sizes(options: &Options) -> Vec<Size> {
    let is_full = options.form == Form::Full;
    let wants_any = |parts: &[Part]| parts.iter().any(|part| options.wants(*part));
    let in_all = [Part::W1, Part::W2, Part::W3, Part::Peers];
    let given: &[usize] = match (is_full, &options.tenants[..]) {
        (true, []) => &[40, 200, 1_000],
        (false, []) => &[50, 200],
        (_, given) => given,
    };
    let Some(&largest) = given.iter().max() else {
        return Vec::new();
    };
    let mut tenants = given.to_vec();
    if !wants_any(&in_all) {
        // over the wire only one is measured
        tenants.retain(|&tenants| tenants == largest && options.wants(Part::Wire));
    }
    // fresh deploys take the longest, and W2 and W3 can be repeated on one
    let is_about_deploys = wants_any(&[Part::W1, Part::Peers]);
    let rounds_of = |tenants: usize| match tenants {
        _ if !is_about_deploys => 1,
        ..=300 if is_full => 5,
        _ if is_full => 3,
        _ => 2,
    };
    let rounds_of_peers = |tenants: usize| match tenants {
        ..=200 if is_full && options.wants(Part::Peers) => 2,
        ..=50 if options.wants(Part::Peers) => 1,
        _ => 0,
    };
    let size = |tenants: usize| Size {
        tenants,
        rounds: options.rounds.unwrap_or_else(|| rounds_of(tenants)),
        rounds_of_peers: rounds_of_peers(tenants),
        repeats: if is_about_deploys { 3 } else { 5 },
        wire: options.wants(Part::Wire) && tenants == largest,
        is_scale: false,
    };
    tenants.into_iter().map(size).collect()
}

/// Tells the person who waits.
#[expect(clippy::print_stderr, reason = "progress of a program")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}
