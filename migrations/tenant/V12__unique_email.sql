-- One login for one address. A tenant with the same address twice fails here with 23505 and stays at
-- version 11: put its customers right, then `fleet resume`.

ALTER TABLE customers ADD CONSTRAINT customers_email_key UNIQUE (email);
