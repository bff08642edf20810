-- Records of changes are found by who made them, to what, of which kind and when, without all of the tenant's being read. And whoever has a failed delivery of a webhook sent again leaves a record.

CREATE INDEX audit_by_actor ON carillon.audit (tenant_id, actor, id);
CREATE INDEX audit_by_target ON carillon.audit (tenant_id, target, id);
CREATE INDEX audit_by_time ON carillon.audit (tenant_id, at);
CREATE INDEX audit_by_action ON carillon.audit (tenant_id, action, id);

-- The service itself, which sends, acts for nobody.
CREATE TRIGGER audit_changes AFTER UPDATE ON carillon.webhook_deliveries FOR EACH ROW
    WHEN (OLD.next_at <> NEW.next_at AND coalesce(current_setting('carillon.actor', true), '') <> '')
    EXECUTE FUNCTION carillon.audit_change('webhook_delivery', '{webhook,seq}', '{state,failures,next_at}', '{}', '{}');
