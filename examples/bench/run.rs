//! One run of one tool, with everything around it that is counted.

use std::time::Duration;

use crate::measure;
use crate::options::Options;
use crate::processes::Watch;
use crate::proxy::Proxy;
use crate::results::{Key, Results, Sample, Wire, Work};
use crate::say;
use crate::server::Server;
use crate::tools::{Call, ReadPlan, Workshop};

/// How long the long wire is.
pub(crate) const EACH_WAY: Duration = Duration::from_micros(2_500);

/// Everything that a run needs.
pub(crate) struct Bench<'a> {
    pub(crate) options: &'a Options,
    pub(crate) server: Server,
    pub(crate) workshop: Workshop<'a>,
    pub(crate) proxy: Proxy,
    pub(crate) results: Results,
    /// The fastest way to read histories that was found, for the number of tenants at hand.
    pub(crate) read: ReadPlan,
}

/// A run that is to be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job<'a> {
    pub(crate) key: Key,
    /// The round, and how often it was done before in this round.
    pub(crate) turn: (usize, usize),
    pub(crate) database: &'a str,
    pub(crate) from: u32,
    pub(crate) to: u32,
    pub(crate) tenants: &'a [String],
}

impl<'a> Bench<'a> {
    pub(crate) fn new(options: &'a Options, more_migrations: u32) -> anyhow::Result<Self> {
        let server = Server::new(&options.server)?;
        let proxy = Proxy::start(server.address(), EACH_WAY)?;
        let workshop = Workshop::prepare(options, more_migrations)?;
        workshop.write_for_peers()?;
        Ok(Self {
            options,
            server,
            workshop,
            proxy,
            results: Results::default(),
            read: ReadPlan::default(),
        })
    }

    /// Runs a job and keeps what it has cost.
    pub(crate) fn run(&mut self, job: &Job<'_>) -> anyhow::Result<()> {
        let sample = self.sample(job)?;
        say(&format!(
            "  {:?}{} {} tenants, {}: {:.0} ms",
            job.key.work,
            match job.key.wire {
                Wire::Loopback => "",
                Wire::Long => " over the wire",
            },
            job.key.tenants,
            job.key.tool.name(),
            sample.wall_ms()
        ));
        self.results.add(job.key, sample);
        Ok(())
    }

    /// Runs a job.
    pub(crate) fn sample(&self, job: &Job<'_>) -> anyhow::Result<Sample> {
        let by_proxy = self.proxy.address();
        let words = self.workshop.words(&Call {
            tool: job.key.tool,
            database: job.database,
            address: match job.key.wire {
                Wire::Loopback => self.server.address(),
                Wire::Long => &by_proxy,
            },
            from: job.from,
            to: job.to,
            tenants: job.tenants,
            read: self.read,
        })?;
        if matches!(job.key.work, Work::W1 | Work::W2) {
            self.server.settle()?;
        }
        let before = self.server.counters(job.database)?;
        self.proxy.take_traffic();
        let watch = Watch::start(self.server.postmaster(), job.database);
        let usage = measure::run(&words)?;
        let backend_kib = watch.stop();
        let traffic = self.proxy.take_traffic();
        let after = self.server.counters(job.database)?;
        Ok(Sample {
            turn: job.turn,
            usage,
            server: after.since(before),
            backend_kib,
            traffic: (job.key.wire == Wire::Long).then_some(traffic),
        })
    }

    /// Looks for the fastest way to read the histories that are in a database.
    pub(crate) fn find_fastest_read(&mut self, job: &Job<'_>) -> anyhow::Result<()> {
        let mut found = Vec::new();
        for read in READS {
            self.read = read;
            let runs = (0..3).map(|_| self.sample(job));
            let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
            let fastest = runs.iter().map(|run| run.usage.wall).min();
            found.push((fastest, read));
        }
        found.sort_by_key(|(fastest, _)| *fastest);
        if let Some((_, read)) = found.first() {
            self.read = *read;
            let place = (job.key.wire, job.key.tenants);
            self.results.reads.insert(place, *read);
        }
        Ok(())
    }
}

/// What the fastest read is looked for among. Others were slower wherever they were tried: UNION ALL and plain SELECTs of
/// any number of tenants a message cost the server two to three times as much, and one connection leaves a core idle.
const READS: [ReadPlan; 4] = [copy(2, 100), copy(4, 100), copy(8, 25), copy(8, 100)];

const fn copy(connections: usize, tenants_a_message: usize) -> ReadPlan {
    ReadPlan {
        style: "copy",
        tenants_a_message,
        connections,
    }
}
