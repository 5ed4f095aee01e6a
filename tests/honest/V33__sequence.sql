CREATE SEQUENCE invoice_number_seq START 1000;
ALTER SEQUENCE invoice_number_seq OWNED BY invoices.number;
ALTER TABLE invoices ALTER COLUMN number SET DEFAULT 'R-' || nextval('invoice_number_seq'::regclass);
