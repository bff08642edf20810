-- Steps that are due are asked for twice a second, those first that are due longest. Those of a suspended tenant stay due until it is
-- resumed, and would be walked each time before all others: they are set aside, in slices, and come back in slices with their due times.

ALTER TABLE carillon.escalations ADD COLUMN aside_due timestamptz; -- of a suspended tenant: when it was due; due_at is null meanwhile
CREATE INDEX escalations_aside ON carillon.escalations (tenant_id) WHERE aside_due IS NOT NULL;

-- Tenants that have steps set aside.
CREATE TABLE carillon.escalations_set_aside (tenant_id text COLLATE "C" PRIMARY KEY);
ALTER TABLE carillon.escalations_set_aside ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.escalations_set_aside FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.escalations_set_aside TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance_update ON carillon.escalations FOR UPDATE TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Sets aside the steps of suspended tenants among the first `most` that are due, and takes back as many of a tenant that is not suspended
-- any more. Whoever resumes a tenant waits for the former, so none is set aside afterwards. Rows that others hold are passed over.
CREATE FUNCTION carillon.set_steps_aside(most integer) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    resumed text;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF EXISTS (SELECT FROM tenant_limits l WHERE l.suspended) THEN
        WITH first AS MATERIALIZED (
            SELECT e.tenant_id, e.seq, e.step FROM escalations e WHERE e.due_at <= clock_timestamp() ORDER BY e.due_at LIMIT most
        ), tenants AS MATERIALIZED (
            SELECT l.tenant_id FROM tenant_limits l WHERE l.suspended AND l.tenant_id IN (SELECT f.tenant_id FROM first f)
            ORDER BY l.tenant_id FOR SHARE SKIP LOCKED
        ), known AS (
            INSERT INTO escalations_set_aside AS a (tenant_id) SELECT t.tenant_id FROM tenants t ORDER BY t.tenant_id
            ON CONFLICT (tenant_id) DO UPDATE SET tenant_id = a.tenant_id RETURNING a.tenant_id
        ), free AS MATERIALIZED (
            SELECT e.tenant_id, e.seq, e.step FROM escalations e
            WHERE (e.tenant_id, e.seq, e.step) IN (SELECT f.tenant_id, f.seq, f.step FROM first f JOIN known k ON k.tenant_id = f.tenant_id)
                AND e.due_at IS NOT NULL
            FOR NO KEY UPDATE SKIP LOCKED
        ) UPDATE escalations e SET aside_due = least(e.aside_due, e.due_at), due_at = NULL FROM free f
            WHERE e.tenant_id = f.tenant_id AND e.seq = f.seq AND e.step = f.step;
    END IF;
    SELECT a.tenant_id INTO resumed FROM escalations_set_aside a
        WHERE NOT EXISTS (SELECT FROM tenant_limits l WHERE l.tenant_id = a.tenant_id AND l.suspended) LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF resumed IS NOT NULL THEN
        WITH free AS MATERIALIZED (
            SELECT e.tenant_id, e.seq, e.step FROM escalations e WHERE e.tenant_id = resumed AND e.aside_due IS NOT NULL
            LIMIT most FOR NO KEY UPDATE SKIP LOCKED
        ) UPDATE escalations e SET due_at = least(e.due_at, e.aside_due), aside_due = NULL FROM free f
            WHERE e.tenant_id = f.tenant_id AND e.seq = f.seq AND e.step = f.step;
        IF NOT EXISTS (SELECT FROM escalations e WHERE e.tenant_id = resumed AND e.aside_due IS NOT NULL) THEN
            DELETE FROM escalations_set_aside a WHERE a.tenant_id = resumed;
        END IF;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- As in V38, after steps of suspended tenants are set aside.
CREATE OR REPLACE FUNCTION carillon.escalations_due(passed text[], most integer)
    RETURNS TABLE (tenant text, seq bigint, step smallint, waited double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
BEGIN
    PERFORM set_steps_aside(5000);
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT e.tenant_id, e.seq, e.step, extract(epoch FROM clock_timestamp() - e.due_at)::double precision
        FROM escalations e WHERE e.due_at <= clock_timestamp() AND e.tenant_id <> ALL (passed)
            AND NOT EXISTS (SELECT FROM tenant_limits l WHERE l.tenant_id = e.tenant_id AND l.suspended)
        ORDER BY e.due_at LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.set_steps_aside FROM PUBLIC;
