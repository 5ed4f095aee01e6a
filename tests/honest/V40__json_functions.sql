CREATE FUNCTION task_labels(t tasks) RETURNS text[] LANGUAGE sql STABLE AS $$
  SELECT array_agg(e.value ->> 'name' ORDER BY e.ordinality)
  FROM jsonb_array_elements(t.data -> 'labels') WITH ORDINALITY AS e(value, ordinality)
$$;
CREATE VIEW labelled AS SELECT t.id, t.task_labels, x.color FROM tasks t, jsonb_to_record(t.data) AS x(color text);
