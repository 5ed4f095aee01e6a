//! The ledger: what *we* tried, run by run, in the control schema. The truth about a tenant is its
//! own history; everything here can be dropped and rebuilt.

mod records;

pub use records::{AttemptRecord, RunDetail, RunRecord, RunState, RunTenantRecord};
