DROP VIEW settings, labelled;
DROP FUNCTION task_labels(tasks);
DROP MATERIALIZED VIEW task_counts;
