-- The spine: tenants, their logs, idempotency, API keys. Postgres 15 and newer. Runs as carillon_owner.
--
-- Isolation. Every table has FORCEd row level security. A session sees the tenants listed in the setting
-- `carillon.tenant` (comma separated; a tenant's name holds no comma) and nothing when it is empty or unset.
-- The services set it for one transaction at a time, in one place (backplane/src/log/scope.rs).

CREATE FUNCTION carillon.scope() RETURNS text[]
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(current_setting('carillon.tenant', true), ',');

-- One narrow, hot row for each tenant. Half of each page stays free, so that counting up never touches an index (HOT).
CREATE TABLE carillon.tenants (
    id         text COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    epoch      text NOT NULL,             -- one life of the log; a new one after a restore
    head       bigint NOT NULL DEFAULT 0, -- seq of the newest event
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- The log. seq is gapless for each tenant, in commit order (see backplane/src/log/append.rs).
CREATE TABLE carillon.events (
    tenant_id   text COLLATE "C" NOT NULL,
    seq         bigint NOT NULL,
    at          timestamptz NOT NULL,     -- when it was appended, by the database's clock: what partitions go by
    id          text COLLATE "C" NOT NULL,
    type        text COLLATE "C" NOT NULL,
    source      text COLLATE "C" NOT NULL,
    subject     text COLLATE "C",
    actor       text COLLATE "C",
    priority    text COLLATE "C",
    channels    text[] COLLATE "C" NOT NULL,
    time        timestamptz NOT NULL,     -- when it happened, as the publisher says
    body        text NOT NULL,            -- the CloudEvents JSON, the very bytes clients get
    traceparent text,
    PRIMARY KEY (tenant_id, seq, at)
) PARTITION BY RANGE (at);
CREATE INDEX events_id ON carillon.events (tenant_id, id);

-- What a repeated request is answered with. Rows live for two days.
CREATE TABLE carillon.idempotency (
    tenant_id text COLLATE "C" NOT NULL,
    key       text COLLATE "C" NOT NULL,
    hash      bytea NOT NULL,
    id        text NOT NULL,
    seq       bigint NOT NULL,
    epoch     text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_at ON carillon.idempotency (at);

CREATE TABLE carillon.api_keys (
    id         text COLLATE "C" PRIMARY KEY,
    hash       bytea NOT NULL,            -- SHA-256 of the secret, which is 32 random bytes
    tenant_id  text COLLATE "C",          -- null: all tenants
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

ALTER TABLE carillon.tenants     ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.tenants     FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.events      ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.events      FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.idempotency FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.api_keys    ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.api_keys    FORCE  ROW LEVEL SECURITY;

-- The sub-select makes the scope a value computed once for each statement, usable as an index condition.
CREATE POLICY tenant_scope ON carillon.tenants
    USING (id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.events
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.idempotency
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
-- A publisher sees the one key it names, whatever the tenant: the key tells the tenant.
CREATE POLICY named_key ON carillon.api_keys FOR SELECT TO carillon_publisher
    USING (id = current_setting('carillon.api_key', true));
-- The owner, too, sees nothing until it says that it maintains.
CREATE POLICY maintenance ON carillon.api_keys TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.idempotency TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

GRANT USAGE ON SCHEMA carillon TO carillon_publisher, carillon_gateway;
GRANT SELECT, UPDATE (head) ON carillon.tenants TO carillon_publisher;
GRANT SELECT, INSERT ON carillon.events, carillon.idempotency TO carillon_publisher;
GRANT SELECT ON carillon.api_keys TO carillon_publisher;
GRANT SELECT ON carillon.tenants, carillon.events TO carillon_gateway;

-- A tenant's epoch and head; made on first use when `make` is true. No row: there is no such tenant.
CREATE FUNCTION carillon.open_tenant(name text, make boolean) RETURNS TABLE (epoch text, head bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.tenant', name, true);
    IF make AND NOT EXISTS (SELECT FROM tenants t WHERE t.id = name) THEN
        INSERT INTO tenants (id, epoch) VALUES (name, carillon.fresh_epoch()) ON CONFLICT (id) DO NOTHING;
    END IF;
    RETURN QUERY SELECT t.epoch, t.head FROM tenants t WHERE t.id = name;
END $$;

CREATE FUNCTION carillon.fresh_epoch() RETURNS text
    LANGUAGE sql VOLATILE
    RETURN substr(replace(gen_random_uuid()::text, '-', ''), 1, 12);

-- Gives a tenant's log a new life, once for each old one however many gateways noticed. Answers the life it now has.
CREATE FUNCTION carillon.rotate_epoch(name text, old text) RETURNS TABLE (epoch text, head bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.tenant', name, true);
    UPDATE tenants t SET epoch = carillon.fresh_epoch() WHERE t.id = name AND t.epoch = old;
    RETURN QUERY SELECT t.epoch, t.head FROM tenants t WHERE t.id = name;
END $$;

-- Makes the partitions from yesterday to `ahead` days from now. Made apart and then attached: the log stays writable.
CREATE FUNCTION carillon.create_partitions(ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    day  date;
    part text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('carillon.partitions'));
    FOR day IN SELECT current_date + d FROM generate_series(-1, ahead) AS d LOOP
        part := 'events_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('carillon.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE carillon.%I (LIKE carillon.events INCLUDING ALL)', part);
            EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.events ATTACH PARTITION carillon.%I FOR VALUES FROM (%L) TO (%L)',
                part, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Drops the partitions whose newest possible event is older than `keep` days.
CREATE FUNCTION carillon.drop_partitions(keep integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    part    text;
    dropped integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('carillon.partitions'));
    FOR part IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'carillon.events'::regclass
          AND c.relname ~ '^events_\d{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= current_date - keep
        ORDER BY c.relname
    LOOP
        EXECUTE format('DROP TABLE carillon.%I', part);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

-- Forgets idempotency keys older than `hours`.
CREATE FUNCTION carillon.forget_keys(hours integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM idempotency WHERE at < now() - make_interval(hours => hours);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.open_tenant, carillon.rotate_epoch, carillon.create_partitions,
    carillon.drop_partitions, carillon.forget_keys FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.open_tenant TO carillon_publisher, carillon_gateway;
GRANT EXECUTE ON FUNCTION carillon.rotate_epoch TO carillon_publisher, carillon_gateway;
GRANT EXECUTE ON FUNCTION carillon.create_partitions, carillon.drop_partitions, carillon.forget_keys TO carillon_publisher;

SELECT carillon.create_partitions(7);
