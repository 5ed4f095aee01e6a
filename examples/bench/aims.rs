//! What fleet wants to reach, and whether it did.

use crate::report::{as_number, thousands};
use crate::results::{Key, Results, Sample, Wire, Work};
use crate::tools::Tool;

/// One line of the summary.
#[derive(Clone, Debug)]
pub(crate) struct Aim {
    pub(crate) what: String,
    pub(crate) wanted: String,
    pub(crate) seen: String,
    pub(crate) is_reached: bool,
}

/// Every aim that something was measured for.
pub(crate) fn judge(results: &Results, connections: usize) -> Vec<Aim> {
    let judge = Judge {
        results,
        connections,
    };
    let mut aims = judge.at_the_limit();
    aims.extend(judge.nothing_to_do());
    aims.extend(judge.over_the_wire());
    aims.extend(judge.growth());
    aims.extend(judge.memory());
    aims.extend(judge.connections());
    aims.extend(judge.commits());
    aims
}

struct Judge<'a> {
    results: &'a Results,
    connections: usize,
}

/// What fleet did.
fn fleet(work: Work, wire: Wire, tenants: usize) -> Key {
    Key {
        work,
        wire,
        tenants,
        tool: Tool::Fleet,
    }
}

impl Judge<'_> {
    /// The numbers of tenants that something was measured with.
    fn sizes(&self, work: Work, wire: Wire) -> Vec<usize> {
        let keys = self.results.keys();
        let keys = keys.filter(|key| *key == fleet(work, wire, key.tenants));
        keys.map(|key| key.tenants).collect()
    }

    /// The largest of them.
    fn largest(&self, work: Work, wire: Wire) -> Option<usize> {
        self.sizes(work, wire).into_iter().max()
    }

    /// W1 and W2 against the raw limit. Fewer than 200 tenants are mostly start and end.
    fn at_the_limit(&self) -> Vec<Aim> {
        let mut aims = Vec::new();
        for work in [Work::W1, Work::W2] {
            let sizes = self.sizes(work, Wire::Loopback);
            for tenants in sizes
                .into_iter()
                .filter(|tenants| (200..10_000).contains(tenants))
            {
                let key = fleet(work, Wire::Loopback, tenants);
                let what = format!(
                    "{work:?}, {} tenants: time against the raw limit",
                    thousands(tenants)
                );
                aims.extend(self.ratio(what, key, Tool::Raw, 1.05));
            }
        }
        aims
    }

    /// An aim that a ratio of times is no more than that.
    fn ratio(&self, what: String, key: Key, against: Tool, most: f64) -> Option<Aim> {
        let ratio = self.results.ratio(key, key.by(against), Sample::wall_ms)?;
        Some(Aim {
            what,
            wanted: format!("≤ {most:.2}"),
            seen: format!(
                "{:.2} (rounds {:.2} to {:.2})",
                ratio.median, ratio.least, ratio.most
            ),
            is_reached: ratio.median <= most,
        })
    }

    /// W3 against the fastest read, a process a tenant and a query a tenant.
    fn nothing_to_do(&self) -> Vec<Aim> {
        let Some(tenants) = self.largest(Work::W3, Wire::Loopback) else {
            return Vec::new();
        };
        let key = fleet(Work::W3, Wire::Loopback, tenants);
        let of = format!("W3, {} tenants", thousands(tenants));
        let mut aims = Vec::new();
        let what = format!("{of}: time against the fastest set-based read");
        aims.extend(self.ratio(what, key, Tool::Read, 1.2));
        if tenants < 10_000 {
            return aims;
        }
        aims.extend(self.faster(
            format!("{of}: against a process a tenant"),
            key,
            Tool::Refinery,
        ));
        let what = format!("{of}: against a query a tenant, 2.5 ms each way");
        aims.extend(self.faster(what, fleet(Work::W3, Wire::Long, tenants), Tool::Query));
        aims
    }

    /// An aim to be fifty times as fast.
    fn faster(&self, what: String, key: Key, than: Tool) -> Option<Aim> {
        let (ours, theirs) = (
            self.results.wall_ms(key)?,
            self.results.wall_ms(key.by(than))?,
        );
        Some(Aim {
            what,
            wanted: "≥ 50 times as fast".to_owned(),
            seen: format!("{:.0} times ({ours:.0} ms, {theirs:.0} ms)", theirs / ours),
            is_reached: theirs / ours >= 50.0,
        })
    }

    fn over_the_wire(&self) -> Vec<Aim> {
        let sizes = self.sizes(Work::W2, Wire::Long);
        sizes
            .into_iter()
            .flat_map(|tenants| self.over_the_wire_with(tenants))
            .collect()
    }

    fn over_the_wire_with(&self, tenants: usize) -> Vec<Aim> {
        let key = fleet(Work::W2, Wire::Long, tenants);
        let of = format!("W2, {} tenants, 2.5 ms each way", thousands(tenants));
        let trips = self.results.median(key, |sample| {
            sample
                .traffic
                .map_or(f64::NAN, |traffic| as_number(traffic.round_trips))
        });
        let trips = trips.map(|trips| trips / as_number(tenants));
        let trips = trips.map(|trips| Aim {
            what: format!("{of}: round trips a tenant"),
            wanted: "≤ 1.30".to_owned(),
            seen: format!("{trips:.2}"),
            is_reached: trips <= 1.3,
        });
        let what = format!("{of}: time against the raw limit");
        trips
            .into_iter()
            .chain(self.ratio(what, key, Tool::Raw, 1.1))
            .collect()
    }

    /// What a tenant of W2 costs where there are ten times as many.
    fn growth(&self) -> Option<Aim> {
        let few = fleet(Work::W2, Wire::Loopback, 1_000);
        let many = few.with(10_000);
        let growth = |tool| {
            let (few, many) = (few.by(tool), many.by(tool));
            Some(self.results.wall_ms(many)? / self.results.wall_ms(few)? / 10.0)
        };
        let (ours, limit) = (growth(Tool::Fleet)?, growth(Tool::Raw)?);
        Some(Aim {
            what: "W2: growth of a tenant's cost from 1,000 to 10,000 tenants".to_owned(),
            wanted: format!("≤ the raw limit's, × {limit:.2}"),
            seen: format!("× {ours:.2}"),
            is_reached: ours <= limit,
        })
    }

    /// fleet's own memory, and that of the largest backend.
    fn memory(&self) -> Vec<Aim> {
        let mut aims = Vec::new();
        for (work, tenants) in [Work::W1, Work::W2, Work::W3]
            .into_iter()
            .filter_map(|work| Some((work, self.largest(work, Wire::Loopback)?)))
        {
            let key = fleet(work, Wire::Loopback, tenants);
            let of = format!("{work:?}, {} tenants", thousands(tenants));
            let most = |number: fn(&Sample) -> u64| {
                let kib = self.results.samples(key).iter().map(number).max();
                as_number(kib.unwrap_or(0)) / 1024.0
            };
            let client = most(|sample| sample.usage.peak_kib);
            aims.push(Aim {
                what: format!("{of}: fleet's memory at its peak"),
                wanted: "≤ 40 MiB".to_owned(),
                seen: format!("{client:.1} MiB"),
                is_reached: client <= 40.0,
            });
            let backend = most(|sample| sample.backend_kib);
            aims.push(Aim {
                what: format!("{of}: own memory of the largest backend"),
                wanted: format!("≤ {BACKEND_MIB:.0} MiB"),
                seen: format!("{backend:.1} MiB"),
                is_reached: backend <= BACKEND_MIB,
            });
        }
        aims
    }

    /// The most connections at a time, as the proxy has counted them.
    fn connections(&self) -> Option<Aim> {
        let keys = self.results.keys().filter(|key| key.tool == Tool::Fleet);
        let samples = keys.flat_map(|key| self.results.samples(key));
        let peak = samples
            .filter_map(|sample| Some(sample.traffic?.peak))
            .max()?;
        Some(Aim {
            what: "connections at a time, counted at the proxy".to_owned(),
            wanted: format!("≤ max_connections + 1 = {}", self.connections + 1),
            seen: peak.to_string(),
            is_reached: peak <= self.connections + 1,
        })
    }

    /// Transactions of a run of one migration a tenant, beyond one a tenant.
    fn commits(&self) -> Vec<Aim> {
        let mut sizes = self.sizes(Work::W2, Wire::Loopback);
        sizes.retain(|&tenants| tenants >= 200);
        let aim = |tenants: usize| {
            let key = fleet(Work::W2, Wire::Loopback, tenants);
            // the least of the rounds: the server's own housekeeping commits too
            let least = |number: fn(&Sample) -> u64| {
                let counts = self.results.samples(key).iter().map(number);
                counts
                    .min()
                    .map(|count| as_number(count) - as_number(tenants))
            };
            let (all, writing) = (least(|s| s.server.commits)?, least(|s| s.server.writes)?);
            let allowed = as_number(tenants) / 20.0;
            Some(Aim {
                what: format!(
                    "W2, {} tenants: commits beyond the tenants' own",
                    thousands(tenants)
                ),
                wanted: format!("≤ {allowed:.0}, 1 per 20 tenants"),
                seen: format!("{all:.0}, of which {writing:.0} wrote"),
                is_reached: all <= allowed,
            })
        };
        sizes.into_iter().filter_map(aim).collect()
    }
}

/// Room for the catalogue caches of some hundred tenants beside what every backend has.
const BACKEND_MIB: f64 = 64.0;
