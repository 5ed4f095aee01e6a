ALTER TABLE bookings ADD COLUMN id bigserial PRIMARY KEY;
CREATE INDEX bookings_lower_idx ON bookings (lower(during), upper(bookings.during));
