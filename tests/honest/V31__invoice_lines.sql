CREATE TABLE invoice_lines (
  invoice_id bigint NOT NULL REFERENCES invoices ON DELETE CASCADE,
  line int NOT NULL,
  quantity numeric NOT NULL,
  price numeric NOT NULL,
  total numeric GENERATED ALWAYS AS (quantity * price) STORED,
  PRIMARY KEY (invoice_id, line)
);
