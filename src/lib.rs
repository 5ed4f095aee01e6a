//! `fleet` migrates every tenant schema of a schema-per-tenant PostgreSQL system, or says exactly
//! which tenants it did not migrate and why.
//!
//! The crate is a house of six layers. A room uses rooms of lower layers, and in its own layer only
//! `pg`; `tests/architecture.rs` holds the list and fails when the code disagrees.
//!
//! | layer | rooms | what happens there |
//! |---|---|---|
//! | 0 words | [`tenant`], [`migration`], [`run`] | values that are valid by construction; no I/O |
//! | 1 decisions | [`plan`], [`sql`], [`lint`], [`shape`], [`reach`] | pure functions: histories and a set become a plan, shapes become differences, files become findings |
//! | 2 outside world | [`pg`], [`inventory`], [`source`], [`history`], [`catalog`], [`migrator`], [`check`], [`ledger`] | adapters, each behind a narrow door |
//! | 3 engine | [`rollout`] | one owner of a run's state, workers, stopping, retrying |
//! | 4 what is seen | [`report`] | facts become words: bars, lines, JSON, tables |
//! | 5 edge | [`config`], [`cli`] | the config file, the command line, signals, exit codes |

mod crash;

pub mod migration;
pub mod run;
pub mod tenant;

pub mod lint;
pub mod plan;
pub mod reach;
pub mod shape;
pub mod sql;

pub mod catalog;
pub mod check;
pub mod history;
pub mod inventory;
pub mod ledger;
pub mod migrator;
pub mod pg;
pub mod source;

pub mod rollout;

pub mod report;

pub mod cli;
pub mod config;
