CREATE TABLE memberships (id bigserial PRIMARY KEY, team_id bigint NOT NULL, user_id text NOT NULL);
ALTER TABLE memberships ADD CONSTRAINT fk_rails_99326fb65d FOREIGN KEY (team_id) REFERENCES teams(id);
CREATE UNIQUE INDEX index_memberships_on_team_id_and_user_id ON memberships (team_id, user_id);
