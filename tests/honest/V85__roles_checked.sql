DO $$
BEGIN
  IF EXISTS (SELECT 1 FROM pg_roles r WHERE r.rolname = 'reporting_of_nobody') THEN
    GRANT SELECT ON notes TO reporting_of_nobody;
  END IF;
END $$;
