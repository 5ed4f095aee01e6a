CREATE TABLE "oban_like" ("id" bigserial, "args" jsonb DEFAULT '{}'::jsonb NOT NULL, "meta" jsonb, PRIMARY KEY ("id"));
ALTER TABLE "oban_like" ADD CONSTRAINT "args_object" CHECK (jsonb_typeof("args") = 'object');
