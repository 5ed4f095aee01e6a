-- The companies that our customer does business with.
CREATE TABLE accounts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL CHECK (name <> ''),
    plan        text NOT NULL DEFAULT 'free' CHECK (plan IN ('free', 'team', 'business')),
    country     char(2),
    created_at  timestamptz NOT NULL DEFAULT now(),
    closed_at   timestamptz
);

CREATE INDEX accounts_open_by_name ON accounts (name) WHERE closed_at IS NULL;
