//! Rounds: within each, every tool runs once, in an order that changes, on a fresh database of its own.

use std::collections::BTreeMap;

use crate::bed;
use crate::options::Part;
use crate::results::{Key, Wire, Work};
use crate::run::{Bench, Job};
use crate::say;
use crate::tools::Tool;

/// How much is measured with one number of tenants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) tenants: usize,
    /// Fresh deploys.
    pub(crate) rounds: usize,
    /// Rounds that the other tools take part in: they are slow.
    pub(crate) rounds_of_peers: usize,
    /// How often, within a round, fleet and the raw limit go on with W2 and W3.
    pub(crate) repeats: usize,
    /// Whether the last round goes on over a long wire.
    pub(crate) wire: bool,
    /// Whether everything is measured, whatever else was asked for, and the last round ends with a process for each of
    /// fleet's tenants.
    pub(crate) is_scale: bool,
}

/// One round.
struct Round<'b, 'a> {
    bench: &'b mut Bench<'a>,
    size: Size,
    number: usize,
    tools: Vec<Tool>,
    tenants: Vec<String>,
    /// What each tool's tenants have by now.
    versions: BTreeMap<Tool, u32>,
}

impl Bench<'_> {
    /// Measures everything with one number of tenants.
    pub(crate) fn measure(&mut self, size: Size) -> anyhow::Result<()> {
        for number in 0..size.rounds {
            say(&format!(
                "{} tenants, round {} of {}",
                size.tenants,
                number + 1,
                size.rounds
            ));
            let mut tools = vec![Tool::Fleet, Tool::Raw];
            if number < size.rounds_of_peers {
                tools.extend(self.workshop.peers());
            }
            let mut round = Round {
                bench: self,
                size,
                number,
                tools,
                tenants: Vec::new(),
                versions: BTreeMap::new(),
            };
            round.run()?;
        }
        Ok(())
    }
}

impl Round<'_, '_> {
    fn run(&mut self) -> anyhow::Result<()> {
        self.prepare()?;
        self.deploy()?;
        let is_last = self.number + 1 == self.size.rounds;
        let over_the_wire = is_last && self.size.wire;
        if self.wants(Part::W2) || self.wants(Part::W3) || over_the_wire {
            for tool in &self.tools {
                bed::fill(&self.bench.server, tool.database(), &self.tenants)?;
            }
        }
        for repeat in 0..self.size.repeats {
            if self.wants(Part::W2) {
                self.one_more(repeat, Wire::Loopback)?;
            }
        }
        self.nothing_to_do(Wire::Loopback, self.wants(Part::W3))?;
        if over_the_wire {
            for repeat in 0..self.size.repeats {
                self.one_more(repeat, Wire::Long)?;
            }
            self.nothing_to_do(Wire::Long, true)?;
        }
        if is_last && self.size.is_scale && self.bench.options.stock_refinery.is_some() {
            self.process_a_tenant()?;
        }
        // the largest go with the server, which is faster
        if !self.size.is_scale {
            for tool in &self.tools {
                self.bench.server.drop(tool.database())?;
            }
        }
        Ok(())
    }

    fn wants(&self, part: Part) -> bool {
        self.size.is_scale || self.bench.options.wants(part)
    }

    fn prepare(&mut self) -> anyhow::Result<()> {
        let server = &self.bench.server;
        let template = bed::template(server, self.size.tenants)?;
        for tool in &self.tools {
            server.create(tool.database(), &template)?;
            self.bench.workshop.make_ready(server, *tool)?;
        }
        self.tenants = bed::tenants(server, &template)?;
        Ok(())
    }

    /// The tools, beginning with another one each time.
    fn in_turns(&self, turn: usize) -> Vec<Tool> {
        let mut tools = self.tools.clone();
        let first = (self.number + turn) % tools.len();
        tools.rotate_left(first);
        tools
    }

    fn run_one(
        &mut self,
        (work, wire): (Work, Wire),
        repeat: usize,
        tool: Tool,
        to: u32,
    ) -> anyhow::Result<()> {
        let from = *self.versions.get(&tool).unwrap_or(&0);
        self.bench.run(&Job {
            key: Key {
                work,
                wire,
                tenants: self.size.tenants,
                tool,
            },
            database: tool.database(),
            turn: (self.number, repeat),
            from,
            to,
            tenants: &self.tenants,
        })?;
        if tool.migrates() {
            self.versions.insert(tool, to);
        }
        Ok(())
    }

    fn deploy(&mut self) -> anyhow::Result<()> {
        for tool in self.in_turns(0) {
            self.run_one((Work::W1, Wire::Loopback), 0, tool, 10)?;
        }
        bed::compare(&self.bench.server, &self.tools)
    }

    /// W2. The other tools take part once.
    fn one_more(&mut self, repeat: usize, wire: Wire) -> anyhow::Result<()> {
        for tool in self.in_turns(repeat) {
            let is_ours = matches!(tool, Tool::Fleet | Tool::Raw);
            if is_ours || (repeat == 0 && wire == Wire::Loopback) {
                let to = self.versions.get(&tool).unwrap_or(&10) + 1;
                self.run_one((Work::W2, wire), repeat, tool, to)?;
            }
        }
        if repeat == 0 && wire == Wire::Loopback {
            bed::compare(&self.bench.server, &self.tools)?;
        }
        Ok(())
    }

    /// W3: fleet, and what reads the histories that it has left. The other tools once.
    fn nothing_to_do(&mut self, wire: Wire, is_wanted: bool) -> anyhow::Result<()> {
        if !is_wanted {
            return Ok(());
        }
        let to = *self.versions.get(&Tool::Fleet).unwrap_or(&10);
        let key = Key {
            work: Work::W3,
            wire,
            tenants: self.size.tenants,
            tool: Tool::Read,
        };
        self.bench.find_fastest_read(&Job {
            key,
            database: Tool::Read.database(),
            turn: (self.number, 0),
            from: to,
            to,
            tenants: &self.tenants,
        })?;
        let ours = [Tool::Fleet, Tool::Read, Tool::Query];
        // quick ones need more rounds to say something
        for repeat in 0..self.size.repeats.max(5) {
            for turn in 0..ours.len() {
                let tool = ours[(repeat + turn) % ours.len()];
                self.run_one((Work::W3, wire), repeat, tool, to)?;
            }
        }
        if wire == Wire::Loopback {
            for tool in self.tools.clone().into_iter().skip(2) {
                let to = *self.versions.get(&tool).unwrap_or(&10);
                self.run_one((Work::W3, wire), 0, tool, to)?;
            }
        }
        Ok(())
    }

    /// W3 as a loop over tenants does it, on what fleet has left.
    fn process_a_tenant(&mut self) -> anyhow::Result<()> {
        let to = *self.versions.get(&Tool::Fleet).unwrap_or(&10);
        self.bench.run(&Job {
            key: Key {
                work: Work::W3,
                wire: Wire::Loopback,
                tenants: self.size.tenants,
                tool: Tool::Refinery,
            },
            database: Tool::Fleet.database(),
            turn: (self.number, 0),
            from: to,
            to,
            tenants: &self.tenants,
        })
    }
}
