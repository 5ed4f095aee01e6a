CREATE UNLOGGED TABLE jobs (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), run_at timestamptz NOT NULL DEFAULT now(), locked_by text);
LOCK TABLE jobs IN SHARE ROW EXCLUSIVE MODE;
