//! Proof that a file has kept to its tenant: behind it, and in its own transaction, the database is asked what
//! outside of the tenant's schema it has created, changed, dropped or written to.
//!
//! What is asked of the database and how:
//! - Rows of the catalogues that the transaction has written: their `xmin` is not older than the transaction and
//!   still in progress. A row of somebody else that we see is of a transaction that has ended.
//! - Rows that it has deleted, as the cursor below sees them: their `xmax` is one of its own.
//! - Locks that the transaction holds, which it keeps to its end: whoever alters, comments or drops an object, or
//!   writes to a table or a sequence, has one, and it stays when the object is gone.
//! - How all of this was before the file: a cursor that is opened in front of it goes on seeing the catalogues as
//!   they were then, with the names of what is gone now. So the file behind another one answers for itself alone.
//! - The transaction's own counters of rows, where a table was locked by a file before.
//!
//! Nothing of it needs a privilege. It comes last, behind all that COMMIT would do by itself.

mod catalogs;
mod foreign_keys;
mod queries;
mod told;

use self::queries::{LOCK, OF_READERS, counted};
pub(super) use self::told::failure;
use super::connection::OWN_TIMEOUT;
use super::looks::CLOCK;
use super::message::{Envelope, GUARD_MARK, Piece};
use crate::sql;

/// Behind [`GUARD_MARK`], in front of what was found and behind it.
const LEAK: &str = "leak ";
const END: &str = "fleet_guard:end";
/// The cursor that sees what was before the file.
const BEFORE: &str = "fleet_leak";
/// Where all large objects lie.
const LARGE_OBJECTS: &str = "'pg_catalog.pg_largeobject'::pg_catalog.regclass";

/// The file's time limit is not the check's, and compiling its queries takes ten times as long as they do.
fn with_own_settings() -> String {
    format!(
        "pg_catalog.set_config('fleet.jit',pg_catalog.current_setting('jit'),true),\
         pg_catalog.set_config('jit','off',true),\
         pg_catalog.set_config('fleet.limit',pg_catalog.current_setting('statement_timeout'),true),\
         pg_catalog.set_config('statement_timeout','{}',true)",
        OWN_TIMEOUT.as_millis()
    )
}

const SETTINGS_AGAIN: &str = "SELECT pg_catalog.set_config('jit',pg_catalog.current_setting('fleet.jit'),true),\
    pg_catalog.set_config('statement_timeout',pg_catalog.current_setting('fleet.limit'),true)";

/// When a check has begun: a rehearsal does not count it as the file's time.
const BEGUN: &str = "pg_catalog.current_setting('fleet.begun',true)";

/// What is sent around a file to find out.
pub(super) struct Check {
    /// In front of it.
    pub(super) before: Vec<String>,
    /// Behind it.
    pub(super) after: Vec<String>,
}

impl Check {
    /// Where nothing is asked.
    pub(super) fn none() -> Self {
        Self {
            before: Vec::new(),
            after: Vec::new(),
        }
    }
}

impl Envelope {
    /// What is sent around a file; nothing where it may reach outside, or nobody asks.
    pub(super) fn leak_check(&self, piece: &Piece) -> Check {
        if !self.checks_leaks || sql::allows_leak(piece.body()).is_some() {
            return Check::none();
        }
        let settings = with_own_settings();
        let begun = format!("pg_catalog.set_config('fleet.begun',{CLOCK}::pg_catalog.text,true)");
        Check {
            before: vec![
                format!("SELECT {settings},{begun}"),
                format!(
                    "SELECT pg_catalog.set_config('fleet.leak',(SELECT pg_catalog.json_build_object(\
                     'held',pg_catalog.json_agg({LOCK}),'rows',pg_catalog.json_object_agg(l.relation,{counter}) \
                     FILTER (WHERE l.relation>=16384 AND l.mode='RowExclusiveLock'),'large',{large}) \
                     FROM pg_catalog.pg_locks l \
                     WHERE l.pid=pg_catalog.pg_backend_pid() AND l.mode NOT IN {OF_READERS} \
                     AND l.locktype IN ('relation','object'))::pg_catalog.text,true)",
                    counter = counted("l.relation"),
                    large = counted(LARGE_OBJECTS),
                ),
                format!(
                    "DECLARE {BEFORE} NO SCROLL CURSOR FOR {}",
                    self.compared_with_before()
                ),
                SETTINGS_AGAIN.to_owned(),
                self.look_since(BEGUN),
            ],
            after: vec![
                self.nothing_comes_behind(),
                format!("SELECT {settings},{begun}"),
                format!(
                    "SELECT pg_catalog.set_config('fleet.leak',({})::pg_catalog.text,true) IS NULL",
                    self.found_now()
                ),
                format!("FETCH ALL FROM {BEFORE}"),
                format!("CLOSE {BEFORE}"),
                SETTINGS_AGAIN.to_owned(),
                self.look_since(BEGUN),
            ],
        }
    }

    /// Refuses where COMMIT would still run something, or what is asked now would be asked as somebody else.
    fn nothing_comes_behind(&self) -> String {
        format!(
            "SELECT (CASE {}WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors c WHERE c.is_holdable) \
             THEN '{GUARD_MARK}held' ELSE 'true' END)::pg_catalog.bool",
            self.is_moved()
        )
    }
}
