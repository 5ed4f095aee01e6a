CREATE TABLE invoices (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint NOT NULL REFERENCES accounts (id),
    number      text NOT NULL UNIQUE,
    currency    char(3) NOT NULL DEFAULT 'EUR',
    issued_on   date NOT NULL DEFAULT current_date,
    paid_at     timestamptz
);

CREATE TABLE invoice_items (
    invoice_id  bigint NOT NULL REFERENCES invoices (id) ON DELETE CASCADE,
    position    int NOT NULL CHECK (position > 0),
    label       text NOT NULL,
    quantity    numeric(12, 3) NOT NULL DEFAULT 1,
    unit_cents  bigint NOT NULL,
    PRIMARY KEY (invoice_id, position)
);

CREATE INDEX invoices_account ON invoices (account_id, issued_on DESC);
CREATE INDEX invoices_unpaid ON invoices (issued_on) WHERE paid_at IS NULL;
