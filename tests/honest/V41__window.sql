CREATE VIEW ranked AS
SELECT t.id, row_number() OVER w AS n, lag(t.title) OVER (PARTITION BY t.project_id ORDER BY t.id) AS before
FROM tasks t WINDOW w AS (PARTITION BY t.project_id ORDER BY t.id);
