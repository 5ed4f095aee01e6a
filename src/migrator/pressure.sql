-- What a server has to bear, in one look. Without pg_monitor only sessions of the own role show what they do; that there
-- are others, and their names, everybody may see. Functions instead of the views over them: on a new connection they take
-- half the time, and the first tenant waits for the first look.
WITH own AS MATERIALIZED (
    SELECT pg_catalog.current_setting('application_name') AS sessions,
           pg_catalog.replace(pg_catalog.current_setting('application_name'), 'fleet', 'fleet ledger') AS ledger,
           d.oid AS database, d.datconnlimit, r.oid AS role, r.rolconnlimit, r.rolsuper
    FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
    WHERE d.datname = pg_catalog.current_database() AND r.rolname = session_user
), backend AS MATERIALIZED (
    SELECT pid, datid, usesysid, application_name, state, wait_event_type, wait_event, backend_type
    FROM pg_catalog.pg_stat_get_activity(NULL)
), session AS MATERIALIZED (
    SELECT a.pid, a.datid, a.usesysid, a.application_name = own.sessions AND a.datid = own.database AS is_worker,
           a.application_name IN (own.sessions, own.ledger) AS is_own,
           a.backend_type IS NULL AS is_hidden,
           a.state IS NOT DISTINCT FROM 'active' AS is_active,
           -- advisory locks are waited for by design: queues and leaders of applications. What is locked in other
           -- databases is not fleet's doing.
           a.wait_event_type IS NOT DISTINCT FROM 'Lock' AND a.wait_event <> 'advisory'
             AND a.datid = own.database AS is_waiting
    FROM backend a, own
    WHERE a.backend_type = 'client backend'
       OR (a.backend_type IS NULL AND a.datid IS NOT NULL AND a.usesysid IS NOT NULL)
), seen AS MATERIALIZED (
    SELECT count(*) AS sessions,
           count(*) FILTER (WHERE is_worker) AS workers,
           count(*) FILTER (WHERE datid = own.database) AS of_database,
           count(*) FILTER (WHERE usesysid = own.role) AS of_role,
           count(*) FILTER (WHERE is_active AND NOT is_own) AS active,
           count(*) FILTER (WHERE is_waiting AND NOT is_own) AS waiting,
           count(*) FILTER (WHERE is_waiting AND is_own) AS own_waiting,
           count(*) FILTER (WHERE is_hidden) AS hidden,
           pg_catalog.current_setting('max_connections')::int
             - pg_catalog.current_setting('superuser_reserved_connections')::int
             - coalesce(pg_catalog.current_setting('reserved_connections', true)::int, 0) AS slots
    FROM session, own
), replica AS MATERIALIZED (
    -- consumers of logical changes confirm when they like; a backup is no replica
    SELECT r.state IS NULL AS is_hidden,
           -- the last lag stays on show for a while when nothing more happens
           CASE WHEN r.replay_lsn >= pg_catalog.pg_current_wal_flush_lsn() THEN 0
                ELSE coalesce(extract(epoch FROM r.replay_lag) * 1000, 0) END AS lag_ms
    FROM pg_catalog.pg_stat_get_wal_senders() r LEFT JOIN backend a USING (pid)
    WHERE r.state IS NULL OR (r.state IN ('streaming', 'catchup')
      AND coalesce(a.application_name, '') <> ALL (ARRAY[/* ignored */]::text[])
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_get_replication_slots() s WHERE s.active_pid = r.pid AND s.slot_type = 'logical'))
)
SELECT seen.slots,
       least(seen.slots - seen.sessions,
             CASE WHEN own.datconnlimit >= 0 AND NOT own.rolsuper THEN own.datconnlimit - seen.of_database END),
       CASE WHEN own.rolconnlimit >= 0 AND NOT own.rolsuper THEN own.rolconnlimit - seen.of_role END,
       seen.workers,
       seen.active,
       -- whose turn it is to wait, everybody may see; it costs more to look there
       CASE WHEN seen.hidden = 0 THEN seen.waiting ELSE
         (SELECT count(DISTINCT l.pid) FROM pg_catalog.pg_locks l JOIN session s ON s.pid = l.pid
          WHERE NOT l.granted AND l.locktype <> 'advisory' AND NOT s.is_own AND s.datid = own.database) END,
       (SELECT count(*) FROM (SELECT pid FROM session WHERE is_waiting AND NOT is_own LIMIT 50) w
        WHERE EXISTS (SELECT FROM unnest(pg_catalog.pg_blocking_pids(w.pid)) AS b(pid) JOIN session s ON s.pid = b.pid
                      WHERE s.is_own)),
       seen.own_waiting,
       (SELECT floor(max(lag_ms))::bigint FROM replica),
       seen.hidden > 0,
       (SELECT count(*) FROM replica WHERE is_hidden) > 0
FROM seen, own
