CREATE TABLE old_notes () INHERITS (notes);
ALTER TABLE old_notes NO INHERIT notes;
