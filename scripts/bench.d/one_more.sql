-- The one more migration of the bench's W2. NUMBER is its version, so that there can be as many as are measured.
ALTER TABLE customers ADD COLUMN phone_NUMBER text;

CREATE INDEX customers_phone_NUMBER ON customers (phone_NUMBER);
