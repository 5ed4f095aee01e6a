DO $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.relname = 'notes' AND pg_table_is_visible(c.oid)) THEN
    CREATE TABLE notes (id bigserial PRIMARY KEY, body text);
  END IF;
END $$;
