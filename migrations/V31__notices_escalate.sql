-- Escalations: who has not taken note of a notice after a while is told to a webhook. A step of a notice is a cursor on its audience: by
-- name, everybody up to `looked_to` was looked at. What a page of people comes to is an event in the tenant's log, which is stored in the
-- transaction that moves this cursor, so every person is named once in a step, whatever dies. Any publisher may move any cursor: it
-- locks the step's row, and what others hold is passed over.

CREATE TABLE carillon.escalations (
    tenant_id text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,             -- of the notice
    step      smallint NOT NULL,           -- from 1, as they stand in the notice
    webhook   text COLLATE "C" NOT NULL,
    who       text NOT NULL CHECK (who IN ('not_acked', 'not_delivered')),
    after     integer NOT NULL,            -- seconds after the notice was stored
    due_at    timestamptz,                 -- when somebody looks next; null: never again
    looked_to  text COLLATE "C" DEFAULT '', -- null: everybody was looked at
    told      bigint NOT NULL DEFAULT 0,   -- people who were named
    PRIMARY KEY (tenant_id, seq, step),
    FOREIGN KEY (tenant_id, seq) REFERENCES carillon.notices (tenant_id, seq) ON DELETE CASCADE
) WITH (fillfactor = 70);
CREATE INDEX escalations_due ON carillon.escalations (due_at) WHERE due_at IS NOT NULL;

-- People for whom it was quiet when they were looked at: they are looked at again when it is not.
CREATE TABLE carillon.escalations_held (
    tenant_id text COLLATE "C" NOT NULL,
    user_id   text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    step      smallint NOT NULL,
    due_at    timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, user_id, seq, step),
    FOREIGN KEY (tenant_id, seq, step) REFERENCES carillon.escalations (tenant_id, seq, step) ON DELETE CASCADE
);
CREATE INDEX escalations_held_due ON carillon.escalations_held (tenant_id, seq, step, due_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['escalations', 'escalations_held'] LOOP
        EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_scope ON carillon.%I
            USING (tenant_id = ANY ((SELECT carillon.scope())::text[]))
            WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())))', name);
    END LOOP;
END $$;
-- What is due is a question about all tenants: the owner's, while it maintains.
CREATE POLICY maintenance ON carillon.escalations FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

GRANT SELECT, INSERT, UPDATE ON carillon.escalations TO carillon_publisher;
GRANT SELECT, INSERT, UPDATE, DELETE ON carillon.escalations_held TO carillon_publisher;

-- Steps that are due, those first that are due longest, but for these tenants; and for how many seconds they are.
CREATE FUNCTION carillon.escalations_due(passed text[], most integer)
    RETURNS TABLE (tenant text, seq bigint, step smallint, waited double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT e.tenant_id, e.seq, e.step, extract(epoch FROM clock_timestamp() - e.due_at)::double precision
        FROM escalations e WHERE e.due_at <= clock_timestamp() AND e.tenant_id <> ALL (passed) ORDER BY e.due_at LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.escalations_due FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.escalations_due TO carillon_publisher;

-- Whoever escalates a notice holds its row until that is committed, and whoever takes note of it waits for that. So an ack that was
-- committed first is always seen. Notices without steps are not looked at.
CREATE FUNCTION carillon.ack_waits_for_escalation() RETURNS trigger
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM escalations e WHERE e.tenant_id = NEW.tenant_id AND e.seq = NEW.seq) THEN
        PERFORM FROM notices n WHERE n.tenant_id = NEW.tenant_id AND n.seq = NEW.seq FOR KEY SHARE;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER ack_waits_for_escalation BEFORE INSERT OR UPDATE OF acked_at ON carillon.inbox_marks
    FOR EACH ROW WHEN (NEW.acked_at IS NOT NULL) EXECUTE FUNCTION carillon.ack_waits_for_escalation();

-- Who changes what is quiet for them is looked at again at once.
CREATE FUNCTION carillon.preferences_free_held() RETURNS trigger
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    -- The steps first, as those do who escalate them.
    PERFORM FROM escalations e WHERE e.tenant_id = NEW.tenant_id AND (e.seq, e.step) IN (
            SELECT h.seq, h.step FROM escalations_held h WHERE h.tenant_id = NEW.tenant_id AND h.user_id = NEW.user_id)
        ORDER BY e.seq, e.step FOR NO KEY UPDATE;
    WITH free AS (
        UPDATE escalations_held h SET due_at = now() WHERE h.tenant_id = NEW.tenant_id AND h.user_id = NEW.user_id
        RETURNING h.seq, h.step
    ) UPDATE escalations e SET due_at = least(e.due_at, now()) FROM free f
        WHERE e.tenant_id = NEW.tenant_id AND e.seq = f.seq AND e.step = f.step;
    RETURN NEW;
END $$;
CREATE TRIGGER preferences_free_held AFTER INSERT OR UPDATE ON carillon.preferences
    FOR EACH ROW EXECUTE FUNCTION carillon.preferences_free_held();

REVOKE ALL ON FUNCTION carillon.ack_waits_for_escalation, carillon.preferences_free_held FROM PUBLIC;
