-- How long the tenant's last successful migrating took, and how many migrations that was: the next run starts
-- the longest first and reckons with it.
ALTER TABLE tenants ADD COLUMN last_duration_ms bigint;
ALTER TABLE tenants ADD COLUMN last_migrations integer;
UPDATE tenants t SET last_duration_ms = a.duration_ms, last_migrations = cardinality(a.applied)
FROM (
    SELECT DISTINCT ON (database, schema) database, schema, duration_ms, applied FROM attempts
    WHERE outcome = 'succeeded' AND cardinality(applied) > 0
    ORDER BY database, schema, ended_at DESC
) a
WHERE t.database = a.database AND t.schema = a.schema;
