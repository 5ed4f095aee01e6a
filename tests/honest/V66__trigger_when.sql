CREATE TRIGGER tasks_done BEFORE UPDATE OF state ON tasks FOR EACH ROW
WHEN (OLD.state IS DISTINCT FROM NEW.state AND NEW.state = 'done') EXECUTE FUNCTION set_updated_at();
ALTER TABLE tasks DISABLE TRIGGER tasks_done;
ALTER TABLE tasks ENABLE TRIGGER tasks_done;
