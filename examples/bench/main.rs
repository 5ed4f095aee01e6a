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
    let is_full = options.form == Form::Full;
    let wants_ordinary = [Part::W1, Part::W2, Part::W3, Part::Wire, Part::Peers];
    let ordinary: &[usize] = match (is_full, &options.tenants[..]) {
        _ if !wants_ordinary.into_iter().any(|part| options.wants(part)) => &[],
        (true, []) => &[40, 200, 1_000],
        (false, []) => &[50, 200],
        (_, given) => given,
    };
    let largest = ordinary.iter().max().copied();
    let mut sizes: Vec<Size> = ordinary
        .iter()
        .map(|&tenants| {
            let peers = if is_full { 2 } else { 1 };
            let rounds = match tenants {
                ..=300 if is_full => 5,
                _ if is_full => 3,
                _ => 2,
            };
            Size {
                tenants,
                rounds: options.rounds.unwrap_or(rounds),
                rounds_of_peers: if options.wants(Part::Peers) && tenants <= 200 {
                    peers
                } else {
                    0
                },
                repeats: 3,
                wire: options.wants(Part::Wire) && Some(tenants) == largest,
                process_a_tenant: false,
            }
        })
        .collect();
    if options.wants(Part::Scale) {
        sizes.push(Size {
            tenants: 10_000,
            rounds: 1,
            rounds_of_peers: 0,
            repeats: 3,
            wire: true,
            process_a_tenant: true,
        });
    }
    sizes
}

/// Tells the person who waits.
#[expect(clippy::print_stderr, reason = "progress of a program")]
pub(crate) fn say(what: &str) {
    eprintln!("{what}");
}
