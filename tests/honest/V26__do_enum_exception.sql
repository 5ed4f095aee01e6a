DO $$ BEGIN
  CREATE TYPE "Currency" AS ENUM ('EUR', 'USD');
EXCEPTION
  WHEN duplicate_object THEN null;
END $$;
