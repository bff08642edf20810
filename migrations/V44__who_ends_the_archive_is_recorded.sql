-- That the archive was begun (by the first publisher that had one) or ended (`archive off`) is recorded as what administrators set is.
CREATE TRIGGER audit AFTER UPDATE ON carillon.archive FOR EACH ROW WHEN (OLD.wanted IS DISTINCT FROM NEW.wanted)
    EXECUTE FUNCTION carillon.audit_change('archive', '{}', '{wanted}', '{}', '{}');
