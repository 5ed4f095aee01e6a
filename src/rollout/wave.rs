//! What the engine is given of waves: who is in them, what holds for each, who finds out whether one is well.

use std::future::Future;
use std::pin::Pin;

use crate::migration::Version;
use crate::run::{Failure, WaveCheck, WaveNumber, WaveState, WaveTerms};
use crate::tenant::TenantId;

/// A wave as the engine is given it.
#[derive(Clone, Debug)]
pub struct RolloutWave {
    /// Which, from 1.
    pub number: WaveNumber,
    /// What holds for it.
    pub terms: WaveTerms,
    /// Its tenants that are to be migrated.
    pub tenants: Vec<TenantId>,
    /// Whom its check is about: those, and those that an earlier run has migrated.
    pub members: Vec<TenantId>,
    /// Whether they are to have one shape.
    pub likeness: Likeness,
    /// Where an earlier run has left it.
    pub state: WaveState,
    /// Who has approved of it already.
    pub approved_by: Option<String>,
}

impl RolloutWave {
    /// Whether there is anything to do before the next one may begin.
    pub(super) fn is_due(&self) -> bool {
        let is_left = !matches!(self.state, WaveState::Pending | WaveState::Passed);
        let has_left = !self.likeness.there.is_empty() || !self.likeness.beside.is_empty();
        !self.tenants.is_empty() || has_left || is_left
    }
}

/// What is to be found out of a wave.
#[derive(Clone, Debug)]
pub struct CheckOrder {
    /// Its name.
    pub wave: String,
    /// How.
    pub check: WaveCheck,
    /// Whom it is about.
    pub members: Vec<TenantId>,
}

/// Finds out whether a wave is well; the error says why it is not.
pub type Checker =
    Box<dyn Fn(CheckOrder) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send>;

/// Whether tenants are to have one shape when they are done.
#[derive(Clone, Debug, Default)]
pub struct Likeness {
    /// Whether that is found out.
    pub is_asked: bool,
    /// Who is compared beside those that are migrated: tenants that were at their target before.
    pub there: Vec<AtVersion>,
    /// The same, of tenants that are not of the run: the waves that it goes on with are not known to be well without
    /// them.
    pub beside: Vec<AtVersion>,
}

/// A tenant and its version.
pub type AtVersion = (TenantId, Option<Version>);

/// A tenant whose shape is not that of the others.
#[derive(Clone, Debug)]
pub struct Unlike {
    /// Which one.
    pub tenant: TenantId,
    /// Since when, and in what.
    pub since: UnlikeSince,
}

/// Since when a tenant is unlike the others.
#[derive(Clone, Debug)]
pub enum UnlikeSince {
    /// The run has made it so: the tenant has failed.
    Run(Box<Failure>),
    /// It was so before, and in what.
    Before(String),
}

/// Compares the shapes of tenants with each other, and names those that are unlike the others; the error says why
/// they could not be compared.
pub type Comparer = Box<
    dyn Fn(Vec<AtVersion>) -> Pin<Box<dyn Future<Output = Result<Vec<Unlike>, String>> + Send>>
        + Send,
>;

/// Whether somebody is there to wait with the run at a manual gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// The run waits for `fleet approve`.
    Present,
    /// The run ends at the gate and can be resumed.
    Absent,
}

/// How many tenants may fail in the same way before a migration is taken for bad; 0: any number.
pub type SameFailures = u32;
