CREATE FUNCTION walk() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  c CURSOR (k text) FOR SELECT p.id, p.name FROM projects p WHERE p.key = k;
  r record;
  n int := 0;
BEGIN
  OPEN c('A');
  LOOP
    FETCH NEXT FROM c INTO r;
    EXIT WHEN NOT FOUND;
    n := n + r.id::int;
  END LOOP;
  CLOSE c;
  <<blk>>
  DECLARE n int := 1;
  BEGIN
    blk.n := blk.n + 1;
  END;
  RETURN n;
END $$;
