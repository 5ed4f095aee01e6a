CREATE FUNCTION busiest(lim int DEFAULT 5) RETURNS TABLE (project_id bigint, n bigint) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY SELECT t.project_id, count(*) FROM tasks t GROUP BY t.project_id ORDER BY 2 DESC LIMIT busiest.lim;
END $$;
