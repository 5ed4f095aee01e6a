CREATE VIEW task_tree AS
WITH RECURSIVE tree (id, parent_id, depth, path) AS (
  SELECT t.id, t.parent_id, 0, ARRAY[t.id] FROM tasks t WHERE t.parent_id IS NULL
  UNION ALL
  SELECT c.id, c.parent_id, tree.depth + 1, tree.path || c.id FROM tasks c JOIN tree ON tree.id = c.parent_id
)
SELECT tree.id, tree.parent_id, tree.depth FROM tree;
