-- What somebody has said about single tenants: leave it alone, or take it no further. What has ended stays for those
-- who ask later who held it, and why.
CREATE TABLE holds (
    number   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    database text NOT NULL,
    schema   text NOT NULL,
    kind     text NOT NULL CHECK (kind IN ('hold', 'pin')),
    -- of pin: the tenant goes no further than that
    version  bigint,
    reason   text,
    set_by   text NOT NULL,
    set_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- counts no more from then on; NULL: until it is released
    until    timestamptz CHECK (isfinite(until)),
    -- by a release, or by another one in its place
    ended_by text,
    ended_at timestamptz,
    CHECK ((kind = 'pin') = (version IS NOT NULL)),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX holds_in_force ON holds (database, schema, kind) WHERE ended_at IS NULL;
CREATE INDEX holds_by_tenant ON holds (database, schema, number);
-- How many tenants of a run were held; they are among those that were skipped.
ALTER TABLE runs ADD COLUMN held bigint NOT NULL DEFAULT 0;
