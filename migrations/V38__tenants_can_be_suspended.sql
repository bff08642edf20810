-- A tenant can be suspended: its connections end, and it publishes and reads nothing until that is lifted. Nothing of it is lost. It stands
-- beside the limits, for the same people set it and the same services follow it.

ALTER TABLE carillon.tenant_limits ADD COLUMN suspended boolean NOT NULL DEFAULT false;
CREATE INDEX tenants_suspended ON carillon.tenant_limits (tenant_id) WHERE suspended;

-- Each has its own records: what was not changed is not among them.
DROP TRIGGER audit ON carillon.tenant_limits;
CREATE TRIGGER audit AFTER INSERT ON carillon.tenant_limits FOR EACH ROW WHEN (NEW.limits IS NOT NULL)
    EXECUTE FUNCTION carillon.audit_change('limits', '{}', '{limits}', '{}', '{}');
CREATE TRIGGER audit_changes AFTER UPDATE ON carillon.tenant_limits FOR EACH ROW WHEN (OLD.limits IS DISTINCT FROM NEW.limits)
    EXECUTE FUNCTION carillon.audit_change('limits', '{}', '{limits}', '{}', '{}');
CREATE TRIGGER audit_suspension AFTER INSERT ON carillon.tenant_limits FOR EACH ROW WHEN (NEW.suspended)
    EXECUTE FUNCTION carillon.audit_change('suspension', '{}', '{suspended}', '{}', '{}');
CREATE TRIGGER audit_suspension_changes AFTER UPDATE ON carillon.tenant_limits FOR EACH ROW WHEN (OLD.suspended <> NEW.suspended)
    EXECUTE FUNCTION carillon.audit_change('suspension', '{}', '{suspended}', '{}', '{}');

-- What limits_since answers, and whether the tenant is suspended. That one is for publishers of the version before.
CREATE FUNCTION carillon.tenant_limits_since(since bigint) RETURNS TABLE (tenant text, limits text, suspended boolean, version bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT l.tenant_id, l.limits::text, l.suspended, l.version FROM tenant_limits l WHERE l.version > since ORDER BY l.version;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;
REVOKE ALL ON FUNCTION carillon.tenant_limits_since FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.tenant_limits_since TO carillon_publisher;

-- As in V24, without those of suspended tenants.
CREATE OR REPLACE FUNCTION carillon.webhooks_due(slots smallint[], after_tenant text, after_id text, most integer)
    RETURNS TABLE (tenant text, id text, slot smallint, behind bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = on AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT w.tenant_id, w.id, carillon.projector_slot(w.tenant_id), greatest(t.head - w.seq, 0)
        FROM webhooks w JOIN tenants t ON t.id = w.tenant_id
        WHERE w.state = 'enabled' AND (w.tenant_id, w.id) > (after_tenant COLLATE "C", after_id COLLATE "C")
            AND carillon.projector_slot(w.tenant_id) = ANY (slots)
            AND (w.waits_until IS NULL OR w.waits_until <= clock_timestamp())
            AND (t.head <> w.seq OR t.epoch <> w.epoch OR EXISTS (
                SELECT FROM webhook_deliveries d
                WHERE d.tenant_id = w.tenant_id AND d.webhook = w.id AND d.next_at <= clock_timestamp()))
            AND NOT EXISTS (SELECT FROM tenant_limits l WHERE l.tenant_id = w.tenant_id AND l.suspended)
        ORDER BY w.tenant_id, w.id LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- As in V31, without those of suspended tenants.
CREATE OR REPLACE FUNCTION carillon.escalations_due(passed text[], most integer)
    RETURNS TABLE (tenant text, seq bigint, step smallint, waited double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT e.tenant_id, e.seq, e.step, extract(epoch FROM clock_timestamp() - e.due_at)::double precision
        FROM escalations e WHERE e.due_at <= clock_timestamp() AND e.tenant_id <> ALL (passed)
            AND NOT EXISTS (SELECT FROM tenant_limits l WHERE l.tenant_id = e.tenant_id AND l.suspended)
        ORDER BY e.due_at LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;
