CREATE OR REPLACE VIEW project_overview AS
WITH per_project AS (
  SELECT t.project_id, count(*) AS total FROM tasks t GROUP BY t.project_id
)
SELECT p.id, p.name, a.name AS account, 0::bigint AS done, coalesce(pp.total, 0) AS total
FROM projects p
JOIN accounts a ON (a.id = p.account_id)
LEFT JOIN per_project pp ON pp.project_id = p.id;
