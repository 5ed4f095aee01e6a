-- AlterTable
ALTER TABLE "Post" RENAME COLUMN "content" TO "body";
ALTER TABLE "Post" ADD COLUMN     "slug" TEXT,
ALTER COLUMN "title" SET DATA TYPE TEXT;
