CREATE FUNCTION open_tasks(account accounts) RETURNS SETOF tasks LANGUAGE sql STABLE AS
'SELECT t.* FROM tasks t JOIN projects p ON p.id = t.project_id WHERE p.account_id = account.id AND t.state = ''open''';
