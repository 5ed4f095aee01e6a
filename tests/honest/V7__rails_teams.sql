CREATE TABLE teams (id bigserial PRIMARY KEY, name character varying NOT NULL, created_at timestamp(6) without time zone NOT NULL DEFAULT now());
CREATE INDEX index_teams_on_name ON teams USING btree (name);
