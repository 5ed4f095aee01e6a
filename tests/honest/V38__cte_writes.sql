WITH moved AS (
  DELETE FROM settings s WHERE s.key LIKE 'old.%' RETURNING s.key, s.value
)
INSERT INTO settings (key, value) SELECT 'new.' || m.key, m.value FROM moved m;
