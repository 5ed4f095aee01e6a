//! Reporters that wait for the end of a run.

use super::document::{run_document, write_document};
use super::safety::Stepwise;
use super::sink::Sink;
use super::style::Style;
use super::summary::{headline, summary};
use super::{Reporter, Verbosity};
use crate::rollout::RolloutEvent;
use crate::run::RunOutcome;

/// The document on stdout.
pub(super) struct Document(pub(super) Sink);

impl Reporter for Document {
    fn report(&mut self, event: &RolloutEvent) {
        if let RolloutEvent::RunFinished { summary } = event {
            self.0
                .put(|out| write_document(out, &run_document(summary)));
        }
    }

    fn undelivered(&self) -> Option<String> {
        self.0.undelivered()
    }
}

/// The summary on stdout. Quiet means: nothing where all is well.
pub(super) struct Summary {
    pub(super) sink: Sink,
    pub(super) stepwise: Stepwise,
    pub(super) style: Style,
    pub(super) verbosity: Verbosity,
}

impl Reporter for Summary {
    fn report(&mut self, event: &RolloutEvent) {
        let RolloutEvent::RunFinished { summary: run } = event else {
            return;
        };
        if self.verbosity == Verbosity::Quiet && run.outcome == RunOutcome::Succeeded {
            return;
        }
        let (stepwise, style, verbosity) = (&self.stepwise, self.style, self.verbosity);
        self.sink
            .put(|out| summary(out, run, stepwise, style, verbosity));
    }

    fn undelivered(&self) -> Option<String> {
        self.sink.undelivered()
    }
}

/// One line on stderr for whoever watches a run whose document goes elsewhere.
pub(super) struct Closing {
    pub(super) sink: Sink,
    pub(super) style: Style,
}

impl Reporter for Closing {
    fn report(&mut self, event: &RolloutEvent) {
        if let RolloutEvent::RunFinished { summary } = event {
            self.sink.line(&headline(summary, self.style));
        }
    }
}
