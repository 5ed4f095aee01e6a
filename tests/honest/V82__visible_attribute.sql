DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = 'notes'::regclass AND a.attname = 'title' AND NOT a.attisdropped) THEN
    ALTER TABLE notes ADD COLUMN title text;
  END IF;
END $$;
