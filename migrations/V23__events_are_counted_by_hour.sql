-- Analytics: how many events an hour, by type, source, actor and priority. A projector writes them behind the log
-- (backplane/src/log/projector/analytics.rs): counts and cursor in one transaction, so no event counts twice. They outlive the log.

-- What was counted of an hour (UTC), by the time at which the events were appended.
CREATE TABLE carillon.analytics_hours (
    tenant_id text COLLATE "C" NOT NULL,
    at        timestamptz NOT NULL,      -- when the hour begins
    first_seq bigint NOT NULL,           -- the events counted in it are between these two
    last_seq  bigint NOT NULL,
    events    bigint NOT NULL,
    PRIMARY KEY (tenant_id, at)
) WITH (fillfactor = 70);
CREATE INDEX analytics_hours_at ON carillon.analytics_hours (at);

-- The same by what the events say. At most 5,000 keys of a dimension have rows of their own in an hour; what has further ones is
-- counted under the key '', which no event has.
CREATE TABLE carillon.analytics_counts (
    tenant_id text COLLATE "C" NOT NULL,
    dimension text COLLATE "C" NOT NULL, -- type, source, actor, priority
    at        timestamptz NOT NULL,
    key       text COLLATE "C" NOT NULL,
    events    bigint NOT NULL,
    PRIMARY KEY (tenant_id, dimension, at, key)
) WITH (fillfactor = 70);

ALTER TABLE carillon.analytics_hours  ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.analytics_hours  FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.analytics_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.analytics_counts FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.analytics_hours
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.analytics_counts
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.analytics_hours TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.analytics_counts TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
GRANT SELECT, INSERT, UPDATE, DELETE ON carillon.analytics_hours, carillon.analytics_counts TO carillon_publisher;

INSERT INTO carillon.maintenance (task) VALUES ('analytics');

-- Forgets at most `most` hours of tenants that began more than `days` days ago, the oldest first. Answers how many went, and for how
-- many seconds the oldest that is left has been due.
CREATE FUNCTION carillon.forget_some_analytics(days integer, most integer, OUT forgotten bigint, OUT overdue float8)
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
    ) SELECT count(*) INTO forgotten FROM hours;
    SELECT coalesce(extract(epoch FROM before - min(h.at)), 0) INTO overdue FROM analytics_hours h WHERE h.at < before;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.forget_some_analytics FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_some_analytics TO carillon_publisher;
