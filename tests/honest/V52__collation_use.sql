ALTER TABLE contacts ADD COLUMN sort_name text COLLATE "C";
CREATE INDEX contacts_sort_idx ON contacts (sort_name COLLATE pg_catalog."default" text_pattern_ops);
