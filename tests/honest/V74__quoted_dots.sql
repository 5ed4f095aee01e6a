CREATE TABLE "odd.name" ("a.b" int, "c""d" text);
CREATE INDEX "odd.idx" ON "odd.name" ("a.b");
COMMENT ON COLUMN "odd.name"."a.b" IS 'dots are letters here';
INSERT INTO "odd.name" ("a.b") SELECT n."a.b" FROM "odd.name" n;
