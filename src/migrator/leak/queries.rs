//! The two queries of the check: what the transaction has touched by now, and what of that was otherwise before.

use std::fmt::Write as _;

use super::catalogs::{CLASSES, PARTS, PARTS_OF_TABLES, Part, catalogs_of_rows};
use super::{END, LARGE_OBJECTS, LEAK, foreign_keys};
use crate::migrator::message::{Envelope, GUARD_MARK};
use crate::tenant::quote_literal;

/// How many objects are found by name.
const MOST: usize = 12;

/// Locks of somebody who reads.
pub(super) const OF_READERS: &str = "('AccessShareLock','RowShareLock','SIReadLock')";
/// In a tenant's schema as in any other, and yet nobody's: what is temporary, and the halves of tables.
const OF_NOBODY: &str = "'^pg_(toast|temp_)'";
/// A lock, the same in front of the file and behind it.
pub(super) const LOCK: &str =
    "l.locktype||' '||coalesce(l.classid,0)||' '||coalesce(l.relation,l.objid)||' '||l.mode";

/// What stands in the transaction's setting: in front of the file which locks were held, behind it what was found.
const SETTING: &str = "nullif(pg_catalog.current_setting('fleet.leak',true),'')::pg_catalog.json";

/// The catalogue of an object that a lock is on.
const LOCKED_CLASS: &str = "CASE c.relname WHEN 'pg_authid' THEN 'pg_roles' \
    WHEN 'pg_largeobject' THEN 'pg_largeobject_metadata' ELSE c.relname END";

/// In SQL: how many rows of a table the session has written to, counted on over its transactions.
pub(super) fn counted(table: &str) -> String {
    ["inserted", "updated", "deleted"]
        .map(|what| format!("pg_catalog.pg_stat_get_xact_tuples_{what}({table})"))
        .join("+")
}

impl Envelope {
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
    pub(super) fn found_now(&self) -> String {
        let ours = "SELECT r.* FROM r CROSS JOIN s WHERE s.top-pg_catalog.age(r.x)>=s.next \
             OR pg_catalog.txid_status(s.top-pg_catalog.age(r.x))='in progress'";
        let outside = is_outside("f.d");
        format!(
            "WITH {standing},b AS MATERIALIZED (SELECT {SETTING} AS j),\
             held AS MATERIALIZED (SELECT coalesce(pg_catalog.array_agg(h),'{{}}') AS locks FROM b,\
             pg_catalog.json_array_elements_text(CASE pg_catalog.json_typeof(j->'held') WHEN 'array' THEN j->'held' ELSE '[]' END) h),\
             k AS MATERIALIZED (SELECT l.*,{LOCK}<>ALL((SELECT locks FROM held)::pg_catalog.text[]) AS is_new \
             FROM pg_catalog.pg_locks l \
             WHERE l.pid=pg_catalog.pg_backend_pid() AND l.granted AND l.mode NOT IN {OF_READERS}),\
             all_l AS MATERIALIZED (SELECT f.* FROM ({locked}) f WHERE f.d IS NULL OR {outside}),\
             r AS ({rows}),\
             o AS MATERIALIZED ({ours}),\
             ddl AS MATERIALIZED (SELECT EXISTS (SELECT FROM o) OR EXISTS (SELECT FROM k WHERE k.is_new \
             AND k.locktype IN ('relation','object') AND k.mode<>'RowExclusiveLock') AS is_any),\
             l AS MATERIALIZED (SELECT f.* FROM all_l f WHERE NOT (f.writes AND NOT f.changes AND {noted})) \
             SELECT pg_catalog.json_build_object(\
             'rows',(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(f.r,f.p::pg_catalog.text,\
             f.x::pg_catalog.text,f.c,f.o,f.d,CASE WHEN f.r='pg_class' AND EXISTS (SELECT FROM all_l k \
             WHERE k.c='pg_class' AND k.o=f.o AND (k.like_key OR k.like_no_key)) THEN {as_table} END)),'[]') FROM o f WHERE {outside}),\
             'inside',(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(f.c,f.o)),'[]') FROM o f \
             WHERE f.r=f.c AND (f.d->>2)::pg_catalog.oid=(SELECT own FROM s)),\
             'locks',(SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(l.c,l.o,l.writes,\
             l.changes,l.d IS NOT NULL,l.like_key,l.like_no_key,{is_shared},CASE WHEN l.like_key AND l.changes THEN {keys} END)),'[]') FROM l),\
             'large',{large}<>coalesce((SELECT (j->>'large')::pg_catalog.int8 FROM b),0),\
             'roles',(SELECT pg_catalog.json_object_agg(t.oid,\
             pg_catalog.json_build_array(t.rolname,t::pg_catalog.text)) FROM pg_catalog.pg_roles t WHERE EXISTS \
             (SELECT FROM k WHERE k.is_new AND k.relation='pg_catalog.pg_authid'::pg_catalog.regclass)))",
            standing = self.standing(),
            locked = described(&locked()),
            rows = rows(),
            noted = self.is_noted_in("f.o"),
            ours = described(ours),
            is_shared = self.is_shared("l.d"),
            as_table = foreign_keys::table_without_what_they_change("f.o"),
            keys = foreign_keys::to("l.o"),
            large = format_args!("({})", counted(LARGE_OBJECTS)),
        )
    }

    /// The query of the cursor: what of that was otherwise before. One row, which cannot be had where
    /// something is found.
    pub(super) fn compared_with_before(&self) -> String {
        let outside = is_outside("f.d");
        let weights: Vec<String> = CLASSES.iter().map(|c| format!("'{}'", c.catalog)).collect();
        format!(
            "WITH {standing},j AS MATERIALIZED (SELECT {SETTING} AS j),\
             mine AS MATERIALIZED (SELECT pg_catalog.array_agg(l.transactionid) AS xids FROM pg_catalog.pg_locks l \
             WHERE l.pid=pg_catalog.pg_backend_pid() AND l.locktype='transactionid' AND l.mode='ExclusiveLock'),\
             f AS MATERIALIZED ({found}),\
             l AS (SELECT f.c,f.o FROM f WHERE f.lock IS NOT NULL),\
             known AS (SELECT f.*,f.changes AND NOT {honest} AS is_changed \
             FROM f WHERE f.lock IS NOT NULL AND f.d IS NOT NULL AND {outside}),\
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
             UNION ALL SELECT 2,f.c,f.o,f.d->>0,f.d->>1 FROM ({gone}) f WHERE {outside} \
             UNION ALL SELECT 4,f.c,f.o,f.d->>0,f.d->>1 FROM f WHERE f.r IS NULL AND f.lock IS NULL AND {outside} \
             UNION ALL SELECT 3,'pg_largeobject_metadata',0,'large objects','' FROM j WHERE (j->>'large')::pg_catalog.bool \
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
            found = described(FOUND),
            honest = foreign_keys::are_all_that_changed("f"),
            gone = described(&gone()),
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

    /// In SQL: whether the file has changed something, and an event trigger of the database inserts into a table that
    /// no tenant has, or takes numbers of its sequence: what is noted there of each statement is the database's doing
    /// and not the file's. The function has the table's name as a word, with its schema or without one.
    fn is_noted_in(&self, relation: &str) -> String {
        let words = "pg_catalog.regexp_split_to_array(pg_catalog.replace(p.prosrc||' '||\
            pg_catalog.lower(p.prosrc),'\"',''),'[^[:alnum:]_$.]+')";
        format!(
            "((SELECT is_any FROM ddl) AND EXISTS (SELECT FROM pg_catalog.pg_event_trigger e \
             JOIN pg_catalog.pg_proc p ON p.oid=e.evtfoid, \
             pg_catalog.pg_class t JOIN pg_catalog.pg_namespace n ON n.oid=t.relnamespace \
             WHERE e.evtenabled<>'D' AND t.oid IN ({relation},(SELECT d.refobjid \
             FROM pg_catalog.pg_depend d WHERE d.classid='pg_catalog.pg_class'::pg_catalog.regclass AND d.objid={relation} \
             AND d.refclassid='pg_catalog.pg_class'::pg_catalog.regclass AND d.deptype IN ('a','i') LIMIT 1)) \
             AND (t.relname::pg_catalog.text=ANY({words}) OR n.nspname||'.'||t.relname=ANY({words})) \
             AND pg_catalog.pg_stat_get_xact_tuples_deleted(t.oid)=0 \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_class h WHERE h.relnamespace=n.oid AND h.relname={})))",
            quote_literal(&self.history_table)
        )
    }
}

/// Everything of the setting, as rows of objects: what has a row, what has a lock (with all that is known of that),
/// and what is the tenant's by now.
const FOUND: &str = "\
    SELECT e->>0 AS r,(e->>1)::pg_catalog.tid AS p,(e->>2)::pg_catalog.xid AS x,e->>3 AS c,\
    (e->>4)::pg_catalog.oid AS o,e->5->>0 AS kind,e->5->>1 AS name,e->>6 AS as_table,\
    false AS writes,false AS changes,true AS is_there,NULL::pg_catalog.json AS lock \
    FROM j,pg_catalog.json_array_elements(j->'rows') e UNION ALL \
    SELECT NULL,NULL,NULL,e->>0,(e->>1)::pg_catalog.oid,NULL,NULL,NULL,(e->>2)::pg_catalog.bool,\
    (e->>3)::pg_catalog.bool,(e->>4)::pg_catalog.bool,e \
    FROM j,pg_catalog.json_array_elements(j->'locks') e UNION ALL \
    SELECT NULL,NULL,NULL,e->>0,(e->>1)::pg_catalog.oid,NULL,NULL,NULL,false,false,true,NULL \
    FROM j,pg_catalog.json_array_elements(j->'inside') e";

/// The objects with a lock of `k`, and whether it is one of the file's: a lock that was held before is none, unless
/// rows were written to under it.
fn locked() -> String {
    format!(
        "SELECT f.c,f.o,pg_catalog.bool_or(f.mode='RowExclusiveLock' AND (f.is_new OR f.has_rows)) AS writes,\
         pg_catalog.bool_or(f.mode<>'RowExclusiveLock' AND f.is_new) AS changes,{kinds} FROM (\
         SELECT 'pg_class' AS c,l.relation AS o,l.mode,l.is_new,\
         CASE WHEN l.is_new OR l.mode<>'RowExclusiveLock' THEN false \
         ELSE {counted}>(SELECT (j->'rows'->>l.relation::pg_catalog.text)::pg_catalog.int8 FROM b) END AS has_rows \
         FROM k l WHERE l.locktype='relation' AND l.relation>=16384 \
         UNION ALL SELECT {LOCKED_CLASS},l.objid,l.mode,l.is_new,false \
         FROM k l JOIN pg_catalog.pg_class c ON c.oid=l.classid WHERE l.locktype='object') f GROUP BY 1,2",
        kinds = foreign_keys::KINDS_OF_LOCKS,
        counted = counted("l.relation"),
    )
}

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

/// In SQL: whether an xid may be the transaction's. The low end keeps out what was frozen two thousand million
/// transactions ago: its xid seems to lie ahead.
fn may_be_ours(xid: &str) -> String {
    format!(
        "pg_catalog.age({xid}) BETWEEN \
         (SELECT greatest(top-next-1000000,-2000000000)::pg_catalog.int4 FROM s) AND 0"
    )
}

/// A query for all rows of the catalogues that may be the transaction's, with the objects they belong to.
fn rows() -> String {
    let written = may_be_ours("t.xmin");
    let own = CLASSES.iter().filter_map(|class| {
        let catalog = class.catalog;
        let rows = class.rows?;
        Some(format!(
            "SELECT '{catalog}' AS r,t.ctid AS p,t.xmin AS x,'{catalog}' AS c,t.oid AS o \
             FROM pg_catalog.{catalog} t WHERE {written} AND {rows}"
        ))
    });
    let columns = |part: &Part| {
        let (catalog, class, object) = (part.catalog, part.class, part.object);
        format!("'{catalog}' AS r,t.ctid AS p,t.xmin AS x,{class} AS c,{object} AS o")
    };
    let parts = PARTS.iter();
    let parts = parts.map(|part| part.query(&columns(part), &written));
    let of_tables = PARTS_OF_TABLES.iter();
    let of_tables =
        of_tables.map(|part| of_locked("all_l", part, &part.query(&columns(part), &written)));
    let all: Vec<String> = own.chain(parts).chain(of_tables).collect();
    all.join(" UNION ALL ")
}

/// A query for objects of which parts are gone, or were other ones: as the cursor sees them.
fn gone() -> String {
    let deleted = format!(
        "{} AND t.xmax=ANY((SELECT xids FROM mine)::pg_catalog.xid[])",
        may_be_ours("t.xmax")
    );
    let columns =
        |part: &Part| format!("{}::pg_catalog.text AS c,{} AS o", part.class, part.object);
    let parts = PARTS.iter().filter(|part| part.goes_unseen);
    let parts = parts.map(|part| part.query(&columns(part), &deleted));
    let of_tables = PARTS_OF_TABLES.iter();
    let of_tables =
        of_tables.map(|part| of_locked("l", part, &part.query(&columns(part), &deleted)));
    parts
        .chain(of_tables)
        .collect::<Vec<_>>()
        .join(" UNION ALL ")
}

/// The same query by an index, for each of the tables that are locked. The limit keeps the planner from reading all of
/// the catalogue.
fn of_locked(locked: &str, part: &Part, query: &str) -> String {
    let object = part.object;
    format!(
        "SELECT y.* FROM {locked} l CROSS JOIN LATERAL ({query} AND {object}=l.o LIMIT 100) y WHERE l.c='pg_class'"
    )
}

/// In SQL: whether the row of a catalogue was there before the file, and as it is now.
fn is_the_same() -> String {
    let mut sql = "(CASE f.r".to_owned();
    for catalog in catalogs_of_rows() {
        let but_for_keys = match catalog {
            "pg_class" => format!(
                " OR coalesce(f.as_table={},false)",
                foreign_keys::table_without_what_they_change("f.o")
            ),
            _ => String::new(),
        };
        let _ = write!(
            sql,
            " WHEN '{catalog}' THEN EXISTS (SELECT FROM pg_catalog.{catalog} t WHERE t.ctid=f.p AND t.xmin=f.x){but_for_keys}"
        );
    }
    sql + " END)"
}
