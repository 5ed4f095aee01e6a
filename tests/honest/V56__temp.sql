CREATE TEMP TABLE pairs ON COMMIT DROP AS SELECT t.id, t.title FROM tasks t;
UPDATE tasks SET title = p.title FROM pairs p WHERE p.id = tasks.id;
DROP TABLE pg_temp.pairs;
