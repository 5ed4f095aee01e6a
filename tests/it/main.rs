//! The integration tests: one binary, real PostgreSQL, the real `fleet`. `tests/README.md` says how to run them.

mod contract;
mod embedded;
mod failures;
mod gate;
mod guards;
mod inventory;
mod isolation;
mod leak;
mod ledger;
mod lint;
mod matrix;
mod planning;
mod rehearse;
mod roles;
mod support;

mod acts;
mod concurrency;
mod deadline;
mod faults;
mod holds;
mod kill;
mod longest_first;
mod repair;
mod scale;
mod steps;
mod stock_refinery;
mod stopping;
mod terminal;
mod throttle;
mod until_stable;
mod verify;
mod watch;
mod waves;
mod windows;
