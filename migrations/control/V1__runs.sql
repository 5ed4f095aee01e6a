-- One execution of a plan.
CREATE TABLE runs (
    id              text PRIMARY KEY,
    command         text NOT NULL CHECK (command IN ('migrate', 'resume')),
    resumes         text REFERENCES runs (id),
    -- the run that took over what this one left; nothing is left to resume then
    superseded_by   text REFERENCES runs (id),
    target          bigint,
    set_fingerprint text NOT NULL,
    -- the selection as it was typed, NULL for the whole fleet
    selection       text,
    started_by      text NOT NULL,
    fleet_version   text NOT NULL,
    -- every write to the run carries the token; the backend holds the lease as an advisory lock
    lease_token     text NOT NULL,
    lease_backend   integer NOT NULL,
    -- tenants that had nothing to do have no row of their own
    up_to_date      bigint NOT NULL DEFAULT 0,
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    heartbeat_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    outcome         text CHECK (outcome IN ('succeeded', 'failed', 'halted', 'interrupted', 'refused')),
    exit_code       smallint,
    CHECK ((finished_at IS NULL) = (outcome IS NULL))
);
CREATE INDEX runs_by_start ON runs (started_at DESC);

-- A tenant of a run that was to be migrated or had to be refused.
CREATE TABLE run_tenants (
    run_id       text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    database     text NOT NULL,
    schema       text NOT NULL,
    state        text NOT NULL CHECK (state IN ('pending', 'claimed', 'waiting', 'finished')),
    outcome      text CHECK (outcome IN ('succeeded', 'up_to_date', 'failed', 'interrupted', 'skipped')),
    attempts     integer NOT NULL DEFAULT 0,
    from_version bigint,
    to_version   bigint,
    duration_ms  bigint NOT NULL DEFAULT 0,
    reason       text,
    PRIMARY KEY (run_id, database, schema),
    CHECK ((state = 'finished') = (outcome IS NOT NULL))
);

-- One try at one tenant. Appended, never changed.
CREATE TABLE attempts (
    run_id      text NOT NULL,
    database    text NOT NULL,
    schema      text NOT NULL,
    attempt     integer NOT NULL,
    ended_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    duration_ms bigint NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('succeeded', 'up_to_date', 'failed', 'interrupted', 'skipped')),
    applied     text[] NOT NULL,
    migration   text,
    statement   integer,
    line        integer,
    sqlstate    text,
    class       text CHECK (class IN ('permanent', 'transient')),
    message     text,
    detail      text,
    hint        text,
    context     text,
    blocked_by  text,
    PRIMARY KEY (run_id, database, schema, attempt)
);
CREATE INDEX attempts_by_tenant ON attempts (database, schema, ended_at DESC);

-- What fleet last knew of a tenant. The tenant's own history is the truth; reconcile compares.
CREATE TABLE tenants (
    database text NOT NULL,
    schema   text NOT NULL,
    version  bigint,
    seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (database, schema)
);
