//! The engine: executes a plan with bounded concurrency. Knows the two traits that it drives and
//! nothing of databases, config or terminals.

mod dispatcher;
mod event;
mod policy;
mod queue;
mod shutdown;
mod tally;
mod worker;

pub use dispatcher::{Rollout, RolloutEnd};
pub use event::RolloutEvent;
pub use policy::{Concurrency, FailureBudget, RetryPolicy, RolloutPolicy};
pub use shutdown::{StopHandle, StopRequest, StopWatch, stop_channel};
pub use tally::settled;
