CREATE TYPE "workspace_kind_enum_old" AS ENUM('a', 'b');
ALTER TABLE "workspace_entity" ADD "kind" "workspace_kind_enum_old" NOT NULL DEFAULT 'a';
CREATE TYPE "workspace_kind_enum" AS ENUM('a', 'b', 'c');
ALTER TABLE "workspace_entity" ALTER COLUMN "kind" DROP DEFAULT;
ALTER TABLE "workspace_entity" ALTER COLUMN "kind" TYPE "workspace_kind_enum" USING "kind"::"text"::"workspace_kind_enum";
ALTER TABLE "workspace_entity" ALTER COLUMN "kind" SET DEFAULT 'a';
DROP TYPE "workspace_kind_enum_old";
