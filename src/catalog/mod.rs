//! What the catalogue says of many tenants: set-based, in bounded batches, and never through `information_schema`.

mod roles;
mod standing;

pub use roles::{
    ApplyError, Change, Facts, Neighbours, Wanted, apply, changes, read_facts, read_gaps,
};
pub use standing::{Standing, standing};
