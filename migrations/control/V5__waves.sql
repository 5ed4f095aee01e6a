-- Waves of a run: tenants that go together, and what has to be true before the next ones follow.
CREATE TABLE run_waves (
    run_id      text NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
    wave        integer NOT NULL,
    name        text NOT NULL,
    -- what holds for it: whoever carries the run on goes by it
    terms       jsonb NOT NULL,
    state       text NOT NULL
        CHECK (state IN ('pending', 'running', 'soaking', 'checking', 'awaiting', 'passed', 'halted')),
    changed_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- of halted: why
    reason      text,
    approved_by text,
    approved_at timestamptz,
    PRIMARY KEY (run_id, wave)
);
ALTER TABLE run_tenants ADD COLUMN wave integer;
-- Of a migrate that goes on with the waves of an earlier run that came to no end: which.
ALTER TABLE runs ADD COLUMN waves_of text;
-- Why a run halted: budget, wave_budget, bad_migration, check, gate; and in words.
ALTER TABLE runs ADD COLUMN halted_by text;
ALTER TABLE runs ADD COLUMN halt_reason text;
-- What somebody says has changed since the run that this one carries on was halted.
ALTER TABLE runs ADD COLUMN what_changed text;
