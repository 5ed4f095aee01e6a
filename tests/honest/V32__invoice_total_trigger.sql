CREATE FUNCTION invoice_total() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE invoices i
     SET amount = (SELECT coalesce(sum(l.total), 0) FROM invoice_lines l WHERE l.invoice_id = i.id)
   WHERE i.id = coalesce(NEW.invoice_id, OLD.invoice_id);
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER invoice_total AFTER INSERT OR UPDATE OR DELETE ON invoice_lines
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION invoice_total();
