CREATE TYPE task_state AS ENUM ('open', 'doing', 'done');
CREATE TABLE tasks (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE,
  parent_id bigint REFERENCES tasks (id),
  title text NOT NULL,
  state task_state NOT NULL DEFAULT 'open',
  data jsonb,
  search tsvector GENERATED ALWAYS AS (to_tsvector('simple', title)) STORED
);
CREATE INDEX tasks_search_idx ON tasks USING gin (search);
CREATE INDEX tasks_data_idx ON tasks USING gin (data jsonb_path_ops);
CREATE INDEX tasks_key_idx ON tasks ((data ->> 'external.id'));
