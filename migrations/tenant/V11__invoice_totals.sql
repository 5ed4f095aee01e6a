-- Totals were summed up on every page view; from here on they are stored, old ones included.
ALTER TABLE invoices ADD COLUMN total_cents bigint NOT NULL DEFAULT 0;

UPDATE invoices
SET total_cents = items.total
FROM (
    SELECT invoice_id, round(sum(quantity * unit_cents))::bigint AS total
    FROM invoice_items
    GROUP BY invoice_id
) AS items
WHERE items.invoice_id = invoices.id;
