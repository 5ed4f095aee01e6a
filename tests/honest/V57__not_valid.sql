ALTER TABLE tasks ADD CONSTRAINT weight_positive CHECK (weight > 0) NOT VALID;
