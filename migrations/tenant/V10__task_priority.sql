ALTER TABLE tasks
    ADD COLUMN priority smallint NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    ADD COLUMN parent_id bigint REFERENCES tasks (id) ON DELETE CASCADE;

CREATE INDEX tasks_open_by_priority ON tasks (priority, due_on) WHERE state IN ('open', 'doing');
CREATE INDEX tasks_parent ON tasks (parent_id) WHERE parent_id IS NOT NULL;
