CREATE TABLE audit_log (
  id bigserial PRIMARY KEY,
  table_name text NOT NULL,
  row_id text,
  old_row jsonb,
  new_row jsonb,
  actor text DEFAULT current_user,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  v_old jsonb;
  v_new jsonb;
BEGIN
  IF TG_OP <> 'INSERT' THEN v_old := to_jsonb(OLD); END IF;
  IF TG_OP <> 'DELETE' THEN v_new := to_jsonb(NEW); END IF;
  INSERT INTO audit_log (table_name, row_id, old_row, new_row)
  VALUES (TG_TABLE_NAME, coalesce(v_new ->> 'id', v_old ->> 'id'), v_old, v_new);
  RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER tasks_audit AFTER INSERT OR UPDATE OR DELETE ON tasks FOR EACH ROW EXECUTE PROCEDURE audit();
