UPDATE "Invites" SET "state" = 'old' WHERE "Invites"."createdAt" < now() - interval '1 year';
ALTER TABLE "Invites" ALTER COLUMN "state" SET NOT NULL;
