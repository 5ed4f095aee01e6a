ALTER TABLE projects ENABLE ROW LEVEL SECURITY;
CREATE POLICY projects_of_account ON projects
  USING (projects.account_id = nullif(current_setting('app.account_id', true), '')::uuid)
  WITH CHECK (EXISTS (SELECT 1 FROM accounts a WHERE a.id = projects.account_id AND a.plan <> 'free'));
