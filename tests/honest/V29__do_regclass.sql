DO $$
BEGIN
  IF to_regclass('invoices') IS NULL THEN
    CREATE TABLE invoices (id bigserial PRIMARY KEY, account_id uuid NOT NULL REFERENCES accounts, number text NOT NULL, state invoice_state NOT NULL DEFAULT 'draft', amount numeric(12,2) NOT NULL DEFAULT 0);
  END IF;
END $$;
