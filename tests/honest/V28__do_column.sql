DO $body$
BEGIN
  IF NOT EXISTS (
    SELECT FROM information_schema.columns c
    WHERE c.table_schema = current_schema() AND c.table_name = 'tasks' AND c.column_name = 'due_on'
  ) THEN
    ALTER TABLE tasks ADD COLUMN due_on date;
  END IF;
END
$body$;
