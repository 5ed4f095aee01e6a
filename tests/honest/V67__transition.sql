CREATE FUNCTION count_changes() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
  SELECT count(*) INTO n FROM changed c JOIN projects p ON p.id = c.project_id;
  PERFORM pg_notify('changes', json_build_object('n', n, 'table', TG_TABLE_NAME)::text);
  RETURN NULL;
END $$;
CREATE TRIGGER tasks_changes AFTER UPDATE ON tasks REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_changes();
