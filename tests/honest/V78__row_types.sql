CREATE FUNCTION task_json(t tasks) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  o jsonb := jsonb_build_object('id', t.id);
BEGIN
  IF (t.data).x IS NULL THEN NULL; END IF;
  RETURN o || jsonb_build_object('title', t.title, 'state', t.state::text);
EXCEPTION WHEN others THEN RETURN o;
END $$;
