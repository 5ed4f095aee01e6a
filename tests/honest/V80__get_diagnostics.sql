DO $$
DECLARE n int; m text;
BEGIN
  UPDATE tasks SET weight = 1 WHERE tasks.weight IS NULL;
  GET DIAGNOSTICS n = ROW_COUNT;
  ASSERT n >= 0, 'negative';
  BEGIN
    PERFORM 1 / 0;
  EXCEPTION WHEN division_by_zero THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT;
    RAISE DEBUG 'x: %', m USING HINT = 'public.y';
  END;
END $$;
