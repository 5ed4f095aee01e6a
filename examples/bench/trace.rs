//! A listing of the round trips of a run, seen at a proxy in front of the server.

use std::fmt::Write as _;
use std::time::Duration;

use crate::bed;
use crate::measure;
use crate::options::Options;
use crate::proxy::{Proxy, Trip};
use crate::server::Server;
use crate::tools::{Call, ReadPlan, Tool, Workshop};

/// Long enough to see what waits for what.
const EACH_WAY: Duration = Duration::from_micros(2_500);

/// Prints what is said in a fresh deploy, one more migration and with nothing to do.
#[expect(clippy::print_stdout, reason = "the result of a program")]
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    let server = Server::new(&options.server)?;
    let workshop = Workshop::prepare(options, 2)?;
    let count = options.tenants.first().copied().unwrap_or(20);
    let template = bed::template(&server, count)?;
    let proxy = Proxy::start(server.address(), EACH_WAY)?;
    let address = proxy.address();
    for tool in [Tool::Fleet, Tool::Raw] {
        let database = tool.database();
        server.create(database, &template)?;
        let tenants = bed::tenants(&server, database)?;
        for (what, from, to) in [
            ("W1, a fresh deploy", 0, 10),
            ("W2, one more migration", 10, 11),
            ("W2 again", 11, 12),
            ("W3, nothing to do", 12, 12),
        ] {
            if tool == Tool::Raw && from == to {
                continue;
            }
            let call = Call {
                tool,
                database,
                address: &address,
                from,
                to,
                tenants: &tenants,
                read: ReadPlan::default(),
            };
            let words = workshop.words(&call)?;
            proxy.take_traffic();
            proxy.listen();
            let usage = measure::run(&words)?;
            let traffic = proxy.take_traffic();
            println!(
                "\n## {}: {what}, {count} tenants, {} ms each way\n\n{:.0} ms, {} connections, {} at a time, {} round trips\n",
                tool.name(),
                EACH_WAY.as_secs_f64() * 1e3,
                usage.wall.as_secs_f64() * 1e3,
                traffic.connections,
                traffic.peak,
                traffic.round_trips,
            );
            print!("{}", listing(&proxy.take_trips()));
        }
    }
    Ok(())
}

/// A line a round trip: when it began and ended, on which connection, what was said.
fn listing(trips: &[Trip]) -> String {
    let Some(start) = trips.first().map(|trip| trip.begun) else {
        return String::new();
    };
    let mut lines =
        String::from("| ms | to | connection | sent | got | what |\n|---|---|---|---|---|---|\n");
    for trip in trips {
        let at = |instant: std::time::Instant| instant.duration_since(start).as_secs_f64() * 1e3;
        let _ = writeln!(
            lines,
            "| {:.1} | {:.1} | {} | {} | {} | {} |",
            at(trip.begun),
            at(trip.ended),
            trip.connection,
            trip.said.len(),
            trip.answer_bytes,
            trip.words().replace('|', "\\|"),
        );
    }
    lines
}
