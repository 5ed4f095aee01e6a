//! What is seen: facts become words. Progress and notices go to stderr, results to stdout; JSON is
//! a contract, text for people is not. A stream that breaks never changes a run.

mod acts;
mod advice;
mod board;
mod causes;
mod detail;
mod doctor;
mod document;
mod echo;
mod ending;
mod eta;
mod excerpt;
mod failures;
mod gate;
mod hold;
mod isolation;
mod lines;
mod lint;
mod ndjson;
mod notices;
mod pace;
mod plan;
mod progress;
mod rehearsal;
mod rehearsing;
mod roles;
mod runs;
mod safety;
mod sink;
mod status;
mod style;
mod summary;
mod table;
mod tenants;
#[cfg(test)]
mod tests;
mod throttling;
mod undone;
mod verified;
mod verify;
mod watching;
mod waves;
mod wording;

pub use acts::{Intent, intent};
pub use detail::{Recorded, status_detail};
pub use doctor::{Finding, Health, doctor};
pub use document::{
    Complaint, approved_document, doctor_document, failures_document, gate_document, gate_line,
    holds_released_document, holds_set_document, intent_document, isolation_document,
    lint_document, lint_rules_document, lint_sarif, no_failures_document, plan_document,
    refused_by_lint, refused_by_rehearsal, rehearsal_document, roles_applied_document,
    roles_plan_document, run_document, runless_document, runs_document, show_document,
    status_document, tenants_document, tenants_of_document, verification_document, write_document,
};
pub use failures::{
    Cause, Known, Statement, cause_names, causes, failures, no_failures, tenant_words,
};
pub use gate::{arrived, gate};
pub use hold::{HoldNews, holds_released, holds_set, tenants_are};
pub use isolation::{Isolation, isolation};
pub use lint::{
    FindingCounts, Looked, finding_line, findings_block, lint, lint_github, lint_rules,
};
pub use plan::{Planned, plan, refused_plan};
pub use rehearsal::{rehearsal, rehearsal_headline, rehearsed_failures};
pub use rehearsing::RehearsalProgress;
pub use roles::{RoleOutcome, RolePlan, RoleResult, roles_applied, roles_plan};
pub use runs::{runs, show};
pub use safety::Stepwise;
pub use sink::to_stdout;
pub use status::status;
pub use style::{ColorChoice, Invocation, Screen, Stream, Style, shell_word};
pub use summary::summary;
pub use tenants::tenants;
pub use verified::Verified;
pub use verify::verification;
pub use watching::Watching;
pub use waves::approved;
pub use wording::{duration, some_names};

use crate::rollout::RolloutEvent;
use crate::run::Act;
use sink::Sink;

/// Somebody who is told what happens. Never fails: what cannot be shown is not shown.
pub trait Reporter: Send {
    /// Takes one event, in the order of the engine.
    fn report(&mut self, event: &RolloutEvent);

    /// Why a result could not be delivered, as on a full disk. A reader that went away is no reason.
    fn undelivered(&self) -> Option<String> {
        None
    }
}

/// Several reporters, told one after the other.
#[derive(Default)]
pub struct Reporters(Vec<Box<dyn Reporter>>);

impl Reporters {
    /// Adds one, told last.
    pub fn push(&mut self, reporter: impl Reporter + 'static) {
        self.0.push(Box::new(reporter));
    }
}

impl Reporter for Reporters {
    fn report(&mut self, event: &RolloutEvent) {
        for reporter in &mut self.0 {
            reporter.report(event);
        }
    }

    fn undelivered(&self) -> Option<String> {
        self.0.iter().find_map(|reporter| reporter.undelivered())
    }
}

/// What `--output` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    #[default]
    Human,
    /// One document at the end.
    Json,
    /// One event a line as it happens, the document as the last line.
    Ndjson,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// `-q`: no progress, and no summary where all is well.
    Quiet,
    /// What fits a screen.
    #[default]
    Normal,
    /// `-v`: every tenant by name.
    Verbose,
}

/// Chooses who reports a run: bars where they can move, else lines, on stderr; what `format` says
/// on stdout. The same call serves `migrate` and `resume`.
pub fn for_run(
    format: Format,
    screen: Screen,
    verbosity: Verbosity,
    stepwise: Stepwise,
) -> Reporters {
    let mut reporters = live(format, screen, verbosity, None);
    if verbosity != Verbosity::Quiet && format != Format::Human {
        reporters.push(ending::Closing {
            sink: Sink::stderr(),
            style: screen.stderr,
        });
    }
    match format {
        Format::Human => reporters.push(ending::Summary {
            sink: Sink::stdout(),
            stepwise,
            style: screen.stdout,
            verbosity,
        }),
        Format::Json => reporters.push(ending::Document(Sink::stdout())),
        Format::Ndjson => reporters.push(ndjson::Ndjson::new(Sink::stdout())),
    }
    reporters
}

/// The same for an act, whose end is told in other words.
pub fn for_act(
    act: Act,
    format: Format,
    screen: Screen,
    verbosity: Verbosity,
    stepwise: Stepwise,
) -> Reporters {
    let mut reporters = live(format, screen, verbosity, Some(act));
    if verbosity != Verbosity::Quiet && format != Format::Human {
        reporters.push(acts::ActClosing {
            sink: Sink::stderr(),
            act,
            style: screen.stderr,
        });
    }
    match format {
        Format::Human => reporters.push(acts::ActSummary {
            sink: Sink::stdout(),
            act,
            stepwise,
            style: screen.stdout,
            verbosity,
        }),
        Format::Json => reporters.push(ending::Document(Sink::stdout())),
        Format::Ndjson => reporters.push(ndjson::Ndjson::new(Sink::stdout())),
    }
    reporters
}

/// Who tells of a run while it goes on.
fn live(format: Format, screen: Screen, verbosity: Verbosity, act: Option<Act>) -> Reporters {
    let mut reporters = Reporters::default();
    // first, so that bars are gone before the result is written to the same terminal
    if verbosity != Verbosity::Quiet {
        // bars and lines of events would tear each other apart on one terminal
        if screen.live && format != Format::Ndjson {
            reporters.push(progress::Progress::stderr(screen.stderr, verbosity).about(act));
        } else {
            reporters.push(lines::Lines::new(Sink::stderr(), screen.stderr, verbosity).about(act));
        }
    }
    reporters
}
