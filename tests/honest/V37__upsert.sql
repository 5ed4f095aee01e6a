CREATE TABLE settings (key text PRIMARY KEY, value jsonb NOT NULL);
INSERT INTO settings AS s (key, value) VALUES ('theme', '"dark"'), ('locale', '"de.CH"')
ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE s.value IS DISTINCT FROM excluded.value;
