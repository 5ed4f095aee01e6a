UPDATE tasks AS t SET data = jsonb_set(coalesce(t.data, '{}'), '{a,b}', CASE WHEN t.state = 'done' THEN 'true'::jsonb ELSE to_jsonb(t.weight) END)
WHERE t.id = ANY (ARRAY(SELECT x.id FROM tasks x WHERE x.data ? 'a.b')) AND t.title NOT SIMILAR TO '(a|b)%';
