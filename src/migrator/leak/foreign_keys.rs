//! A foreign key of the tenant to a table that is not its own: it locks that table when it is made, altered and
//! dropped, and is no change of it. What else was done to the table under such a lock is.

/// In SQL, over the locks `f.mode` of an object, of which `f.is_new` are the file's: whether all are such as foreign
/// keys take, and whether they are those of one that was made and dropped again. `LOCK TABLE` takes one of them.
pub(super) const KINDS_OF_LOCKS: &str = "\
    pg_catalog.bool_and(NOT f.is_new OR f.mode IN ('RowExclusiveLock','ShareRowExclusiveLock','AccessExclusiveLock')) AS like_key,\
    (pg_catalog.bool_or(f.is_new AND f.mode='ShareRowExclusiveLock') AND \
    pg_catalog.bool_or(f.is_new AND f.mode='AccessExclusiveLock')) AS like_no_key";

/// Columns of `pg_class` that a trigger of a foreign key changes, or that the server changes by itself.
const CHANGED_BY_KEYS: &str = "'relhastriggers','relhasindex','relhassubclass','reltuples','relpages','relallvisible',\
    'relallfrozen','relfrozenxid','relminmxid'";

/// In SQL: what `pg_class` says about a table, but for what a foreign key to it changes.
pub(super) fn table_without_what_they_change(table: &str) -> String {
    format!(
        "(SELECT pg_catalog.md5((pg_catalog.to_jsonb(this_table)-ARRAY[{CHANGED_BY_KEYS}])::pg_catalog.text) \
         FROM pg_catalog.pg_class this_table WHERE this_table.oid={table})"
    )
}

/// In SQL: the tenant's foreign keys to a table, each with its version. Null where there is none.
pub(super) fn to(table: &str) -> String {
    format!(
        "(SELECT pg_catalog.string_agg(x.oid||' '||x.ctid::pg_catalog.text||' '||x.xmin::pg_catalog.text,',' ORDER BY x.oid) \
         FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_constraint x ON x.oid=d.objid \
         JOIN pg_catalog.pg_class u ON u.oid=x.conrelid WHERE d.refobjid={table} \
         AND d.refclassid='pg_catalog.pg_class'::pg_catalog.regclass \
         AND d.classid='pg_catalog.pg_constraint'::pg_catalog.regclass \
         AND x.contype='f' AND x.confrelid={table} AND u.relnamespace=(SELECT own FROM s))"
    )
}

/// In SQL, where the cursor sees what was before: whether the locks of the file on a table are those of foreign keys
/// that it has made, altered or dropped. To a table that the tenant had none to before they count only where all
/// tenants share it.
pub(super) fn are_all_that_changed(found: &str) -> String {
    let before = to(&format!("{found}.o"));
    format!(
        "coalesce({found}.c='pg_class' AND {found}.is_there AND ({found}.lock->>5)::pg_catalog.bool AND CASE \
         WHEN ({found}.lock->>8) IS DISTINCT FROM {before} THEN ({found}.lock->>7)::pg_catalog.bool OR {before} IS NOT NULL \
         ELSE ({found}.lock->>6)::pg_catalog.bool AND ({found}.lock->>7)::pg_catalog.bool END,false)"
    )
}
