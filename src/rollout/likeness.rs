//! Whether the tenants of a wave have one shape. One that is unlike the others has failed, whatever its migrations have
//! answered, and no other wave begins.

use std::sync::Arc;

use tokio::time::Instant;

use super::dispatcher::Dispatcher;
use super::event::RolloutEvent;
use super::wave::{AtVersion, UnlikeSince};
use super::waves::{Board, Compared, Phase};
use crate::crash;
use crate::ledger::{Ledger, Reversal};
use crate::migrator::TenantMigrator;
use crate::run::{Failure, Halt, Outcome, WaveState};
use crate::tenant::TenantId;

/// How many tenants are named in the reason for a halt.
const NAMED: usize = 3;

impl Board {
    /// Whether its tenants are to be compared yet. An earlier run has done so where it has come to what follows.
    fn is_to_be_compared(&self) -> bool {
        let has_come_further = self.wave.tenants.is_empty()
            && matches!(
                self.wave.state,
                WaveState::Soaking | WaveState::Checking | WaveState::Awaiting
            );
        !self.is_compared && !has_come_further
    }
}

impl<M: TenantMigrator, L: Ledger> Dispatcher<M, L> {
    /// Begins to compare the tenants of the wave at work, unless that was not asked, or is done.
    pub(super) fn begin_comparison(&mut self) -> bool {
        let Some(index) = self.waves.current else {
            return false;
        };
        let board = &self.waves.boards[index];
        let members = if board.is_to_be_compared() {
            self.members_there(index)
        } else {
            Vec::new()
        };
        if members.is_empty() {
            self.waves.boards[index].is_compared = true;
            return false;
        }
        crash::point("V1");
        let tenants = members.len();
        let told = self.waves.is_told.then(|| Arc::new(board.summary()));
        self.emit(RolloutEvent::ShapesCompared {
            wave: told,
            tenants,
        });
        let comparison = tokio::spawn((self.comparer)(members));
        self.waves.phase = Phase::Comparing(comparison);
        true
    }

    /// The tenants of a wave that are at their target, those included that were before, and those of the waves
    /// before it: what one tenant keeps all later ones from shows in the one.
    fn members_there(&self, index: usize) -> Vec<AtVersion> {
        let boards = self.waves.boards[..=index].iter();
        let compared = boards.filter(|board| board.wave.likeness.is_asked);
        let mut members = Vec::new();
        for board in compared {
            let migrated = board.wave.tenants.iter();
            members.extend(migrated.filter_map(|tenant| self.tally.reached(tenant)));
            members.extend(board.wave.likeness.there.iter().cloned());
            members.extend(board.wave.likeness.beside.iter().cloned());
        }
        members
    }

    /// A comparison has ended.
    pub(super) fn on_compared(&mut self, found: Compared) {
        self.waves.phase = Phase::Working;
        let Some(index) = self.waves.current else {
            return;
        };
        let name = self.waves.boards[index].wave.terms.name.clone();
        let wave = self.waves.is_told.then_some(name);
        let unlike = match found {
            Ok(unlike) => unlike,
            Err(problem) => {
                let problem = format!("could not be compared: {problem}");
                self.halt(Halt::Shapes { wave, problem });
                return;
            }
        };
        self.waves.boards[index].is_compared = true;
        let mut failed = Vec::new();
        for unlike in unlike {
            match unlike.since {
                // the run that it is of has told that
                UnlikeSince::Before(_) if self.is_beside(&unlike.tenant) => {}
                UnlikeSince::Before(note) => self.note(unlike.tenant, note),
                UnlikeSince::Run(failure) => {
                    self.reverse(&unlike.tenant, *failure);
                    failed.push(unlike.tenant);
                }
            }
        }
        crash::point("V2");
        if failed.is_empty() {
            self.begin_soak(Instant::now());
            return;
        }
        let problem = differ(&failed);
        let halt = Halt::Shapes { wave, problem };
        if self.waves.is_at_the_last() {
            // nobody is left who could be spared; whoever carries on looks again
            self.enter(WaveState::Halted, Some(halt.to_string()));
            self.next_wave();
        } else {
            self.halt(halt);
        }
    }

    /// Whether a tenant is compared and not of the run.
    fn is_beside(&self, tenant: &TenantId) -> bool {
        let waves = self.waves.boards.iter().map(|board| &board.wave);
        let mut beside = waves.flat_map(|wave| &wave.likeness.beside);
        beside.any(|(id, _)| id == tenant)
    }

    /// What was so before is told, and is nobody's failure.
    fn note(&mut self, tenant: TenantId, note: String) {
        self.tally.note(&tenant, &note);
        self.emit(RolloutEvent::DifferenceKnown { tenant, note });
    }

    /// A tenant that was done has failed.
    fn reverse(&mut self, tenant: &TenantId, failure: Failure) {
        let Some(board) = self.waves.board_of(tenant) else {
            return;
        };
        let there = &board.wave.likeness.there;
        let Some((was, result)) = self.tally.reverse(tenant, there, failure.clone()) else {
            return;
        };
        board.totals.uncount(was);
        board.totals.count(Outcome::Failed);
        self.books.reversals.push(Reversal {
            tenant: tenant.clone(),
            attempts: result.attempts,
            version: result.to,
            failure,
        });
        self.emit(RolloutEvent::TenantDiffers {
            result,
            totals: self.tally.totals(),
        });
    }
}

/// `main/acme and main/globex differ from the others`.
fn differ(tenants: &[TenantId]) -> String {
    let mut names: Vec<String> = tenants.iter().map(ToString::to_string).collect();
    names.sort();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    let verb = if tenants.len() == 1 {
        "differs"
    } else {
        "differ"
    };
    let names = match more {
        0 => names.join(", "),
        _ => format!("{} and {more} more", names.join(", ")),
    };
    format!("{names} {verb} from the others")
}
