CREATE VIEW latest AS
SELECT p.id, l.title FROM projects p
LEFT JOIN LATERAL (SELECT t.title FROM tasks t WHERE t.project_id = p.id ORDER BY t.id DESC LIMIT 1) l ON true;
