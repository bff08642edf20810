-- Who is connected, and who was: written by gateways in the same way as devices. A connection is a row of `connections` from its
-- welcome to its end; then one of `sessions`, in the partition of the day on which it ended, which is dropped as a whole.

-- Gateways that write: a run of a node's process, and when it wrote last. Whoever is neither here nor in Redis is dead.
CREATE TABLE carillon.gateway_runs (
    node    text COLLATE "C" NOT NULL,
    run     bigint NOT NULL,               -- tells the runs of a node apart; the same as in Redis
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (node, run)
) WITH (fillfactor = 50);

CREATE TABLE carillon.connections (
    tenant_id  text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,  -- as its welcome named it
    user_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C",
    node       text COLLATE "C" NOT NULL,
    run        bigint NOT NULL,
    transport  text COLLATE "C" NOT NULL,  -- websocket or sse
    address    text,                       -- kept only where CARILLON_SESSION_ADDRESSES says so
    opened_at  timestamptz NOT NULL,
    rtt_ms     integer,                    -- of the last ping that told something new
    lost_pings integer NOT NULL,
    channels   text[] COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, connection)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
CREATE INDEX connections_user ON carillon.connections (tenant_id, user_id, connection);
CREATE INDEX connections_run ON carillon.connections (node, run);

CREATE TABLE carillon.sessions (
    tenant_id  text COLLATE "C" NOT NULL,
    connection text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C",
    node       text COLLATE "C" NOT NULL,
    transport  text COLLATE "C" NOT NULL,
    address    text,
    opened_at  timestamptz NOT NULL,
    closed_at  timestamptz NOT NULL,
    reason     text COLLATE "C" NOT NULL,  -- a close code's name, left (the client or its network ended it), node_lost
    rtt_ms     integer,
    lost_pings integer NOT NULL,
    PRIMARY KEY (tenant_id, connection, closed_at)
) PARTITION BY RANGE (closed_at);
CREATE INDEX sessions_user ON carillon.sessions (tenant_id, user_id, closed_at);

ALTER TABLE carillon.gateway_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.gateway_runs FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.connections  ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.connections  FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.sessions     ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.sessions     FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.gateway_runs TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.connections TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.sessions TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY tenant_scope ON carillon.connections USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.sessions USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
GRANT SELECT ON carillon.connections, carillon.sessions TO carillon_publisher;

INSERT INTO carillon.maintenance (task) VALUES ('sessions'), ('lost_sessions');

-- Stores what one gateway knows of connections, each once: open ones, and with a reason those that have ended. `channels` are names
-- with U+001F between. Whatever is repeated after a lost answer changes nothing. Also without a connection it says that the gateway
-- lives. True if it had been given up, or never wrote before: then it tells all of its open connections.
CREATE FUNCTION carillon.store_sessions(of_node text, of_run bigint, tenants text[], connections text[], users text[],
    devices text[], transports text[], addresses text[], opened_ms bigint[], rtts integer[], lost integer[],
    channels text[], closed_ms bigint[], reasons text[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    is_new boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    UPDATE gateway_runs SET seen_at = now() WHERE node = of_node AND run = of_run;
    is_new := NOT FOUND;
    IF is_new THEN
        INSERT INTO gateway_runs VALUES (of_node, of_run, now()) ON CONFLICT (node, run) DO UPDATE SET seen_at = now();
    END IF;
    INSERT INTO carillon.connections AS c
    SELECT r.tenant, r.connection, r.person, r.device, of_node, of_run, r.transport, r.address,
        to_timestamp(r.opened_ms / 1000.0), r.rtt_ms, r.lost_pings, string_to_array(r.channels, chr(31))
    FROM unnest(tenants, connections, users, devices, transports, addresses, opened_ms, rtts, lost, channels, reasons)
        AS r(tenant, connection, person, device, transport, address, opened_ms, rtt_ms, lost_pings, channels, reason)
    WHERE r.reason IS NULL ORDER BY 1, 2
    ON CONFLICT (tenant_id, connection) DO UPDATE SET rtt_ms = excluded.rtt_ms, lost_pings = excluded.lost_pings,
        channels = excluded.channels;
    DELETE FROM carillon.connections c USING unnest(tenants, connections, reasons) AS r(tenant, connection, reason)
    WHERE r.reason IS NOT NULL AND c.tenant_id = r.tenant AND c.connection = r.connection;
    INSERT INTO carillon.sessions
    SELECT r.tenant, r.connection, r.person, r.device, of_node, r.transport, r.address,
        to_timestamp(r.opened_ms / 1000.0), least(to_timestamp(r.closed_ms / 1000.0), now()), r.reason, r.rtt_ms, r.lost_pings
    FROM unnest(tenants, connections, users, devices, transports, addresses, opened_ms, rtts, lost, closed_ms, reasons)
        AS r(tenant, connection, person, device, transport, address, opened_ms, rtt_ms, lost_pings, closed_ms, reason)
    WHERE r.reason IS NOT NULL
    ON CONFLICT DO NOTHING;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN is_new;
END $$;

-- The runs of gateways that have connections here and have not written for `seconds`.
CREATE FUNCTION carillon.silent_runs(seconds integer) RETURNS TABLE (node text, run bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT g.node, g.run FROM gateway_runs g WHERE g.seen_at < now() - make_interval(secs => seconds)
        ORDER BY g.seen_at;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Closes at most so many connections of a gateway that is dead, if it is still silent, and forgets it when none is left.
CREATE FUNCTION carillon.close_lost_sessions(of_node text, of_run bigint, seconds integer, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    seen   timestamptz;
    closed bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    -- Locked: it waits with whatever it writes until this is done, and then tells all.
    SELECT g.seen_at INTO seen FROM gateway_runs g
    WHERE g.node = of_node AND g.run = of_run AND g.seen_at < now() - make_interval(secs => seconds) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    WITH due AS (
        SELECT c.tenant_id, c.connection FROM carillon.connections c WHERE c.node = of_node AND c.run = of_run
        LIMIT most FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM carillon.connections c USING due
        WHERE c.tenant_id = due.tenant_id AND c.connection = due.connection RETURNING c.*
    ) INSERT INTO carillon.sessions
        SELECT g.tenant_id, g.connection, g.user_id, g.device_id, g.node, g.transport, g.address, g.opened_at,
            greatest(seen, g.opened_at), 'node_lost', g.rtt_ms, g.lost_pings FROM gone g
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS closed = ROW_COUNT;
    IF closed < most THEN
        DELETE FROM gateway_runs g WHERE g.node = of_node AND g.run = of_run;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN closed;
END $$;

-- Makes the partitions of sessions from yesterday to `ahead` days from now, and drops the oldest one whose sessions all ended more
-- than `keep` days ago, if the table can be had within 50 ms: one a call. `due`: how many are left.
CREATE FUNCTION carillon.keep_sessions(keep integer, ahead integer, OUT made integer, OUT dropped text, OUT due integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' SET lock_timeout = '50ms' AS $$
DECLARE
    day  date;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('carillon.session_partitions'));
    made := 0;
    FOR day IN SELECT current_date + d FROM generate_series(-1, ahead) AS d ORDER BY d < 0, d LOOP
        part := 'sessions_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('carillon.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE carillon.%I (LIKE carillon.sessions INCLUDING ALL)', part);
            EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.sessions ATTACH PARTITION carillon.%I FOR VALUES FROM (%L) TO (%L)',
                part, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        END IF;
    END LOOP;
    SELECT min(c.relname), count(*) INTO part, due FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'carillon.sessions'::regclass
        AND c.relname ~ '^sessions_\d{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= current_date - keep;
    IF part IS NOT NULL THEN
        BEGIN
            EXECUTE format('DROP TABLE carillon.%I', part);
            dropped := part;
            due := due - 1;
        EXCEPTION WHEN lock_not_available OR undefined_table THEN
            NULL; -- somebody reads it, or was quicker: next time
        END;
    END IF;
END $$;

REVOKE ALL ON FUNCTION carillon.store_sessions, carillon.silent_runs, carillon.close_lost_sessions, carillon.keep_sessions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.store_sessions TO carillon_gateway;
GRANT EXECUTE ON FUNCTION carillon.silent_runs, carillon.close_lost_sessions, carillon.keep_sessions TO carillon_publisher;

SELECT carillon.keep_sessions(3650, 7);
