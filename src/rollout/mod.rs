//! The engine: executes a plan with bounded concurrency. Knows the two traits that it drives and
//! nothing of databases, config or terminals.

mod event;
mod policy;

pub use event::RolloutEvent;
pub use policy::{Concurrency, FailureBudget, RetryPolicy};
