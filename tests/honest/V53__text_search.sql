CREATE TEXT SEARCH CONFIGURATION plain (COPY = pg_catalog.simple);
CREATE INDEX tasks_plain_idx ON tasks USING gin (to_tsvector('pg_catalog.simple', title));
