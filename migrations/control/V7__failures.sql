-- The column of the line where PostgreSQL points, counted in characters; NULL where it points at none.
ALTER TABLE attempts ADD COLUMN line_column integer;
