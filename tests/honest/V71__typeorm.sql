CREATE TABLE "workspace_entity" ("id" uuid NOT NULL DEFAULT gen_random_uuid(), "name" character varying NOT NULL, "ownerId" text, CONSTRAINT "PK_8e0a5f4f0d6f1d6a1d9a2d3a1b2" PRIMARY KEY ("id"));
ALTER TABLE "workspace_entity" ADD CONSTRAINT "FK_1f5c3b8c2ad8b7a0d9f5c7e7b11" FOREIGN KEY ("ownerId") REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE NO ACTION;
