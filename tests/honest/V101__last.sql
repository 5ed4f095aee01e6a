INSERT INTO accounts (name, plan) SELECT 'demo', 'team' WHERE NOT EXISTS (SELECT 1 FROM accounts a WHERE a.name = 'demo');
