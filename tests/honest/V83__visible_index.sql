DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_indexes WHERE schemaname = current_schema() AND indexname = 'notes_title_idx') THEN
    CREATE INDEX notes_title_idx ON notes (title);
  END IF;
END $$;
