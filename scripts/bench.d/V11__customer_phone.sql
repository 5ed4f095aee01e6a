-- The one more migration of the bench's W2.
ALTER TABLE customers ADD COLUMN phone text;

CREATE INDEX customers_phone ON customers (phone);
