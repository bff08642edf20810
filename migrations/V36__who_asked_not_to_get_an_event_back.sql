-- Which connection asked not to get an event back that it published (`X-Carillon-Connection`, `except`): for as long as keys of
-- requests are kept, so that `GET /v1/why` can say so. A table of its own, for a column of `events` would lock every partition.
-- Nothing that delivers reads it.

CREATE TABLE carillon.event_excepts (
    tenant_id  text COLLATE "C" NOT NULL,
    seq        bigint NOT NULL,            -- of the event
    connection text COLLATE "C" NOT NULL,  -- as its welcome named it
    at         timestamptz NOT NULL,       -- when the event was appended
    PRIMARY KEY (tenant_id, seq, at)
);
CREATE INDEX event_excepts_at ON carillon.event_excepts (at);

ALTER TABLE carillon.event_excepts ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.event_excepts FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.event_excepts USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.event_excepts TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
GRANT SELECT, INSERT ON carillon.event_excepts TO carillon_publisher;
INSERT INTO carillon.maintenance (task) VALUES ('event_excepts');

-- As before (V7), and as many of these rows. A full slice of them asks for another, like one of keys.
CREATE OR REPLACE FUNCTION carillon.forget_some_keys(hours integer, most integer, OUT forgotten bigint, OUT overdue double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    bound timestamptz := now() - make_interval(hours => hours);
    start timestamptz;
    reach timestamptz;
    marks bigint;
    marks_start timestamptz;
    marks_reach timestamptz;
BEGIN
    SELECT done_to INTO marks_start FROM maintenance WHERE task = 'event_excepts' FOR UPDATE;
    IF marks_start > bound THEN
        marks_start := '-infinity';
    END IF;
    SELECT done_to INTO start FROM maintenance WHERE task = 'keys' FOR UPDATE;
    IF start > bound THEN
        start := '-infinity'; -- the clock was set back
    END IF;
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH gone AS (
        DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE at >= start AND at < bound ORDER BY at LIMIT most))
        RETURNING at
    ) SELECT count(*), max(at) INTO forgotten, reach FROM gone;
    WITH gone AS (
        DELETE FROM event_excepts WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM event_excepts WHERE at >= marks_start AND at < bound ORDER BY at LIMIT most))
        RETURNING at
    ) SELECT count(*), max(at) INTO marks, marks_reach FROM gone;
    PERFORM set_config('carillon.maintenance', '', true);
    IF forgotten < most THEN
        UPDATE maintenance SET done_to = '-infinity' WHERE task = 'keys' AND done_to <> '-infinity';
        overdue := 0;
    ELSE
        UPDATE maintenance SET done_to = reach WHERE task = 'keys';
        overdue := extract(epoch FROM bound - reach);
    END IF;
    IF marks < most THEN
        UPDATE maintenance SET done_to = '-infinity' WHERE task = 'event_excepts' AND done_to <> '-infinity';
    ELSE
        UPDATE maintenance SET done_to = marks_reach WHERE task = 'event_excepts';
        overdue := greatest(overdue, extract(epoch FROM bound - marks_reach));
    END IF;
    forgotten := greatest(forgotten, marks);
END $$;
