CREATE TYPE postal AS (street text, city text, zip text);
ALTER TABLE contacts ADD COLUMN home postal;
UPDATE contacts SET home.city = 'Bern' WHERE (home).zip = '3000';
CREATE INDEX contacts_city_idx ON contacts (((home).city));
