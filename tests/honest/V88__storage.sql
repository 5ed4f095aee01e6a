ALTER TABLE notes ALTER COLUMN body SET STORAGE EXTERNAL, ALTER COLUMN body SET STATISTICS 500, SET (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01);
ALTER INDEX notes_pinned_idx RENAME TO notes_pin_idx;
