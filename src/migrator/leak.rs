//! Proof that a file has kept to its tenant: behind it, and in its own transaction, the database is asked what
//! outside of the tenant's schema it has created, changed, dropped or written to.
//!
//! What is asked of the database and how:
//! - Rows of the catalogues that the transaction has written: their `xmin` is not older than the transaction and
//!   still in progress. A row of somebody else that we see is of a transaction that has ended.
//! - Locks that the transaction holds, which it keeps to its end: whoever alters, comments or drops an object, or
//!   writes to a table or a sequence, has one, and it stays when the object is gone.
//! - How all of this was before the file: a cursor that is opened in front of it goes on seeing the catalogues as
//!   they were then, with the names of what is gone now. So the file behind another one answers for itself alone.
//!
//! Nothing of it needs a privilege.

mod catalogs;

use std::fmt::Write as _;

use tokio_postgres::error::DbError;

use self::catalogs::{CLASSES, PARTS, PARTS_OF_TABLES, Part, catalogs_of_rows};
use super::connection::OWN_TIMEOUT;
use super::looks::CLOCK;
use super::message::{Envelope, GUARD_MARK, Piece};
use crate::run::{Failure, FailureClass};
use crate::sql;
use crate::tenant::quote_literal;

/// Behind [`GUARD_MARK`], in front of what was found and behind it.
const LEAK: &str = "leak ";
const END: &str = "fleet_guard:end";
/// The cursor that sees what was before the file.
const BEFORE: &str = "fleet_leak";
/// How many objects are found by name.
const MOST: usize = 12;
/// How many of them are told in the message; the others are in the detail.
const TOLD: usize = 4;

/// Locks of somebody who reads.
const OF_READERS: &str = "('AccessShareLock','RowShareLock','SIReadLock')";
/// In a tenant's schema as in any other, and yet nobody's: what is temporary, and the halves of tables.
const OF_NOBODY: &str = "'^pg_(toast|temp_)'";
/// A lock, the same in front of the file and behind it.
const LOCK: &str =
    "l.locktype||' '||coalesce(l.classid,0)||' '||coalesce(l.relation,l.objid)||' '||l.mode";

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
        let is_allowed = || {
            let allows = sql::allows(piece.body());
            allows
                .iter()
                .any(|a| a.rule == sql::LEAK && !a.reason.is_empty())
        };
        if !self.checks_leaks || is_allowed() {
            return Check::none();
        }
        let settings = with_own_settings();
        let begun = format!("pg_catalog.set_config('fleet.begun',{CLOCK}::pg_catalog.text,true)");
        Check {
            before: vec![
                format!("SELECT {settings},{begun}"),
                format!(
                    "SELECT pg_catalog.set_config('fleet.leak',pg_catalog.json_build_object('held',\
                     (SELECT pg_catalog.json_agg({LOCK}) FROM pg_catalog.pg_locks l \
                     WHERE l.pid=pg_catalog.pg_backend_pid() AND l.mode NOT IN {OF_READERS} \
                     AND l.locktype IN ('relation','object')))::pg_catalog.text,true)"
                ),
                format!(
                    "DECLARE {BEFORE} NO SCROLL CURSOR FOR {}",
                    self.compared_with_before()
                ),
                SETTINGS_AGAIN.to_owned(),
                self.look_since(BEGUN),
            ],
            after: vec![
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

    /// The transaction, the tenant's schema, the database.
    fn standing(&self) -> String {
        format!(
            "s AS MATERIALIZED (SELECT pg_catalog.txid_current() AS top,\
             pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS next,\
             (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname={}) AS own,\
             (SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname=pg_catalog.current_database()) AS db)",
            quote_literal(self.schema.as_str())
        )
    }

    /// A query for what the transaction has touched by now, as JSON.
    fn found_now(&self) -> String {
        let ours = "SELECT r.* FROM r CROSS JOIN s WHERE s.top-pg_catalog.age(r.x)>=s.next \
             OR pg_catalog.txid_status(s.top-pg_catalog.age(r.x))='in progress'";
        let outside = is_outside("f.d");
        let (refers, is_shared) = (refers_to("f.o"), self.is_shared("f.d"));
        format!(
            "WITH {standing},\
             held AS MATERIALIZED (SELECT coalesce(pg_catalog.array_agg(h),'{{}}') AS locks \
             FROM pg_catalog.json_array_elements_text(CASE pg_catalog.json_typeof({setting}->'held') \
             WHEN 'array' THEN {setting}->'held' ELSE '[]' END) h),\
             k AS MATERIALIZED (SELECT l.* FROM pg_catalog.pg_locks l \
             WHERE l.pid=pg_catalog.pg_backend_pid() AND l.granted AND l.mode NOT IN {OF_READERS} \
             AND {LOCK}<>ALL((SELECT locks FROM held)::pg_catalog.text[])),\
             l AS MATERIALIZED (SELECT f.*,f.d IS NOT NULL AND {is_shared} AND {refers} AS fk \
             FROM ({locked}) f WHERE (f.d IS NULL OR {outside}) AND NOT (f.writes AND NOT f.changes AND {noted})),\
             r AS ({rows}),\
             o AS ({ours}) \
             SELECT pg_catalog.json_build_object(\
             'rows',(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(f.r,f.p::pg_catalog.text,\
             f.x::pg_catalog.text,f.c,f.o,f.d)),'[]') FROM o f WHERE {outside} \
             AND NOT (f.r='pg_class' AND EXISTS (SELECT FROM l WHERE l.fk AND l.o=f.o))),\
             'locks',(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(l.c,l.o,l.writes,\
             l.changes AND NOT l.fk,l.d IS NOT NULL)),'[]') FROM l),\
             'roles',(SELECT pg_catalog.json_object_agg(t.oid,\
             pg_catalog.json_build_array(t.rolname,t::pg_catalog.text)) FROM pg_catalog.pg_roles t WHERE EXISTS \
             (SELECT FROM k WHERE k.relation='pg_catalog.pg_authid'::pg_catalog.regclass)))",
            standing = self.standing(),
            setting = SETTING,
            rows = rows(),
            locked = described(LOCKED),
            noted = is_noted_in("f.o"),
            ours = described(ours),
        )
    }

    /// The query of the cursor: what of that was otherwise before. One row, which cannot be had where
    /// something is found.
    fn compared_with_before(&self) -> String {
        let (outside, refers) = (is_outside("f.d"), refers_to("f.o"));
        let weights: Vec<String> = CLASSES.iter().map(|c| format!("'{}'", c.catalog)).collect();
        format!(
            "WITH {standing},j AS MATERIALIZED (SELECT {SETTING} AS j),\
             f AS ({found}),\
             known AS (SELECT f.* FROM (SELECT f.*,f.changes AND NOT (f.c='pg_class' AND f.is_there AND {refers}) \
             AS is_changed FROM f WHERE f.r IS NULL AND f.d IS NOT NULL AND {outside} OFFSET 0) f),\
             roles AS (SELECT CASE WHEN a.key IS NULL THEN 0 WHEN t.oid IS NULL THEN 1 ELSE 2 END AS what,\
             coalesce(t.oid,a.key::pg_catalog.oid) AS o,coalesce(t.rolname,a.value->>0) AS name \
             FROM (SELECT e.* FROM j,pg_catalog.json_each(j->'roles') e WHERE {has_roles}) a \
             FULL JOIN (SELECT t.oid,t.rolname,t::pg_catalog.text AS all_of_it FROM j,pg_catalog.pg_roles t WHERE {has_roles}) t \
             ON t.oid=a.key::pg_catalog.oid WHERE t.all_of_it IS DISTINCT FROM a.value->>1),\
             found AS (SELECT CASE WHEN f.d IS NULL THEN 1 ELSE 2 END AS what,f.c,f.o,\
             coalesce(f.d->>0,f.kind) AS kind,coalesce(f.d->>1,f.name) AS name \
             FROM f WHERE f.r IS NOT NULL AND f.kind<>'index' AND NOT {same} \
             UNION ALL SELECT CASE WHEN NOT f.is_there THEN 0 WHEN f.is_changed THEN 2 ELSE 3 END,f.c,f.o,f.d->>0,f.d->>1 \
             FROM known f WHERE f.is_changed OR NOT f.is_there OR (f.writes AND f.d->>0<>'index') \
             UNION ALL SELECT f.what,'pg_roles',f.o,'role',pg_catalog.quote_ident(f.name) FROM roles f \
             UNION ALL SELECT 2,'pg_roles',0,'roles','' FROM j WHERE {has_roles} AND NOT EXISTS (SELECT FROM roles)),\
             told AS (SELECT DISTINCT ON (f.c,f.o) f.* FROM found f WHERE NOT EXISTS \
             (SELECT FROM pg_catalog.pg_index i JOIN found h ON h.c='pg_class' AND h.o=i.indrelid \
             WHERE f.c='pg_class' AND i.indexrelid=f.o) ORDER BY f.c,f.o,f.what),\
             ranked AS (SELECT f.*,pg_catalog.row_number() OVER (ORDER BY \
             pg_catalog.array_position(ARRAY[{weights}],f.c),f.what,f.name) AS rank FROM told f) \
             SELECT (CASE pg_catalog.count(*) WHEN 0 THEN 'true' ELSE '{GUARD_MARK}{LEAK}'||\
             pg_catalog.json_build_array(pg_catalog.count(*),pg_catalog.json_agg(\
             pg_catalog.json_build_array(f.what,f.kind,f.name) ORDER BY f.rank) FILTER (WHERE f.rank<={MOST}))\
             ||' {END}' END)::pg_catalog.bool FROM ranked f",
            standing = self.standing(),
            found = described(
                "SELECT e->>0 AS r,(e->>1)::pg_catalog.tid AS p,(e->>2)::pg_catalog.xid AS x,e->>3 AS c,\
                 (e->>4)::pg_catalog.oid AS o,e->5->>0 AS kind,e->5->>1 AS name,\
                 false AS writes,false AS changes,true AS is_there \
                 FROM j,pg_catalog.json_array_elements(j->'rows') e UNION ALL \
                 SELECT NULL,NULL,NULL,e->>0,(e->>1)::pg_catalog.oid,NULL,NULL,(e->>2)::pg_catalog.bool,\
                 (e->>3)::pg_catalog.bool,(e->>4)::pg_catalog.bool \
                 FROM j,pg_catalog.json_array_elements(j->'locks') e"
            ),
            has_roles = "pg_catalog.json_typeof(j->'roles')='object'",
            same = is_the_same(),
            weights = weights.join(","),
        )
    }

    /// In SQL: whether an object lies in one of the shared schemas.
    fn is_shared(&self, described: &str) -> String {
        let shared: Vec<String> = self.shared.iter().map(|name| quote_literal(name)).collect();
        let list = shared.join(",");
        format!("{described}->>3=ANY(ARRAY[{list}]::pg_catalog.text[])")
    }
}

/// What stands in the transaction's setting: in front of the file which locks were held, behind it what was found.
const SETTING: &str = "nullif(pg_catalog.current_setting('fleet.leak',true),'')::pg_catalog.json";

/// The objects with a lock of `k`.
const LOCKED: &str = "SELECT f.c,f.o,pg_catalog.bool_or(f.mode='RowExclusiveLock') AS writes,\
    pg_catalog.bool_or(f.mode<>'RowExclusiveLock') AS changes FROM (\
    SELECT 'pg_class' AS c,l.relation AS o,l.mode FROM k l WHERE l.locktype='relation' AND l.relation>=16384 \
    UNION ALL SELECT CASE c.relname WHEN 'pg_authid' THEN 'pg_roles' ELSE c.relname END,l.objid,l.mode \
    FROM k l JOIN pg_catalog.pg_class c ON c.oid=l.classid WHERE l.locktype='object') f GROUP BY 1,2";

/// A query for the rows of another, with columns `c` and `o`, and in `d` what that object is called, as
/// `[kind, name, schema's oid, schema]`; null where it is not there.
fn described(query: &str) -> String {
    let mut look = "CASE f.c".to_owned();
    for known in CLASSES {
        let _ = write!(
            look,
            " WHEN '{}' THEN (SELECT pg_catalog.json_build_array({},{},{}) \
             FROM pg_catalog.{} t WHERE t.oid=f.o AND {})",
            known.catalog, known.kind, known.name, known.home, known.catalog, known.objects,
        );
    }
    format!(
        "SELECT f.*,CASE WHEN f.a IS NOT NULL THEN pg_catalog.json_build_array(f.a->>0,CASE f.c \
         WHEN 'pg_namespace' THEN f.a->>1 \
         WHEN 'pg_default_acl' THEN f.a->>1||coalesce(' in schema '||f.n,'') \
         ELSE coalesce(pg_catalog.quote_ident(f.n)||'.','')||(f.a->>1) END,f.a->2,f.n) END AS d \
         FROM (SELECT f.*,(SELECT n.nspname FROM pg_catalog.pg_namespace n WHERE n.oid=(f.a->>2)::pg_catalog.oid) AS n \
         FROM (SELECT f.*,{look} END AS a FROM ({query}) f OFFSET 0) f OFFSET 0) f OFFSET 0"
    )
}

/// In SQL: whether what is described so is not the tenant's.
fn is_outside(described: &str) -> String {
    format!(
        "((({described}->>2)::pg_catalog.oid<>(SELECT own FROM s)) \
         AND coalesce({described}->>3,'') !~ {OF_NOBODY})"
    )
}

/// In SQL: whether the tenant has a foreign key to a table. It locks that table when it is made and when it is
/// dropped, and is no change of it.
fn refers_to(table: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_constraint x ON x.oid=d.objid \
         JOIN pg_catalog.pg_class u ON u.oid=x.conrelid WHERE d.refobjid={table} \
         AND d.refclassid='pg_catalog.pg_class'::pg_catalog.regclass \
         AND d.classid='pg_catalog.pg_constraint'::pg_catalog.regclass \
         AND x.contype='f' AND x.confrelid={table} AND u.relnamespace=(SELECT own FROM s))"
    )
}

/// In SQL: whether an event trigger of the database names a table, or the table that a sequence belongs to: what is
/// noted there of each statement is the database's doing and not the file's.
fn is_noted_in(relation: &str) -> String {
    format!(
        "EXISTS (SELECT FROM pg_catalog.pg_event_trigger e JOIN pg_catalog.pg_proc p ON p.oid=e.evtfoid, \
         pg_catalog.pg_class t WHERE e.evtenabled<>'D' AND t.oid IN ({relation},(SELECT d.refobjid \
         FROM pg_catalog.pg_depend d WHERE d.classid='pg_catalog.pg_class'::pg_catalog.regclass AND d.objid={relation} \
         AND d.refclassid='pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a','i') LIMIT 1)) \
         AND pg_catalog.strpos(p.prosrc,t.relname)>0)"
    )
}

/// A query for all rows of the catalogues that may be the transaction's, with the objects they belong to.
fn rows() -> String {
    // the low end keeps out what was frozen two thousand million transactions ago: its xmin seems to lie ahead
    let written = "pg_catalog.age(t.xmin) BETWEEN \
        (SELECT greatest(top-next-1000000,-2000000000)::pg_catalog.int4 FROM s) AND 0";
    let row = |catalog: &str, class: &str, object: &str| {
        format!("'{catalog}' AS r,t.ctid AS p,t.xmin AS x,'{class}' AS c,{object} AS o")
    };
    let own = CLASSES.iter().filter_map(|class| {
        let catalog = class.catalog;
        let row = row(catalog, catalog, "t.oid");
        let rows = class.rows?;
        Some(format!(
            "SELECT {row} FROM pg_catalog.{catalog} t WHERE {written} AND {rows}"
        ))
    });
    let of = |part: &Part| {
        let (catalog, row) = (part.catalog, row(part.catalog, part.class, part.object));
        let rows = part.rows;
        format!("SELECT {row} FROM pg_catalog.{catalog} t WHERE {written} AND {rows}")
    };
    let parts = PARTS.iter().map(of);
    let of_table = |part: &Part| {
        // the limit keeps the planner from reading all of the catalogue
        let query = format!("{} AND {}=l.o LIMIT 100", of(part), part.object);
        format!("SELECT y.* FROM l CROSS JOIN LATERAL ({query}) y WHERE l.c='pg_class'")
    };
    let of_tables = PARTS_OF_TABLES.iter().map(of_table);
    own.chain(parts)
        .chain(of_tables)
        .collect::<Vec<_>>()
        .join(" UNION ALL ")
}

/// In SQL: whether the row of a catalogue was there before the file, and as it is now.
fn is_the_same() -> String {
    let mut sql = "(CASE f.r".to_owned();
    for catalog in catalogs_of_rows() {
        let _ = write!(
            sql,
            " WHEN '{catalog}' THEN EXISTS (SELECT FROM pg_catalog.{catalog} t WHERE t.ctid=f.p AND t.xmin=f.x)"
        );
    }
    sql + " END)"
}

/// One thing that a file has done outside of its tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Leak {
    what: What,
    /// The kind of the object, and its name.
    object: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Dropped,
    Created,
    Changed,
    WroteTo,
}

impl What {
    fn of(number: u64) -> Option<Self> {
        [Self::Dropped, Self::Created, Self::Changed, Self::WroteTo]
            .get(usize::try_from(number).ok()?)
            .copied()
    }

    fn word(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Created => "created",
            Self::Changed => "changed",
            Self::WroteTo => "wrote to",
        }
    }
}

/// The failure of a file that reaches outside of its tenant.
pub(super) fn failure(error: &DbError) -> Failure {
    let (leaks, all) = leaks_of(error.message()).unwrap_or_default();
    let told: Vec<String> = leaks
        .iter()
        .map(|leak| format!("{} {}", leak.what.word(), leak.object))
        .collect();
    let list = |told: &[String], all: usize| match all.saturating_sub(told.len()) {
        0 => told.join(", "),
        more => format!("{}, and {more} more", told.join(", ")),
    };
    let shown = list(&told[..told.len().min(TOLD)], all);
    let message = format!("the file reaches outside of its tenant and was rolled back: it {shown}");
    Failure {
        detail: (all > TOLD).then(|| list(&told, all)),
        ..Failure::new(FailureClass::Permanent, message)
    }
    .with_hint(hint(&leaks))
}

fn hint(leaks: &[Leak]) -> String {
    let is_table = |leak: &Leak| leak.what == What::Changed && leak.object.starts_with("table ");
    let foreign_key = if leaks.iter().any(is_table) {
        " (a foreign key locks and changes the table it points to: it is let pass where databases[].search_path names that table's schema)"
    } else {
        ""
    };
    format!(
        "a migration runs once in every tenant: what all of them share is for somebody to do once, outside of the set. \
         Write names without a schema; or, where it is meant, -- fleet: allow leak REASON in the file{foreign_key}"
    )
}

/// What the guard has found, as far as it is named, and how much it is in all.
fn leaks_of(message: &str) -> Option<(Vec<Leak>, usize)> {
    let (_, found) = message.split_once(&format!("{GUARD_MARK}{LEAK}"))?;
    let (found, _) = found.rsplit_once(END)?;
    let (all, named): (usize, Vec<(u64, String, String)>) = serde_json::from_str(found).ok()?;
    let leaks = named.into_iter().filter_map(|(what, kind, name)| {
        Some(Leak {
            what: What::of(what)?,
            object: format!("{kind} {name}").trim_end().to_owned(),
        })
    });
    Some((leaks.collect(), all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_read_out_of_an_error_in_any_language() {
        let message = r#"ungültige Eingabesyntax für Typ boolean: »fleet_guard:leak [3, [[1,"view","public.\"a »b«\""],[3,"table","b.c"]]] fleet_guard:end«"#;
        let (leaks, all) = leaks_of(message).unwrap();
        assert_eq!(all, 3);
        assert_eq!(leaks[0].object, r#"view public."a »b«""#);
        assert_eq!(leaks[1].what, What::WroteTo);
        assert_eq!(leaks_of("fleet_guard:leak [1"), None);
    }

    #[test]
    fn a_foreign_key_is_thought_of_where_a_table_was_changed() {
        let leak = |what, object: &str| Leak {
            what,
            object: object.to_owned(),
        };
        assert!(hint(&[leak(What::Changed, "table a.b")]).contains("foreign key"));
        assert!(!hint(&[leak(What::WroteTo, "table a.b")]).contains("foreign key"));
    }
}
