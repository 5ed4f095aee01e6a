CREATE FUNCTION take_job() RETURNS SETOF jobs LANGUAGE sql AS $$
  UPDATE jobs SET locked_by = pg_backend_pid()::text
  WHERE jobs.id = (SELECT j.id FROM jobs j WHERE j.locked_by IS NULL ORDER BY j.run_at FOR UPDATE OF j SKIP LOCKED LIMIT 1)
  RETURNING jobs.*
$$;
