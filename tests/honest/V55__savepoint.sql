SAVEPOINT before_it;
ALTER TABLE tasks ADD COLUMN weight int;
RELEASE SAVEPOINT before_it;
