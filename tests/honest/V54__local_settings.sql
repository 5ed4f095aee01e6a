SET LOCAL lock_timeout = '2s';
SET LOCAL statement_timeout = '5min';
SELECT set_config('app.migrating', 'yes', true);
ALTER TABLE tasks ADD COLUMN estimate interval;
