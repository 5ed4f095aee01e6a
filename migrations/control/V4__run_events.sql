-- What has happened to a run beside its tenants: how many were worked on at a time, and why. Appended, never changed.
CREATE TABLE run_events (
    run_id       text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    number       bigint GENERATED ALWAYS AS IDENTITY,
    at           timestamptz NOT NULL,
    database     text NOT NULL,
    -- throttled: no more than so many tenants at a time, for a measure is over its limit; released: none is any
    -- more; concurrency: a number of tenants at a time that was found out
    kind         text NOT NULL,
    tenants      integer,
    -- of throttled the measure, of concurrency why no more
    reason       text,
    value        bigint,
    threshold    bigint,
    behind_fleet bigint,
    -- of released: how long it was throttled
    lasted_ms    bigint,
    PRIMARY KEY (run_id, number)
);
