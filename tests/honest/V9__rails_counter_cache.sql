ALTER TABLE teams ADD COLUMN memberships_count integer DEFAULT 0 NOT NULL;
UPDATE teams SET memberships_count = (SELECT count(*) FROM memberships WHERE memberships.team_id = teams.id);
