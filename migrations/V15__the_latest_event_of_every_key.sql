-- Latest values: an event with a key is also the latest of its key in each of its channels. Written with the event, in the
-- append's own statement and under the tenant's lock, so the order of writes is the order of numbers. What a row points at is
-- in the log: a key that was not touched for a while goes, at the latest with its event.

CREATE TABLE carillon.latest (
    tenant_id text COLLATE "C" NOT NULL,
    channel   text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    at        timestamptz NOT NULL,        -- of the event: in which partition it is
    gone      boolean NOT NULL,            -- the event deleted the key: see below
    PRIMARY KEY (tenant_id, channel, key)
);
-- Keys of a channel in the order of their events; without those that are gone.
CREATE INDEX latest_seq ON carillon.latest (tenant_id, channel, seq) WHERE NOT gone;
CREATE INDEX latest_at ON carillon.latest (at);
CREATE INDEX latest_gone ON carillon.latest (at) WHERE gone;

ALTER TABLE carillon.latest ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.latest FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_reads ON carillon.latest FOR SELECT
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_writes ON carillon.latest FOR INSERT
    WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())));
CREATE POLICY tenant_moves ON carillon.latest FOR UPDATE
    USING (tenant_id IN (SELECT unnest(carillon.scope())));
CREATE POLICY maintenance ON carillon.latest TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

GRANT SELECT, INSERT, UPDATE (seq, at, gone) ON carillon.latest TO carillon_publisher;
GRANT SELECT ON carillon.latest TO carillon_gateway;

INSERT INTO carillon.maintenance (task) VALUES ('latest');

-- Forgets at most `most` keys that no event has touched for `days`, and at most as many whose deletion is an hour old. A deletion
-- is a row first: a statement that began before another's commit would not see, and so not delete, what that one inserted. An
-- hour is longer than any statement. Rows that an append holds are passed over, so nobody waits for anybody in a circle.
-- `overdue`: for how many seconds the oldest key that is left should have been gone; 0 when none is due.
CREATE FUNCTION carillon.forget_some_latest(days integer, most integer, OUT forgotten bigint, OUT overdue double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    bound timestamptz := now() - make_interval(days => days);
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH old AS (
        SELECT tenant_id, channel, key FROM latest WHERE at < bound ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED
    ), deleted AS (
        SELECT tenant_id, channel, key FROM latest WHERE gone AND at >= bound AND at < now() - interval '1 hour'
        ORDER BY at LIMIT most FOR UPDATE SKIP LOCKED
    ), went AS (
        DELETE FROM latest l USING (SELECT * FROM old UNION ALL SELECT * FROM deleted) AS d
        WHERE l.tenant_id = d.tenant_id AND l.channel = d.channel AND l.key = d.key RETURNING 1
    ) SELECT count(*) INTO forgotten FROM went;
    overdue := coalesce((SELECT greatest(extract(epoch FROM bound - min(at)), 0) FROM latest WHERE at < bound), 0);
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.forget_some_latest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_some_latest TO carillon_publisher;
