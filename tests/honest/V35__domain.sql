CREATE DOMAIN email_address AS text CHECK (VALUE ~* '^[^@]+@[^@]+\.[^@]+$');
CREATE TABLE contacts (id bigserial PRIMARY KEY, email email_address, phone text);
