CREATE VIEW project_overview AS
SELECT p.id, p.name, a.name AS account, count(t.id) FILTER (WHERE t.state = 'done') AS done, count(t.*) AS total
FROM projects p
JOIN accounts a ON a.id = p.account_id
LEFT JOIN tasks AS t ON t.project_id = p.id
GROUP BY p.id, a.name;
