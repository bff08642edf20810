-- Projectors: readers of the log with a stored cursor. A projector reads a tenant's events after its cursor and commits
-- its result, its new cursor and the proof of its lease in one transaction (backplane/src/log/projector). The first of
-- them writes the channel index, which finds a channel's events without walking the log (docs/adr/0014).

-- Tenants are divided by hash into 64 slots for each projector. Who holds a slot's lease works on its tenants; `fence`
-- grows with every new holder, so a holder that was replaced commits nothing. Half of each page stays free: renewing a
-- lease touches no index (HOT). No row names a tenant.
CREATE TABLE carillon.projector_slots (
    projector   text COLLATE "C" NOT NULL,
    slot        smallint NOT NULL,
    worker      text,
    fence       bigint NOT NULL DEFAULT 0,
    lease_until timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (projector, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- The workers that are alive, so that each takes its share of the slots.
CREATE TABLE carillon.projector_workers (
    projector   text COLLATE "C" NOT NULL,
    worker      text COLLATE "C" NOT NULL,
    alive_until timestamptz NOT NULL,
    PRIMARY KEY (projector, worker)
) WITH (fillfactor = 50);

-- How far a projector has read a tenant's log: everything up to `seq` in the epoch `epoch`.
CREATE TABLE carillon.projector_cursors (
    tenant_id text COLLATE "C" NOT NULL,
    projector text COLLATE "C" NOT NULL,
    epoch     text NOT NULL,
    seq       bigint NOT NULL,
    at        timestamptz,               -- of the event `seq`: which partition the next one can be in
    PRIMARY KEY (tenant_id, projector)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Which events of a tenant went to a channel: one row for each channel and each batch that the projector read. Rows of
-- one channel do not overlap, so their order is the order of the events. A batch has at most 2,000 events.
CREATE TABLE carillon.channel_index (
    tenant_id text COLLATE "C" NOT NULL,
    channel   text COLLATE "C" NOT NULL,
    last_seq  bigint NOT NULL,           -- the newest of seqs
    seqs      bigint[] NOT NULL,         -- ascending, last_seq included
    since     timestamptz NOT NULL,      -- the events were appended from here
    at        timestamptz NOT NULL,      -- up to here: which partitions of events hold them; and what this one goes by
    PRIMARY KEY (tenant_id, channel, last_seq, at)
) PARTITION BY RANGE (at);

ALTER TABLE carillon.projector_cursors ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.projector_cursors FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.channel_index     ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.channel_index     FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_reads ON carillon.projector_cursors FOR SELECT
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_begins ON carillon.projector_cursors FOR INSERT
    WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())));
CREATE POLICY tenant_moves ON carillon.projector_cursors FOR UPDATE
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_reads ON carillon.channel_index FOR SELECT
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_writes ON carillon.channel_index FOR INSERT
    WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())));
CREATE POLICY tenant_rewinds ON carillon.channel_index FOR DELETE
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
-- Which tenants have news is a question about all of them: the owner's, while it maintains.
CREATE POLICY maintenance ON carillon.projector_cursors FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

GRANT SELECT, UPDATE (lease_until) ON carillon.projector_slots TO carillon_publisher;
GRANT SELECT, INSERT, UPDATE ON carillon.projector_cursors TO carillon_publisher;
GRANT SELECT, INSERT, DELETE ON carillon.channel_index TO carillon_publisher;
GRANT SELECT ON carillon.projector_cursors, carillon.channel_index TO carillon_gateway;

-- The slot of a tenant. Nothing stores it: a server that hashes otherwise only deals tenants out anew.
CREATE FUNCTION carillon.projector_slot(tenant text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (hashtextextended(tenant COLLATE "C", 0) & 63)::smallint;

-- Keeps, takes and gives up slots for a worker, so that every live worker has its share; answers what it holds.
-- A row that somebody has locked is somebody's who works on it this moment, and who renews it so: it is skipped.
CREATE FUNCTION carillon.lease_slots(name text, me text, seconds integer) RETURNS TABLE (slot smallint, fence bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    until timestamptz := clock_timestamp() + make_interval(secs => seconds);
    share integer;
BEGIN
    INSERT INTO projector_workers AS w (projector, worker, alive_until) VALUES (name, me, until)
        ON CONFLICT (projector, worker) DO UPDATE SET alive_until = excluded.alive_until;
    DELETE FROM projector_workers w USING (
        SELECT o.worker FROM projector_workers o
        WHERE o.projector = name AND o.alive_until < clock_timestamp() FOR UPDATE SKIP LOCKED) AS gone
    WHERE w.projector = name AND w.worker = gone.worker;
    IF NOT EXISTS (SELECT FROM projector_slots s WHERE s.projector = name) THEN
        INSERT INTO projector_slots (projector, slot) SELECT name, n FROM generate_series(0, 63) AS n
            ON CONFLICT DO NOTHING;
    END IF;
    SELECT ceil(64.0 / count(*)) INTO share FROM projector_workers w
        WHERE w.projector = name AND w.alive_until >= clock_timestamp();
    UPDATE projector_slots s SET worker = NULL, lease_until = '-infinity' FROM (
        SELECT h.slot FROM projector_slots h WHERE h.projector = name AND h.worker = me AND h.slot IN (
            SELECT o.slot FROM projector_slots o WHERE o.projector = name AND o.worker = me ORDER BY o.slot OFFSET share)
        FOR NO KEY UPDATE SKIP LOCKED) AS surplus
    WHERE s.projector = name AND s.slot = surplus.slot;
    UPDATE projector_slots s SET lease_until = until FROM (
        SELECT h.slot FROM projector_slots h WHERE h.projector = name AND h.worker = me
        FOR NO KEY UPDATE SKIP LOCKED) AS held
    WHERE s.projector = name AND s.slot = held.slot;
    UPDATE projector_slots s SET worker = me, fence = s.fence + 1, lease_until = until FROM (
        SELECT f.slot FROM projector_slots f
        WHERE f.projector = name AND f.lease_until < clock_timestamp() AND f.worker IS DISTINCT FROM me
        ORDER BY f.slot
        LIMIT greatest(0, share - (SELECT count(*) FROM projector_slots o WHERE o.projector = name AND o.worker = me))
        FOR NO KEY UPDATE SKIP LOCKED) AS free
    WHERE s.projector = name AND s.slot = free.slot;
    RETURN QUERY SELECT s.slot, s.fence FROM projector_slots s WHERE s.projector = name AND s.worker = me ORDER BY s.slot;
END $$;

-- Gives up all slots of a worker that stops.
CREATE FUNCTION carillon.release_slots(name text, me text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    UPDATE projector_slots s SET worker = NULL, lease_until = '-infinity' WHERE s.projector = name AND s.worker = me;
    DELETE FROM projector_workers w WHERE w.projector = name AND w.worker = me;
END $$;

-- The tenants of `slots` whose logs go on after a projector's cursors, at most `most` of them after the tenant `after`.
CREATE FUNCTION carillon.projector_news(name text, slots smallint[], after text, most integer)
    RETURNS TABLE (tenant text, slot smallint, behind bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = on AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT t.id, carillon.projector_slot(t.id), greatest(t.head - coalesce(c.seq, 0), 0)
        FROM tenants t LEFT JOIN projector_cursors c ON c.tenant_id = t.id AND c.projector = name
        WHERE t.id > after AND carillon.projector_slot(t.id) = ANY (slots)
            AND t.head > 0 AND (c.seq IS NULL OR c.seq <> t.head OR c.epoch <> t.epoch)
        ORDER BY t.id LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Up to where a cursor of the epoch `old` is good in the epoch that the tenant's log has now: where the first epoch after
-- it began; nowhere, when that is not known.
CREATE FUNCTION carillon.cursor_good_up_to(name text, old text) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.tenant', name, true);
    IF EXISTS (SELECT FROM tenants t WHERE t.id = name AND t.epoch = old) THEN
        RETURN (SELECT t.head FROM tenants t WHERE t.id = name);
    END IF;
    RETURN coalesce((SELECT min(e.began_after) FROM epochs e WHERE e.tenant_id = name
        AND e.number > (SELECT o.number FROM epochs o WHERE o.tenant_id = name AND o.epoch = old)), 0);
END $$;

-- The index's partitions follow the log's: each day of events has its own, which goes after the events of its day have
-- gone. At most 100 come at a time, the newest days first, and one goes; answers how many came and went. A partition
-- that is in use now goes another time: nobody waits for it longer than the lock time-out below.
CREATE FUNCTION carillon.follow_partitions() RETURNS TABLE (created integer, dropped integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' SET lock_timeout = '50ms' AS $$
DECLARE
    day  text;
    part text;
BEGIN
    created := 0;
    dropped := 0;
    IF NOT pg_try_advisory_xact_lock(hashtext('carillon.channel_index')) THEN
        RETURN NEXT;
        RETURN;
    END IF;
    FOR day IN
        SELECT right(c.relname, 8) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'carillon.events'::regclass AND c.relname ~ '^events_\d{8}$'
            AND to_regclass('carillon.channel_index_' || right(c.relname, 8)) IS NULL
        ORDER BY 1 DESC LIMIT 100
    LOOP
        part := 'channel_index_' || day;
        EXECUTE format('CREATE TABLE carillon.%I (LIKE carillon.channel_index INCLUDING ALL)', part);
        EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', part);
        EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', part);
        EXECUTE format('ALTER TABLE carillon.channel_index ATTACH PARTITION carillon.%I FOR VALUES FROM (%L) TO (%L)',
            part, to_date(day, 'YYYYMMDD')::timestamptz, (to_date(day, 'YYYYMMDD') + 1)::timestamptz);
        created := created + 1;
    END LOOP;
    SELECT c.relname INTO part FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'carillon.channel_index'::regclass
            AND to_regclass('carillon.events_' || right(c.relname, 8)) IS NULL
        ORDER BY 1 LIMIT 1;
    IF FOUND THEN
        BEGIN
            LOCK TABLE ONLY carillon.channel_index IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('LOCK TABLE carillon.%I IN ACCESS EXCLUSIVE MODE NOWAIT', part);
            EXECUTE format('DROP TABLE carillon.%I', part);
            dropped := 1;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END IF;
    RETURN NEXT;
END $$;

REVOKE ALL ON FUNCTION carillon.lease_slots, carillon.release_slots, carillon.projector_news, carillon.cursor_good_up_to,
    carillon.follow_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.lease_slots, carillon.release_slots, carillon.projector_news, carillon.cursor_good_up_to,
    carillon.follow_partitions TO carillon_publisher;

SELECT FROM carillon.follow_partitions();
