//! What PostgreSQL's catalogue says of many tenants at once: set-based, over `pg_catalog` alone, and nothing is written.

mod reach;

pub use reach::{ReachAnswer, ReachQuestion, read_reaches};
