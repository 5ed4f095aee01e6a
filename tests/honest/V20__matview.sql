CREATE MATERIALIZED VIEW task_counts AS SELECT t.project_id, t.state, count(*) AS n FROM tasks t GROUP BY 1, 2 WITH DATA;
CREATE UNIQUE INDEX task_counts_key ON task_counts (project_id, state);
REFRESH MATERIALIZED VIEW task_counts;
