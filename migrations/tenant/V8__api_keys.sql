CREATE TABLE api_keys (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    bigint NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    created_by    bigint REFERENCES customers (id) ON DELETE SET NULL,
    key_hash      bytea NOT NULL UNIQUE,
    label         text NOT NULL DEFAULT '',
    last_used_at  timestamptz,
    revoked_at    timestamptz
);

CREATE INDEX api_keys_account ON api_keys (account_id) WHERE revoked_at IS NULL;
