DO $$
BEGIN
  IF NOT EXISTS (
    SELECT 1 FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.typname = 'invoice_state' AND n.nspname = current_schema()
  ) THEN
    CREATE TYPE invoice_state AS ENUM ('draft', 'sent', 'paid');
  END IF;
END
$$;
