//! Waves in documents.

use serde::Serialize;

use crate::ledger::WaveRecord;
use crate::plan::Wave;
use crate::run::{Halt, RunId, Totals, WaveState, WaveSummary, WaveTerms, milliseconds};

/// A wave of a run that is, or has just ended.
#[derive(Serialize)]
pub(in crate::report) struct WaveRow<'a> {
    wave: u32,
    name: &'a str,
    state: WaveState,
    totals: Totals,
    approved_by: Option<&'a str>,
}

impl<'a> WaveRow<'a> {
    pub(in crate::report) fn of(wave: &'a WaveSummary) -> Self {
        Self {
            wave: wave.number,
            name: &wave.name,
            state: wave.state,
            totals: wave.totals,
            approved_by: wave.approved_by.as_deref(),
        }
    }
}

/// A wave of a plan.
#[derive(Serialize)]
pub(super) struct PlannedWaveRow<'a> {
    wave: u32,
    name: &'a str,
    tenants: usize,
    terms: &'a WaveTerms,
}

impl<'a> PlannedWaveRow<'a> {
    pub(super) fn of(wave: &'a Wave) -> Self {
        Self {
            wave: wave.number,
            name: &wave.terms.name,
            tenants: wave.tenants.len(),
            terms: &wave.terms,
        }
    }
}

/// Why a run halted.
#[derive(Serialize)]
pub(in crate::report) struct HaltRow<'a> {
    by: &'a str,
    reason: String,
}

impl<'a> HaltRow<'a> {
    pub(in crate::report) fn of(halt: &'a Halt) -> Self {
        Self {
            by: halt.as_str(),
            reason: halt.to_string(),
        }
    }

    pub(super) fn recorded(halt: &'a crate::ledger::HaltRecord) -> Self {
        Self {
            by: &halt.by,
            reason: halt.reason.clone(),
        }
    }
}

/// A wave of a recorded run.
#[derive(Serialize)]
pub(super) struct WaveRecordRow<'a> {
    wave: u32,
    name: &'a str,
    state: WaveState,
    reason: Option<&'a str>,
    tenants: u64,
    succeeded: u64,
    failed: u64,
    approved_by: Option<&'a str>,
    approved_at: Option<&'a str>,
    terms: &'a WaveTerms,
}

impl<'a> WaveRecordRow<'a> {
    pub(super) fn of(wave: &'a WaveRecord) -> Self {
        Self {
            wave: wave.wave,
            name: &wave.terms.name,
            state: wave.state,
            reason: wave.reason.as_deref(),
            tenants: wave.tenants,
            succeeded: wave.succeeded,
            failed: wave.failed,
            approved_by: wave.approved_by.as_deref(),
            approved_at: wave.approved_at.as_deref(),
            terms: &wave.terms,
        }
    }
}

/// An event of a wave.
#[derive(Serialize)]
pub(in crate::report) struct WaveEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    wave: WaveRow<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    soak_ms: Option<u64>,
}

impl<'a> WaveEvent<'a> {
    pub(in crate::report) fn of(event: &'a crate::rollout::RolloutEvent) -> Option<Self> {
        use crate::rollout::RolloutEvent as Event;
        let (name, wave, soak_ms) = match event {
            Event::WaveStarted { wave } => ("wave_started", wave, None),
            Event::WaveSoaking { wave, soak } => ("wave_soaking", wave, Some(milliseconds(*soak))),
            Event::WaveChecking { wave } => ("wave_checking", wave, None),
            Event::ApprovalAwaited { wave, .. } => ("approval_awaited", wave, None),
            Event::WaveFinished { wave } => ("wave_finished", wave, None),
            _ => return None,
        };
        Some(Self {
            event: name,
            wave: WaveRow::of(wave),
            soak_ms,
        })
    }
}

#[derive(Serialize)]
struct Approved<'a> {
    run: &'a str,
    approved: &'a str,
}

/// What `approve` has done.
pub fn approved_document<'a>(run: &'a RunId, wave: &'a str) -> impl Serialize + 'a {
    Approved {
        run: run.as_str(),
        approved: wave,
    }
}
