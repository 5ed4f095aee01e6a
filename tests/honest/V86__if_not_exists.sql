CREATE TABLE IF NOT EXISTS notes (id bigserial PRIMARY KEY);
ALTER TABLE notes ADD COLUMN IF NOT EXISTS pinned boolean NOT NULL DEFAULT false;
CREATE INDEX IF NOT EXISTS notes_pinned_idx ON notes (pinned) WHERE notes.pinned;
DROP INDEX IF EXISTS notes_none_idx;
