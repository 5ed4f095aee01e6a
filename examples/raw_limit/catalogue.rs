//! What tenants hold according to the catalogues, hashed and not printed: the least that comparing them costs.

/// One row a tenant: a hash of the rows that `fleet verify` reads of relations, columns, constraints, indexes,
/// sequences, triggers, policies, functions and types. It is that of one tenant only, as OIDs are in it; printing
/// them as names is what is left out here.
pub(crate) fn message(tenants: &[String]) -> String {
    let names: Vec<String> = tenants
        .iter()
        .map(|tenant| format!("'{}'", tenant.replace('\'', "''")))
        .collect();
    format!(
        "WITH s AS MATERIALIZED (SELECT oid AS nsp FROM pg_namespace WHERE nspname IN ({})), {ROWS}",
        names.join(",")
    )
}

const ROWS: &str = "\
rel AS MATERIALIZED (
  SELECT s.nsp, c.oid, concat_ws(' ', c.relname, c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
    c.reloptions, c.relreplident, c.relam) AS line, c.relkind
  FROM s JOIN pg_class c ON c.relnamespace = s.nsp),
tab AS MATERIALIZED (SELECT nsp, oid FROM rel WHERE relkind IN ('r', 'p', 'v', 'm', 'f')),
lines (nsp, line) AS (
  SELECT nsp, line FROM rel
  UNION ALL
  SELECT nsp, concat_ws(' ', a.attrelid, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated,
    a.attcollation, a.attstorage, d.adbin)
  FROM tab JOIN pg_attribute a ON a.attrelid = tab.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  UNION ALL
  SELECT nsp, concat_ws(' ', k.conrelid, k.conname, k.contype, k.condeferrable, k.condeferred, k.convalidated, k.confrelid,
    k.confupdtype, k.confdeltype, k.conkey, k.confkey, k.conbin)
  FROM tab JOIN pg_constraint k ON k.conrelid = tab.oid
  UNION ALL
  SELECT nsp, concat_ws(' ', i.indexrelid, i.indisunique, i.indisvalid, i.indisready, i.indkey, i.indcollation, i.indclass,
    i.indoption, i.indexprs, i.indpred)
  FROM tab JOIN pg_index i ON i.indrelid = tab.oid
  UNION ALL
  SELECT nsp, concat_ws(' ', q.seqrelid, q.seqtypid, q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
  FROM rel JOIN pg_sequence q ON q.seqrelid = rel.oid WHERE relkind = 'S'
  UNION ALL
  SELECT nsp, concat_ws(' ', g.tgrelid, g.tgname, g.tgfoid, g.tgtype, g.tgenabled, g.tgqual)
  FROM tab JOIN pg_trigger g ON g.tgrelid = tab.oid AND NOT g.tgisinternal
  UNION ALL
  SELECT nsp, concat_ws(' ', p.polrelid, p.polname, p.polcmd, p.polroles, p.polqual, p.polwithcheck)
  FROM tab JOIN pg_policy p ON p.polrelid = tab.oid
  UNION ALL
  SELECT nsp, concat_ws(' ', p.proname, p.prokind, p.prolang, p.proargtypes, p.prorettype, p.provolatile, p.prosecdef,
    p.proconfig, p.prosrc)
  FROM s JOIN pg_proc p ON p.pronamespace = s.nsp
  UNION ALL
  SELECT nsp, concat_ws(' ', t.typname, t.typtype, t.typbasetype, t.typnotnull, t.typdefault, e.enumlabel, e.enumsortorder)
  FROM s JOIN pg_type t ON t.typnamespace = s.nsp AND t.typtype IN ('e', 'd', 'r')
  LEFT JOIN pg_enum e ON e.enumtypid = t.oid)
SELECT nsp, count(*), sum(hashtextextended(line, 0)) FROM lines GROUP BY nsp";
