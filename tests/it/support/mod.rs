//! What the integration tests share: databases of their own, the built binary, witnesses and checkers.
//! `tests/README.md` shows how they fit together.

#![allow(
    dead_code,
    unused_imports,
    reason = "a tool box: not every test needs every tool"
)]

mod checks;
mod database;
mod documents;
mod fleet;
mod private_server;
mod proxy;
mod run;
mod server;
mod session;
mod terminal;
mod text;
mod wait;
mod witness;

mod self_test;

pub(crate) use checks::{
    Applied, Golden, Place, applied, assert_applied_exactly_once, assert_converged,
    assert_history_is_truth, assert_invariants, assert_ledger_is_true, assert_nothing_left,
    assert_nothing_to_do, assert_reports_truly, shape,
};
pub(crate) use database::{TestDatabase, tenants};
pub(crate) use documents::{
    assert_public_is_empty, assert_says, assert_untouched, each_tenants, public_objects, rows,
    tenant,
};
pub(crate) use fleet::{TestFleet, probe_sql};
pub(crate) use private_server::PrivateServer;
pub(crate) use proxy::{Kind, Message, Proxy, nth, nth_that, query_with};
pub(crate) use run::{Child, Run};
pub(crate) use server::Server;
pub(crate) use session::{FromText, Session, quote};
pub(crate) use terminal::Terminal;
pub(crate) use text::steady_text;
pub(crate) use wait::{comes_within, wait_until};
pub(crate) use witness::{BackendSampler, LockGuard, Peak};
