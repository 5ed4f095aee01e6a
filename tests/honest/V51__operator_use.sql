CREATE VIEW overlapping AS SELECT b.room FROM bookings b, bookings c WHERE b.during OPERATOR(pg_catalog.&&) c.during AND b.ctid <> c.ctid;
