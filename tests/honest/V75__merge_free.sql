UPDATE projects p SET name = s.name FROM (VALUES (1, 'x'), (2, 'y')) AS s (id, name) WHERE s.id = p.id;
DELETE FROM tasks t WHERE NOT EXISTS (SELECT FROM projects p WHERE p.id = t.project_id);
