//! What was measured, and what is said about it: medians, never a single round.

use std::collections::BTreeMap;

use crate::measure::Usage;
use crate::proxy::Traffic;
use crate::server::Counters;
use crate::tools::{ReadPlan, Tool};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// A fresh deploy.
    W1,
    /// One more migration.
    W2,
    /// Nothing to do.
    W3,
    /// Comparing tenants.
    Verify,
}

/// What lies between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wire {
    Loopback,
    /// 2.5 ms each way.
    Long,
}

/// One line of a table, one point of a plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) work: Work,
    pub(crate) wire: Wire,
    pub(crate) tenants: usize,
    pub(crate) tool: Tool,
}

/// One run of one tool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The round, and the turn in it: what ran beside what.
    pub(crate) turn: (usize, usize),
    pub(crate) usage: Usage,
    pub(crate) server: Counters,
    /// Own memory of the largest backend.
    pub(crate) backend_kib: u64,
    /// Over a long wire only.
    pub(crate) traffic: Option<Traffic>,
}

impl Sample {
    pub(crate) fn wall_ms(&self) -> f64 {
        self.usage.wall.as_secs_f64() * 1e3
    }

    /// CPU of both sides, which other work on the machine does not change much.
    pub(crate) fn cpu_ms(&self) -> f64 {
        (self.usage.cpu + self.server.cpu).as_secs_f64() * 1e3
    }
}

/// A median, and the least and the most of its rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    series: BTreeMap<Key, Vec<Sample>>,
    /// How the fastest read went, with how many tenants and over which wire.
    pub(crate) reads: BTreeMap<(Wire, usize), ReadPlan>,
}

impl Results {
    pub(crate) fn add(&mut self, key: Key, sample: Sample) {
        self.series.entry(key).or_default().push(sample);
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.series.keys().copied()
    }

    pub(crate) fn samples(&self, key: Key) -> &[Sample] {
        self.series.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Of one number over the rounds.
    pub(crate) fn spread(&self, key: Key, number: impl Fn(&Sample) -> f64) -> Option<Spread> {
        spread(self.samples(key).iter().map(number).collect())
    }

    pub(crate) fn median(&self, key: Key, number: impl Fn(&Sample) -> f64) -> Option<f64> {
        Some(self.spread(key, number)?.median)
    }

    pub(crate) fn wall_ms(&self, key: Key) -> Option<f64> {
        self.median(key, Sample::wall_ms)
    }

    /// The ratio of the medians of a number, with the least and the most of the ratios of single rounds.
    pub(crate) fn ratio(
        &self,
        key: Key,
        against: Key,
        number: impl Fn(&Sample) -> f64 + Copy,
    ) -> Option<Spread> {
        let (ours, theirs) = (self.samples(key), self.samples(against));
        let rounds = ours.iter().filter_map(|our| {
            let beside = theirs.iter().find(|their| their.turn == our.turn)?;
            Some(number(our) / number(beside))
        });
        let of_rounds = spread(rounds.collect())?;
        Some(Spread {
            median: self.median(key, number)? / self.median(against, number)?,
            ..of_rounds
        })
    }
}

/// None of nothing.
fn spread(mut numbers: Vec<f64>) -> Option<Spread> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    Some(Spread {
        median: f64::midpoint(
            *numbers.get((numbers.len().max(1) - 1) / 2)?,
            numbers[middle],
        ),
        least: *numbers.first()?,
        most: *numbers.last()?,
    })
}

impl Key {
    /// The same, done by another tool.
    pub(crate) fn by(self, tool: Tool) -> Self {
        Self { tool, ..self }
    }

    /// The same with another number of tenants.
    pub(crate) fn with(self, tenants: usize) -> Self {
        Self { tenants, ..self }
    }
}
