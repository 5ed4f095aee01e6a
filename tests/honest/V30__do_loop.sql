DO $$
DECLARE
  r record;
  v_total projects.id%TYPE := 0;
  v_row projects%ROWTYPE;
BEGIN
  FOR r IN SELECT p.id, p.key FROM projects p ORDER BY p.id LOOP
    v_total := v_total + r.id;
    UPDATE projects SET name = r.key || ': ' || projects.name WHERE projects.id = r.id;
  END LOOP;
  SELECT p.* INTO v_row FROM projects p LIMIT 1;
  RAISE NOTICE 'last %, total %', v_row.id, v_total;
END
$$;
