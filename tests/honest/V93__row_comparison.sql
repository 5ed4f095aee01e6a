DELETE FROM invoice_lines l USING invoices i WHERE (l.invoice_id, l.line) IN (SELECT x.invoice_id, x.line FROM invoice_lines x WHERE x.price < 0) AND i.id = l.invoice_id;
