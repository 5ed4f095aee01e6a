-- Counts the writes to a run: after a connection was lost it tells whether the last one was committed.
ALTER TABLE runs ADD COLUMN writes bigint NOT NULL DEFAULT 0;
-- What the run's sessions are called in pg_stat_activity, to know them again when the run is dead.
ALTER TABLE runs ADD COLUMN sessions text;
-- Silence after which the run is to be taken for dead.
ALTER TABLE runs ADD COLUMN lease_seconds double precision;
-- How statements were settled that an interruption had left in doubt.
ALTER TABLE attempts ADD COLUMN notes text[] NOT NULL DEFAULT '{}';
-- Times are compared and subtracted; an infinite one would be in the way of every look at the runs.
ALTER TABLE runs ADD CONSTRAINT runs_times_are_finite
    CHECK (isfinite(started_at) AND isfinite(heartbeat_at) AND isfinite(coalesce(finished_at, started_at))) NOT VALID;
