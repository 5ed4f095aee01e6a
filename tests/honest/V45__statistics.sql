CREATE STATISTICS task_stats (dependencies) ON project_id, state FROM tasks;
ANALYZE tasks;
