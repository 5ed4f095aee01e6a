SELECT setval('invoice_number_seq', greatest(2000, (SELECT count(*) + 1 FROM invoices)));
SELECT setval(pg_get_serial_sequence('invoices', 'id'), coalesce(max(invoices.id), 1)) FROM invoices;
