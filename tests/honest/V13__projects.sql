CREATE TABLE projects (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  key text NOT NULL,
  name text NOT NULL,
  archived_at timestamptz,
  UNIQUE (account_id, key)
);
CREATE INDEX projects_active_idx ON projects (account_id) WHERE archived_at IS NULL;
