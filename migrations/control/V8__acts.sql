-- Acts: runs that put single tenants right. Who has asked for one and when is in its row of runs.
ALTER TABLE runs DROP CONSTRAINT runs_command_check;
ALTER TABLE runs ADD CONSTRAINT runs_command_check
    CHECK (command IN ('migrate', 'resume', 'repair', 'skip', 'baseline', 'accept-divergent'));
ALTER TABLE runs ADD COLUMN reason text;

-- The SQL of a repair.
CREATE TABLE fixes (
    run_id text PRIMARY KEY REFERENCES runs (id) ON DELETE CASCADE,
    name   text NOT NULL,
    sha256 text NOT NULL,
    bytes  bigint NOT NULL,
    -- the beginning, where it is long
    text   text NOT NULL
);

-- What was to be done in each tenant, written down with its run, before any tenant is touched. Appended, never
-- changed: what became of it is the outcome of the tenant's row in run_tenants, and the truth is in the tenant.
CREATE TABLE acts (
    run_id   text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number   bigint GENERATED ALWAYS AS IDENTITY,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor    text NOT NULL,
    act      text NOT NULL,
    database text NOT NULL,
    schema   text NOT NULL,
    -- the history's rows that it is about; of a repair the migrations that follow the fix
    versions bigint[] NOT NULL,
    reason   text,
    -- was: those rows before, now: what they were to be
    detail   jsonb NOT NULL,
    PRIMARY KEY (run_id, number)
);
CREATE INDEX acts_by_tenant ON acts (database, schema, at DESC);
