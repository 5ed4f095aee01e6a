CREATE PROCEDURE archive_project(IN p_id bigint) LANGUAGE plpgsql AS $$
BEGIN
  UPDATE projects SET archived_at = now() WHERE projects.id = p_id;
  DELETE FROM tasks USING projects p WHERE p.id = tasks.project_id AND p.id = p_id;
END $$;
CALL archive_project(-1);
