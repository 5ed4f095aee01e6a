-- public.accounts is gone; SET search_path is not used; DROP SCHEMA neither
ALTER TABLE accounts /* public. */ ADD COLUMN region text; -- CREATE EXTENSION
