//! A halt and a gate as somebody reads them.

use super::{BAD_SQL, fleet_of, gated};
use crate::support::steady_text;

#[test]
fn what_somebody_sees_of_a_bad_migration() {
    let (_db, _schemas, fleet) = fleet_of(25);
    let fleet = fleet
        .migration("V2__bad", BAD_SQL)
        .set("execution.concurrency", 1);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(5);
    assert_eq!(
        steady_text(&run.stdout),
        "✗ Halted after TIME: 2 of 25 tenants failed with one cause\n\
         Halted: 2 of 2 tenants of wave canary failed\n\
         \n\
         ✗ 2 tenants at V2__bad.sql:2: 42601 syntax error at or near \"TABEL\"\n\
         \x20 note       no tenant of this run has V2__bad applied; tenants outside of it may\n\
         \x20 tenants    main/tenant_0001, main/tenant_0002\n\
         \n\
         - 23 tenants skipped: not attempted: 2 of 2 tenants of wave canary failed\n\
         \x20 tenants    main/tenant_0003, main/tenant_0004, main/tenant_0005, main/tenant_0006,\n\
         \x20            main/tenant_0007, main/tenant_0008, main/tenant_0009, main/tenant_0010,\n\
         \x20            main/tenant_0011, main/tenant_0012 and 13 more\n\
         \n\
         Nothing is half applied: each failed migration was rolled back.\n\
         \n\
         Next:\n\
         \x20 fleet failures RUN  the statement, and what usually helps\n\
         \x20 fleet resume RUN    when the cause is mended; it asks what has changed, unless the files have\n"
    );
}

#[test]
fn what_somebody_sees_of_a_gate() {
    let (_db, _schemas, fleet) = gated(4);
    let run = fleet.fleet(&["migrate"]);
    run.assert_code(5);
    assert_eq!(
        steady_text(&run.stdout),
        "! Waits at a gate after TIME (1 migrated)\n\
         Halted: what comes after wave canary waits for fleet approve\n\
         \n\
         - 3 tenants skipped: not attempted: what comes after wave canary waits for fleet approve\n\
         \x20 tenants    main/tenant_0002, main/tenant_0003, main/tenant_0004\n\
         \n\
         Next:\n\
         \x20 fleet approve RUN  lets the next wave begin\n\
         \x20 fleet resume RUN   then goes on; tenants that are done are not touched again\n"
    );
}
