CREATE TYPE task_state AS ENUM ('open', 'doing', 'done', 'dropped');

CREATE TABLE tasks (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project_id   bigint NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    assignee_id  bigint REFERENCES customers (id) ON DELETE SET NULL,
    title        text NOT NULL,
    state        task_state NOT NULL DEFAULT 'open',
    due_on       date,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX tasks_project_state ON tasks (project_id, state);
CREATE INDEX tasks_assignee ON tasks (assignee_id) WHERE assignee_id IS NOT NULL;
