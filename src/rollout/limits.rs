//! How many tenants of each database may be in work now: the one place where everything that has a say in
//! it comes together. The config's ceiling; what `concurrency: auto` has found out; the brake, for a server that has to
//! bear more than its limits; the ramp, for one that came back or has no connections to give. The lowest counts.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::brake::{Brake, ThrottleLimits};
use super::governor::{Governor, Ticket};
use super::policy::{Concurrency, Pace};
use super::ramp::Ramp;
use crate::migrator::Pressure;
use crate::run::{Measure, PaceChange, PaceReason, Throttled};
use crate::tenant::DatabaseName;

/// How long the first tenant waits at most for the first look at its server.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// The application's share of a server's slots, which `auto` leaves free: one in ten, and no fewer than three.
const SHARE: u64 = 10;
const LEAST_SHARE: u64 = 3;

/// The limits of all databases.
pub(super) struct Limits {
    concurrency: Concurrency,
    databases: HashMap<DatabaseName, Limit>,
    /// Nothing is started any more but what must be looked at: no brake holds that up.
    is_stopping: bool,
    begun: Instant,
}

/// What has a say in one database.
struct Limit {
    ceiling: usize,
    max_connections: usize,
    /// A look has a connection, or is about to.
    is_looking: bool,
    /// Whether its server was looked at, or need not be.
    is_seen: bool,
    brake: Brake,
    governor: Option<Governor>,
    ramp: Option<Ramp>,
    /// The lowest limit for want of connections that was told.
    told: usize,
}

impl Limit {
    /// What there would be without the brake.
    fn free(&self) -> usize {
        let governed = self.governor.as_ref().map(Governor::tenants);
        let ramp = self.ramp.as_ref().map(Ramp::tenants);
        let lower = [governed, ramp].into_iter().flatten();
        lower.fold(self.ceiling, usize::min)
    }

    /// How many connections may be had.
    fn connections(&self) -> usize {
        let governed = self.governor.as_ref().map(Governor::bound);
        let ramp = self.ramp.as_ref().map(Ramp::tenants);
        let lower = [governed, ramp].into_iter().flatten();
        lower.fold(self.max_connections, usize::min)
    }

    fn tenants(&self, is_stopping: bool) -> usize {
        match self.brake.tenants() {
            Some(braked) if !is_stopping => self.free().min(braked),
            _ => self.free(),
        }
    }
}

impl Limits {
    pub(super) fn new(concurrency: Concurrency) -> Self {
        Self {
            concurrency,
            databases: HashMap::new(),
            is_stopping: false,
            begun: Instant::now(),
        }
    }

    /// Whether there is anything to look for at the servers.
    pub(super) fn is_watching(&self) -> bool {
        !self.is_stopping
            && (self.concurrency.pace == Pace::Auto
                || self.concurrency.throttle != ThrottleLimits::NONE)
    }

    /// Takes a database in, if it is not known yet.
    pub(super) fn add(&mut self, database: &DatabaseName) {
        if self.databases.contains_key(database) {
            return;
        }
        let ceiling = self.concurrency.limit(database);
        let limit = Limit {
            // more than the fleet's at a time it never has
            ceiling: ceiling.min(self.concurrency.fleet.get()),
            max_connections: ceiling,
            is_looking: false,
            is_seen: !self.is_watching(),
            brake: Brake::new(self.concurrency.throttle),
            governor: (self.concurrency.pace == Pace::Auto)
                .then(|| Governor::new(ceiling, Instant::now())),
            ramp: None,
            told: usize::MAX,
        };
        self.databases.insert(database.clone(), limit);
    }

    /// How many tenants of a database may be in work now.
    pub(super) fn tenants(&self, database: &DatabaseName) -> usize {
        match self.databases.get(database) {
            Some(limit) if limit.is_seen => {
                let workers = limit.connections() - usize::from(limit.is_looking);
                limit.tenants(self.is_stopping).min(workers)
            }
            _ => 0,
        }
    }

    /// Begins a look at a server, if there is a connection for it beside so many workers: else it waits until
    /// one of them is done, and before that nothing could be started anyway.
    pub(super) fn begin_look(&mut self, database: &DatabaseName, workers: usize) -> bool {
        let Some(limit) = self.databases.get_mut(database) else {
            return false;
        };
        limit.is_looking = workers < limit.connections();
        limit.is_looking
    }

    /// How many there will be, as far as is known now: for these it is prepared.
    pub(super) fn prospect(&self, database: &DatabaseName) -> usize {
        let limit = self.databases.get(database);
        limit.map_or(0, |limit| limit.tenants(self.is_stopping))
    }

    /// How many tenants should be claimed to be started soon: any number, but few where fleet is made to do
    /// less, or may be. Each is one that a crash leaves as interrupted.
    pub(super) fn ahead(&self, database: &DatabaseName) -> usize {
        let is_slow = |limit: &Limit| !limit.is_seen || limit.brake.tenants().is_some();
        if self.databases.get(database).is_some_and(is_slow) {
            self.prospect(database) * 2
        } else {
            usize::MAX
        }
    }

    /// From now on nothing holds up what must still be started.
    pub(super) fn stop(&mut self) {
        self.is_stopping = true;
        for limit in self.databases.values_mut() {
            limit.is_seen = true;
            limit.is_looking = false;
        }
    }

    /// When something changes by time alone.
    pub(super) fn next_change(&self) -> Option<Instant> {
        let limits = self.databases.values();
        let first_look = |limit: &Limit| (!limit.is_seen).then(|| self.begun + FIRST_LOOK);
        limits
            .filter_map(|limit| {
                let rise = limit.ramp.as_ref().map(Ramp::rises_at);
                rise.into_iter().chain(first_look(limit)).min()
            })
            .min()
    }

    /// Lets limits rise whose time has come, and drops those that have reached the ceiling.
    pub(super) fn rise(&mut self, now: Instant) {
        let is_late = now >= self.begun + FIRST_LOOK;
        for limit in self.databases.values_mut() {
            limit.is_seen |= is_late;
            if let Some(ramp) = &mut limit.ramp
                && !ramp.rise(now, limit.ceiling)
            {
                limit.ramp = None;
            }
        }
    }

    /// A database has come back.
    pub(super) fn restart(&mut self, database: &DatabaseName, now: Instant) {
        if let Some(limit) = self.databases.get_mut(database) {
            limit.ramp = Some(Ramp::restart(now));
            if let Some(governor) = &mut limit.governor {
                governor.void(now);
            }
        }
    }

    /// It gives no more than so many connections. Whether these are fewer than were known before, and
    /// whether that is another number for `auto`.
    pub(super) fn shrink(
        &mut self,
        database: &DatabaseName,
        tenants: usize,
        now: Instant,
    ) -> (bool, Option<PaceChange>) {
        let Some(limit) = self.databases.get_mut(database) else {
            return (false, None);
        };
        let is_news = tenants < limit.told;
        limit.told = limit.told.min(tenants);
        limit.ramp = Some(Ramp::shrink(tenants, now));
        let governor = limit.governor.as_mut();
        let change = governor.and_then(|governor| {
            let reason = governor.step_back(tenants, PaceReason::Refused, now)?;
            Some(found(governor, reason))
        });
        (is_news, change)
    }

    /// What `auto` begins with.
    pub(super) fn beginning(&self, database: &DatabaseName) -> Option<PaceChange> {
        let governor = self.databases.get(database)?.governor.as_ref()?;
        Some(found(governor, PaceReason::Start))
    }

    /// A tenant is started.
    pub(super) fn started(&mut self, database: &DatabaseName) -> Ticket {
        let limit = self.databases.get_mut(database);
        let governor = limit.and_then(|limit| limit.governor.as_mut());
        governor.map_or_else(Ticket::default, Governor::started)
    }

    /// It has left its worker; `work` is how much of it that was, where it was worked on.
    pub(super) fn finished(
        &mut self,
        database: &DatabaseName,
        ticket: Ticket,
        work: Option<Duration>,
        now: Instant,
    ) -> Option<PaceChange> {
        let limit = self.databases.get_mut(database)?;
        let is_held = limit.ramp.is_some() || limit.brake.tenants().is_some();
        let governor = limit.governor.as_mut()?;
        if is_held {
            governor.void(now);
            return None;
        }
        let reason = governor.finished(ticket, work, now)?;
        Some(found(governor, reason))
    }

    /// A look at a server has ended. What comes of it.
    pub(super) fn looked(
        &mut self,
        database: &DatabaseName,
        seen: Option<&Pressure>,
        now: Instant,
    ) -> Vec<PaceChange> {
        let Some(limit) = self.databases.get_mut(database) else {
            return Vec::new();
        };
        limit.is_looking = false;
        let is_first = !std::mem::replace(&mut limit.is_seen, true);
        // a look that failed is no news: lost servers are somebody else's concern
        let Some(seen) = seen else {
            return Vec::new();
        };
        let mut changes = Vec::new();
        if let Some(governor) = &mut limit.governor {
            let bounded = governor.bound_to(available(seen), now);
            let reason = bounded.or_else(|| {
                let tenants = governor.tenants();
                is_in_the_way(seen, tenants)
                    .then(|| governor.step_back(tenants / 2, PaceReason::LockWaits, now))?
            });
            changes.extend(reason.map(|reason| found(governor, reason)));
        }
        let free = if is_first { 0 } else { limit.free() };
        changes.extend(limit.brake.look(seen, free, now));
        changes
    }

    /// How many connections `auto` keeps where it has more, which are the application's.
    pub(super) fn surplus(&self, seen: &Pressure) -> Option<usize> {
        let available = available(seen).max(1);
        let is_more = seen.workers > available as u64;
        (self.concurrency.pace == Pace::Auto && is_more).then_some(available)
    }

    /// Measures with a limit of which not everything is seen.
    pub(super) fn unseen(&self, seen: &Pressure) -> Vec<Measure> {
        self.concurrency.throttle.unseen(seen)
    }

    /// The run is over. Which databases were on their way back to as many as there might be.
    pub(super) fn let_go(&mut self, now: Instant) -> Vec<(DatabaseName, PaceChange)> {
        let limits = self.databases.iter_mut();
        limits
            .filter_map(|(database, limit)| Some((database.clone(), limit.brake.let_go(now)?)))
            .collect()
    }

    /// What has kept the run from starting as many tenants as it might have.
    pub(super) fn throttled(&mut self, now: Instant) -> Vec<Throttled> {
        let mut all = Vec::new();
        for (database, limit) in &mut self.databases {
            all.extend(
                limit
                    .brake
                    .spent(now)
                    .iter()
                    .map(|(worst, lasted)| Throttled {
                        database: database.clone(),
                        worst: *worst,
                        lasted: *lasted,
                    }),
            );
        }
        all.sort_by(|a, b| b.lasted.cmp(&a.lasted).then(a.database.cmp(&b.database)));
        all
    }
}

fn found(governor: &Governor, reason: PaceReason) -> PaceChange {
    PaceChange::Found {
        tenants: governor.tenants(),
        reason,
    }
}

/// How many connections fleet's workers may have beside the application's share.
fn available(seen: &Pressure) -> usize {
    let share = (seen.slots / SHARE).max(LEAST_SHARE);
    let beside_share = (seen.workers + seen.free_slots).saturating_sub(share);
    let for_role = seen.free_for_role.map(|free| seen.workers + free);
    let available = for_role.map_or(beside_share, |for_role| beside_share.min(for_role));
    usize::try_from(available).unwrap_or(usize::MAX)
}

/// Whether fleet's tenants stand in the way of others, each of them in that of one, or of each other.
fn is_in_the_way(seen: &Pressure, tenants: usize) -> bool {
    let tenants = tenants as u64;
    seen.behind_fleet >= tenants.max(2) || seen.own_lock_waits * 2 > tenants.max(2)
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
