-- What people did, as their pages say: a page opened, a button pressed, anything with a name. Not the log: nobody is told of it, and it
-- goes after CARILLON_ACTIVITY_DAYS. Gateways write it in batches, one statement a second each. A row's `at` and `id` are the
-- gateway's, so that a batch whose answer was lost is written again as the same rows.

CREATE TABLE carillon.activity (
    tenant_id  text COLLATE "C" NOT NULL,
    at         timestamptz NOT NULL,       -- when it came, by the gateway's clock: what partitions go by
    id         uuid NOT NULL,
    user_id    text COLLATE "C" NOT NULL,  -- of an API key: key:<id>
    device     text COLLATE "C",           -- as the client calls it, if it does
    connection text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    data       text NOT NULL,              -- a JSON object, as it was sent
    PRIMARY KEY (tenant_id, at, id)
) PARTITION BY RANGE (at);
CREATE INDEX activity_user ON carillon.activity (tenant_id, user_id, at, id);
CREATE INDEX activity_name ON carillon.activity (tenant_id, name, at, id);

ALTER TABLE carillon.activity ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.activity FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.activity FOR SELECT USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.activity TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
GRANT SELECT ON carillon.activity TO carillon_publisher;

INSERT INTO carillon.maintenance (task) VALUES ('activity');

-- Stores what people did, one place of the arrays for each. What is there already stays; what belongs to no tenant, or to a day without
-- a partition, is left out. Answers how many were left out.
CREATE FUNCTION carillon.store_activity(tenants text[], at_ms bigint[], ids text[], users text[], devices text[],
    connections text[], names text[], data text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    fit bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH given AS MATERIALIZED (
        SELECT r.tenant, to_timestamp(r.at_ms / 1000.0) AS at, r.id::uuid AS id, r.person, r.device, r.connection, r.name, r.data
        FROM unnest(tenants, at_ms, ids, users, devices, connections, names, data)
            AS r(tenant, at_ms, id, person, device, connection, name, data)
        WHERE EXISTS (SELECT FROM carillon.tenants t WHERE t.id = r.tenant)
    ), fitting AS MATERIALIZED (
        SELECT g.* FROM given g
        WHERE to_regclass('carillon.activity_' || to_char(g.at, 'YYYYMMDD')) IS NOT NULL
    ), stored AS (
        INSERT INTO carillon.activity (tenant_id, at, id, user_id, device, connection, name, data)
        SELECT f.tenant, f.at, f.id, f.person, f.device, f.connection, f.name, f.data FROM fitting f
        ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING
    ) SELECT count(*) INTO fit FROM fitting;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN cardinality(ids) - fit;
END $$;

-- Makes the partitions from the day before yesterday to `ahead` days from now, and drops one whose rows are all older than `keep`
-- days, if it can be had within 50 ms. Answers how many came, how many went and how many should have gone before.
CREATE FUNCTION carillon.follow_activity(ahead integer, keep integer, OUT created integer, OUT dropped integer, OUT due integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' SET lock_timeout = '50ms' AS $$
DECLARE
    day  date;
    part text;
BEGIN
    created := 0;
    dropped := 0;
    PERFORM pg_advisory_xact_lock(hashtext('carillon.activity'));
    FOR day IN SELECT current_date + d FROM generate_series(-least(keep, 2), ahead) AS d LOOP
        part := 'activity_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('carillon.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE carillon.%I (LIKE carillon.activity INCLUDING ALL)', part);
            EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.activity ATTACH PARTITION carillon.%I FOR VALUES FROM (%L) TO (%L)',
                part, day::timestamptz, (day + 1)::timestamptz);
            created := created + 1;
        END IF;
    END LOOP;
    SELECT count(*), min(c.relname) INTO due, part FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'carillon.activity'::regclass AND c.relname ~ '^activity_\d{8}$'
            AND to_date(right(c.relname, 8), 'YYYYMMDD') < current_date - keep;
    IF part IS NOT NULL THEN
        BEGIN
            LOCK TABLE ONLY carillon.activity IN ACCESS EXCLUSIVE MODE;
            EXECUTE format('LOCK TABLE carillon.%I IN ACCESS EXCLUSIVE MODE NOWAIT', part);
            EXECUTE format('DROP TABLE carillon.%I', part);
            dropped := 1;
            due := due - 1;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END IF;
END $$;

REVOKE ALL ON FUNCTION carillon.store_activity, carillon.follow_activity FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.store_activity TO carillon_gateway;
GRANT EXECUTE ON FUNCTION carillon.follow_activity TO carillon_publisher;

SELECT FROM carillon.follow_activity(7, 30);
