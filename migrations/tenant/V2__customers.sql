-- People. Nobody thought of a unique e-mail address at first; V12 makes up for it.
CREATE TABLE customers (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    email       text NOT NULL CHECK (email LIKE '%_@_%'),
    full_name   text NOT NULL,
    locale      text NOT NULL DEFAULT 'en',
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX customers_account ON customers (account_id);
