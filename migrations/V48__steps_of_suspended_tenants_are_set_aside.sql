-- Steps that are due are asked for twice a second, those first that are due longest. Those of a suspended tenant stay due until it is
-- resumed, and would be walked each time before all others: they are set aside, in slices, and come back in slices with their due times.

-- First, because it takes the strongest lock: a weaker one of this migration that became a stronger one could wait in a circle with whoever
-- takes a step.
CREATE POLICY maintenance_update ON carillon.escalations FOR UPDATE TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- What is set aside, and when it was due; `due_at` of the step is null meanwhile. A table of its own: a column of `escalations` with an index
-- would hold up whoever publishes notices with steps while all of them are gone through.
CREATE TABLE carillon.escalations_aside (
    tenant_id text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    step      smallint NOT NULL,
    due_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, seq, step),
    FOREIGN KEY (tenant_id, seq, step) REFERENCES carillon.escalations (tenant_id, seq, step) ON DELETE CASCADE
);
-- Tenants that have steps set aside.
CREATE TABLE carillon.escalations_set_aside (tenant_id text COLLATE "C" PRIMARY KEY);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['escalations_aside', 'escalations_set_aside'] LOOP
        EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY maintenance ON carillon.%I TO carillon_owner
            USING (current_setting(''carillon.maintenance'', true) = ''on'')', name);
    END LOOP;
END $$;
CREATE POLICY tenant_scope ON carillon.escalations_aside FOR SELECT USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
GRANT SELECT ON carillon.escalations_aside TO carillon_publisher;

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
            SELECT e.tenant_id, e.seq, e.step, e.due_at FROM escalations e
            WHERE (e.tenant_id, e.seq, e.step) IN (SELECT f.tenant_id, f.seq, f.step FROM first f JOIN known k ON k.tenant_id = f.tenant_id)
                AND e.due_at IS NOT NULL
            FOR NO KEY UPDATE SKIP LOCKED
        ), kept AS (
            INSERT INTO escalations_aside AS a (tenant_id, seq, step, due_at) SELECT f.tenant_id, f.seq, f.step, f.due_at FROM free f
            ON CONFLICT (tenant_id, seq, step) DO UPDATE SET due_at = least(a.due_at, excluded.due_at)
        ) UPDATE escalations e SET due_at = NULL FROM free f
            WHERE e.tenant_id = f.tenant_id AND e.seq = f.seq AND e.step = f.step;
    END IF;
    SELECT a.tenant_id INTO resumed FROM escalations_set_aside a
        WHERE NOT EXISTS (SELECT FROM tenant_limits l WHERE l.tenant_id = a.tenant_id AND l.suspended) LIMIT 1 FOR UPDATE SKIP LOCKED;
    IF resumed IS NOT NULL THEN
        WITH free AS MATERIALIZED (
            SELECT e.tenant_id, e.seq, e.step FROM escalations_aside a JOIN escalations e USING (tenant_id, seq, step)
            WHERE a.tenant_id = resumed LIMIT most FOR NO KEY UPDATE OF e SKIP LOCKED
        ), back AS (
            DELETE FROM escalations_aside a USING free f WHERE a.tenant_id = f.tenant_id AND a.seq = f.seq AND a.step = f.step
            RETURNING a.tenant_id, a.seq, a.step, a.due_at
        ) UPDATE escalations e SET due_at = least(e.due_at, b.due_at) FROM back b
            WHERE e.tenant_id = b.tenant_id AND e.seq = b.seq AND e.step = b.step;
        IF NOT EXISTS (SELECT FROM escalations_aside a WHERE a.tenant_id = resumed) THEN
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
    PERFORM set_steps_aside(500);
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT e.tenant_id, e.seq, e.step, extract(epoch FROM clock_timestamp() - e.due_at)::double precision
        FROM escalations e WHERE e.due_at <= clock_timestamp() AND e.tenant_id <> ALL (passed)
            AND NOT EXISTS (SELECT FROM tenant_limits l WHERE l.tenant_id = e.tenant_id AND l.suspended)
        ORDER BY e.due_at LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.set_steps_aside FROM PUBLIC;
