//! `concurrency: auto`: how many tenants of a database at a time, found out by trying. It begins low, doubles
//! while that brings more tenants a second, stays where another step brings no more, and tries again
//! from time to time. It knows nothing of servers: what finishes, and how many may be had, is told to it.
//!
//! A number is judged by what has finished while it held, not by the clock: a fleet of a few hundred tenants of a
//! millisecond is done before a timer would have fired once, and one of slow tenants has nothing to
//! show for a minute.

use std::time::Duration;

use tokio::time::Instant;

use crate::run::PaceReason;

/// How many tenants of a database at a time at first.
pub(super) const FIRST_AT_A_TIME: usize = 2;

/// Tenants that finish before a number is judged, for each one at a time.
const SAMPLE: usize = 4;

/// While it rises, a number that lasts as long as this is judged by one tenant for each at a time: a
/// fleet of slow ones must not be half done before all that it could have is used.
const LONG: Duration = Duration::from_secs(2);

/// While it rises, the first tenants at a new number have had their connections after so long.
const WARM: Duration = Duration::from_secs(1);

/// How much more a second, in per cent, a number twice as high has to bring, and any higher one at least.
const WORTH_PERCENT: f64 = 10.0;
const LEAST_PERCENT: f64 = 5.0;

/// At the same number fewer a second by so much are a sign of trouble, in per cent.
const TROUBLE_PERCENT: f64 = 30.0;

/// How soon another number is tried again, at the earliest: later and later while that is in vain. And
/// after how many samples.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_LAST: Duration = Duration::from_secs(30);
const AGAIN_SAMPLES: u32 = 4;

/// How long no higher number is tried after there were reasons to step back.
const CAUTION: Duration = Duration::from_secs(10);

/// The number of tenants at a time of one database.
pub(super) struct Governor {
    /// The most that the config allows, and that there are connections for now.
    ceiling: usize,
    available: usize,
    tenants: usize,
    /// Whether the highest useful number is still to be found.
    is_rising: bool,
    /// Work a second at this number.
    rate: Option<f64>,
    /// Where a trial comes from.
    trial: Option<Trial>,
    round: Round,
    samples: u32,
    again_at: Instant,
    again_in: Duration,
}

#[derive(Clone, Copy)]
struct Trial {
    from: usize,
    rate: f64,
}

/// What has happened at one number.
struct Round {
    number: u32,
    began: Instant,
    /// Since it began, or since all connections that it needs are open.
    counted_from: Instant,
    finished: usize,
    work: Duration,
    started: usize,
    /// Of the tenants that were started first, as many as there are at a time: those that are not done.
    warming: usize,
    /// Whether it is to be judged soon rather than well.
    is_hasty: bool,
}

/// Tells the rounds' first tenants from others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ticket {
    round: u32,
    is_first: bool,
}

impl Governor {
    /// At most `ceiling` tenants at a time.
    pub(super) fn new(ceiling: usize, now: Instant) -> Self {
        let tenants = FIRST_AT_A_TIME.min(ceiling);
        Self {
            ceiling,
            available: ceiling,
            tenants,
            is_rising: true,
            rate: None,
            trial: None,
            round: Round::new(1, tenants, true, now),
            samples: 0,
            again_at: now,
            again_in: AGAIN,
        }
    }

    /// How many tenants at a time.
    pub(super) fn tenants(&self) -> usize {
        self.tenants
    }

    /// How many connections may be had.
    pub(super) fn bound(&self) -> usize {
        self.ceiling.min(self.available).max(1)
    }

    /// A tenant is started.
    pub(super) fn started(&mut self) -> Ticket {
        self.round.started += 1;
        Ticket {
            round: self.round.number,
            is_first: self.round.started <= self.tenants,
        }
    }

    /// It is done. `work` is how much of it that was, where it tells something of how fast the server is:
    /// what is expected of the tenant, for the longest come first, and a fleet must not seem to become
    /// faster by that. Why there is another number now, or why there is to be none.
    pub(super) fn finished(
        &mut self,
        ticket: Ticket,
        work: Option<Duration>,
        now: Instant,
    ) -> Option<PaceReason> {
        self.round.count(ticket, work, now);
        let rate = self.round.rate(self.tenants, now)?;
        let reason = match self.trial.take() {
            Some(trial) => Some(self.judge(trial, rate, now)),
            None => self.consider(rate, now),
        };
        if reason.is_none() {
            // the same number again
            self.begin_round(now);
        }
        reason
    }

    fn begin_round(&mut self, now: Instant) {
        let number = self.round.number + 1;
        self.round = Round::new(number, self.tenants, self.is_rising, now);
    }

    /// Whether another number was worth it. One that seems not to be while it rises is compared once more,
    /// with what the lower one brings now: servers become slower in the middle of a deploy, and the first
    /// tenants may have been the quick ones.
    fn judge(&mut self, trial: Trial, rate: f64, now: Instant) -> PaceReason {
        let Trial { from, rate: before } = trial;
        let percent = (rate / before - 1.0) * 100.0;
        if self.tenants < from {
            if percent >= -WORTH_PERCENT {
                self.rate = Some(rate);
                let reason = if self.is_rising {
                    PaceReason::NoGain
                } else {
                    PaceReason::NoLoss
                };
                return self.stay(reason, now);
            }
            if self.is_rising {
                return self.rise_from(from, before, PaceReason::Faster, now);
            }
            return self.go_back(trial, PaceReason::NoGain, now);
        }
        #[expect(clippy::cast_precision_loss, reason = "at most some thousand")]
        let step = ((self.tenants - from) as f64 / from as f64).min(1.0);
        if percent >= (WORTH_PERCENT * step).max(LEAST_PERCENT) {
            // what was found before was too low
            self.is_rising = true;
            self.again_in = AGAIN;
            return self.rise_from(self.tenants, rate, PaceReason::Faster, now);
        }
        if self.is_rising {
            return self.try_another(from, rate, PaceReason::Trial, now);
        }
        self.again_in = (self.again_in * 2).min(AGAIN_AT_LAST);
        self.go_back(trial, PaceReason::NoGain, now)
    }

    /// A number is worth it: the double is tried, unless there may be no more.
    fn rise_from(
        &mut self,
        tenants: usize,
        rate: f64,
        reason: PaceReason,
        now: Instant,
    ) -> PaceReason {
        self.rate = Some(rate);
        self.set(tenants, now);
        if self.tenants < self.bound() {
            return self.try_another(self.tenants * 2, rate, reason, now);
        }
        let reason = self.why_bound();
        self.stay(reason, now)
    }

    /// What to do after a sample at a number that is not on trial.
    fn consider(&mut self, rate: f64, now: Instant) -> Option<PaceReason> {
        let known = self.rate.replace(rate);
        if self.is_rising {
            return Some(self.rise_from(self.tenants, rate, PaceReason::Trial, now));
        }
        self.samples += 1;
        if now < self.again_at || self.samples < AGAIN_SAMPLES {
            self.rate = Some(known.map_or(rate, |known| known.midpoint(rate)));
            return None;
        }
        let is_trouble = known.is_some_and(|known| rate < known * (1.0 - TROUBLE_PERCENT / 100.0));
        if is_trouble && self.tenants > 1 {
            return Some(self.try_another(self.tenants / 2, rate, PaceReason::Trial, now));
        }
        if self.tenants < self.bound() {
            let more = self.tenants + (self.tenants / 4).max(1);
            return Some(self.try_another(more, rate, PaceReason::Trial, now));
        }
        None
    }

    fn why_bound(&self) -> PaceReason {
        if self.available < self.ceiling {
            PaceReason::FreeConnections
        } else {
            PaceReason::MaxConnections
        }
    }

    fn try_another(
        &mut self,
        tenants: usize,
        rate: f64,
        reason: PaceReason,
        now: Instant,
    ) -> PaceReason {
        self.trial = Some(Trial {
            from: self.tenants,
            rate,
        });
        self.set(tenants, now);
        reason
    }

    fn go_back(&mut self, trial: Trial, reason: PaceReason, now: Instant) -> PaceReason {
        self.rate = Some(trial.rate);
        self.set(trial.from, now);
        self.stay(reason, now)
    }

    /// The number is found, for now.
    fn stay(&mut self, reason: PaceReason, now: Instant) -> PaceReason {
        self.is_rising = false;
        self.trial = None;
        self.samples = 0;
        self.again_at = self.again_at.max(now + self.again_in);
        self.begin_round(now);
        reason
    }

    fn set(&mut self, tenants: usize, now: Instant) {
        self.tenants = tenants.clamp(1, self.bound());
        self.begin_round(now);
    }

    /// No more than so many connections are to be had. Why there is another number now.
    pub(super) fn bound_to(&mut self, available: usize, now: Instant) -> Option<PaceReason> {
        self.available = available.max(1);
        if self.tenants <= self.bound() {
            return None;
        }
        self.trial = None;
        self.set(self.bound(), now);
        self.rate = None;
        Some(self.stay(PaceReason::FreeConnections, now))
    }

    /// There is a reason to do with so many, and not to try more for a while.
    pub(super) fn step_back(
        &mut self,
        tenants: usize,
        reason: PaceReason,
        now: Instant,
    ) -> Option<PaceReason> {
        let is_lower = tenants.max(1) < self.tenants;
        self.again_at = now + CAUTION;
        if !is_lower {
            return None;
        }
        self.set(tenants, now);
        self.rate = None;
        Some(self.stay(reason, now))
    }

    /// Something else keeps tenants from being started: what finishes meanwhile says nothing about a number.
    pub(super) fn void(&mut self, now: Instant) {
        self.begin_round(now);
    }
}

impl Round {
    fn new(number: u32, tenants: usize, is_hasty: bool, now: Instant) -> Self {
        Self {
            number,
            began: now,
            counted_from: now,
            finished: 0,
            work: Duration::ZERO,
            started: 0,
            warming: tenants,
            is_hasty,
        }
    }

    /// Whether its first tenants are not to be waited for any more.
    fn is_warm(&self, now: Instant) -> bool {
        self.is_hasty && now - self.began >= WARM
    }

    fn count(&mut self, ticket: Ticket, work: Option<Duration>, now: Instant) {
        self.finished += usize::from(work.is_some());
        self.work += work.unwrap_or_default();
        if ticket.round == self.number && ticket.is_first && self.warming > 0 {
            self.warming -= 1;
            if self.warming == 0 && !self.is_warm(now) {
                // until here it opened connections, which is not what it costs from now on
                self.counted_from = now;
                (self.finished, self.work) = (0, Duration::ZERO);
            }
        }
    }

    /// Work a second, once enough has finished to tell.
    fn rate(&self, tenants: usize, now: Instant) -> Option<f64> {
        let lasted = now - self.counted_from;
        let enough = if self.is_hasty && lasted >= LONG {
            tenants.max(FIRST_AT_A_TIME)
        } else {
            SAMPLE * tenants
        };
        // a tenant that takes for ever is not waited for
        let is_warming = self.warming > 0 && !self.is_warm(now) && self.finished < 4 * enough;
        if is_warming || self.finished < enough {
            return None;
        }
        Some(self.work.as_secs_f64() / lasted.as_secs_f64().max(1e-6))
    }
}

#[cfg(test)]
#[path = "governor_tests.rs"]
mod tests;
