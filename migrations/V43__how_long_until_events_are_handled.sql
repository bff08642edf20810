-- How long it takes until devices have handled events: for each hour in which events were appended, how many acknowledgements came how
-- long afterwards. Gateways say when a device acknowledged; of several events that it acknowledges at once the newest counts. A place
-- `bucket` is for latencies from 1.2^bucket milliseconds on, the place 0 also for shorter ones. They are forgotten with the counts of their hour.

CREATE TABLE carillon.analytics_latency (
    tenant_id text COLLATE "C" NOT NULL,
    at        timestamptz NOT NULL,      -- when the hour begins (UTC)
    bucket    smallint NOT NULL,
    acks      bigint NOT NULL,
    PRIMARY KEY (tenant_id, at, bucket)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);

ALTER TABLE carillon.analytics_latency ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.analytics_latency FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.analytics_latency FOR SELECT USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.analytics_latency TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
GRANT SELECT ON carillon.analytics_latency TO carillon_publisher;

-- Counts acknowledgements of events that are at most two days old: `handled_ms` is how long ago each came, null where none did. Rows are
-- written in the order of the key.
CREATE FUNCTION carillon.count_latency(tenants text[], epochs text[], acked bigint[], handled_ms bigint[]) RETURNS void
    LANGUAGE plpgsql SET search_path = carillon, pg_temp SET timezone = 'UTC' SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    since timestamptz := now() - interval '2 days';
    until timestamptz := now() + interval '1 minute';
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    PERFORM set_config('carillon.tenant', (SELECT string_agg(DISTINCT r.tenant, ',') FROM unnest(tenants, handled_ms) AS r(tenant, ms)
        WHERE r.ms IS NOT NULL), true);
    WITH came AS MATERIALIZED (
        SELECT r.tenant, r.acked, now() - r.ms * interval '1 ms' AS at FROM unnest(tenants, epochs, acked, handled_ms) AS r(tenant, epoch, acked, ms)
            JOIN tenants t ON t.id = r.tenant AND t.epoch = r.epoch
        WHERE r.ms IS NOT NULL
    ), found AS MATERIALIZED (
        SELECT d.tenant, d.acked, e.at FROM (SELECT DISTINCT c.tenant, c.acked FROM came c) AS d CROSS JOIN LATERAL (
            SELECT e.at FROM carillon.events e
            WHERE e.tenant_id = d.tenant AND e.seq = d.acked AND e.at >= since AND e.at < until LIMIT 1) AS e
    ) INSERT INTO analytics_latency AS l (tenant_id, at, bucket, acks)
    SELECT c.tenant, date_bin('1 hour', f.at, '2000-01-01 00:00+00'),
        least(floor(ln(greatest(extract(epoch FROM c.at - f.at) * 1000, 1)) / ln(1.2)), 200)::smallint, count(*)
    FROM came c JOIN found f ON f.tenant = c.tenant AND f.acked = c.acked GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, at, bucket) DO UPDATE SET acks = l.acks + excluded.acks;
    PERFORM set_config('carillon.tenant', '', true);
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- As V22 has it, and counts how long it took. The one with fewer parameters is for gateways of the version before.
CREATE FUNCTION carillon.store_devices(tenants text[], users text[], devices text[], epochs text[], delivered bigint[],
    acked bigint[], first_ms bigint[], seen_ms bigint[], channels text[], handled_ms bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    stored bigint;
BEGIN
    stored := carillon.store_devices(tenants, users, devices, epochs, delivered, acked, first_ms, seen_ms, channels);
    IF EXISTS (SELECT FROM unnest(handled_ms) AS h(ms) WHERE h.ms IS NOT NULL) THEN
        PERFORM carillon.count_latency(tenants, epochs, acked, handled_ms);
    END IF;
    RETURN stored;
END $$;

-- As V23 has it, and with what was counted of latency.
CREATE OR REPLACE FUNCTION carillon.forget_some_analytics(days integer, most integer, OUT forgotten bigint, OUT overdue float8)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    before timestamptz := now() - make_interval(days => days);
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH due AS MATERIALIZED (
        SELECT h.tenant_id, h.at FROM analytics_hours h WHERE h.at < before ORDER BY h.at LIMIT most
        FOR NO KEY UPDATE SKIP LOCKED
    ), hours AS (
        DELETE FROM analytics_hours h USING due d WHERE h.tenant_id = d.tenant_id AND h.at = d.at
        RETURNING h.tenant_id, h.at
    ), counts AS (
        DELETE FROM analytics_counts c USING due d
        WHERE c.tenant_id = d.tenant_id AND c.at = d.at
            AND c.dimension = ANY (ARRAY['type', 'source', 'actor', 'priority'])
    ), latency AS (
        DELETE FROM analytics_latency l USING due d WHERE l.tenant_id = d.tenant_id AND l.at = d.at
    ) SELECT count(*) INTO forgotten FROM hours;
    SELECT coalesce(extract(epoch FROM before - min(h.at)), 0) INTO overdue FROM analytics_hours h WHERE h.at < before;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.count_latency,
    carillon.store_devices(text[], text[], text[], text[], bigint[], bigint[], bigint[], bigint[], text[], bigint[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    carillon.store_devices(text[], text[], text[], text[], bigint[], bigint[], bigint[], bigint[], text[], bigint[]) TO carillon_gateway;
