INSERT INTO preferences (key, value) VALUES ('sql', to_jsonb('SELECT * FROM public.users; SET search_path TO x; CREATE EXTENSION y'::text));
UPDATE preferences SET value = to_jsonb(E'it\'s public.x'::text) WHERE key = 'sql' -- public.preferences
/* DROP SCHEMA public CASCADE; */;
