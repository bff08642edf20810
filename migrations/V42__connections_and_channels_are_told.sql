-- A tenant whose webhooks name `connection.opened`, `connection.closed`, `channel.occupied` or `channel.vacated` gets events of these
-- types: what gateways store about its connections writes them into `outbox`, in the same transaction, so each is told once. Of all other
-- tenants nothing is counted or written.

-- What each of these tenants asks for. Written by the trigger on `webhooks` alone.
CREATE TABLE carillon.connection_event_types (
    tenant_id text COLLATE "C" PRIMARY KEY,
    types     text[] NOT NULL
);

-- How many open connections are in a channel, and (as `user:<id>`) how many a person has; without a row none. Of these tenants only.
-- Whoever changes rows does so in one statement and in the order of the key, so that two of them never wait for each other in a circle.
CREATE TABLE carillon.channel_occupancy (
    tenant_id   text COLLATE "C" NOT NULL,
    channel     text COLLATE "C" NOT NULL,
    connections bigint NOT NULL,
    PRIMARY KEY (tenant_id, channel)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);

ALTER TABLE carillon.connection_event_types ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.connection_event_types FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.channel_occupancy      ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.channel_occupancy      FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.connection_event_types TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.channel_occupancy TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- The channels of a connection that are counted: all if channels are asked for, and always that of its person.
CREATE FUNCTION carillon.counted_channels(types text[], person text, channels text[]) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN NOT types && ARRAY['channel.occupied', 'channel.vacated'] THEN ARRAY['user:' || person]
        WHEN 'user:' || person = ANY (channels) THEN channels
        ELSE channels || ('user:' || person) END;

-- A webhook was set or deleted: what its tenant asks for now. Where that is another, all is counted anew, while no gateway writes.
CREATE FUNCTION carillon.follow_connection_event_types() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    before text := current_setting('carillon.maintenance', true);
    tenant text := CASE TG_OP WHEN 'DELETE' THEN OLD.tenant_id ELSE NEW.tenant_id END;
    had    text[];
    wanted text[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    PERFORM pg_advisory_xact_lock(hashtext('carillon.connection_event_types'));
    SELECT array_agg(DISTINCT t.name ORDER BY t.name) INTO wanted FROM webhooks w CROSS JOIN LATERAL unnest(w.types) AS t(name)
        WHERE w.tenant_id = tenant
            AND t.name = ANY (ARRAY['connection.opened', 'connection.closed', 'channel.occupied', 'channel.vacated']);
    SELECT c.types INTO had FROM connection_event_types c WHERE c.tenant_id = tenant;
    IF wanted IS DISTINCT FROM had THEN
        DELETE FROM connection_event_types c WHERE c.tenant_id = tenant;
        DELETE FROM channel_occupancy o WHERE o.tenant_id = tenant;
        IF wanted IS NOT NULL THEN
            INSERT INTO connection_event_types VALUES (tenant, wanted);
            INSERT INTO channel_occupancy
            SELECT tenant, n.name, count(*) FROM carillon.connections c
                CROSS JOIN LATERAL unnest(carillon.counted_channels(wanted, c.user_id, c.channels)) AS n(name)
            WHERE c.tenant_id = tenant GROUP BY n.name;
        END IF;
    END IF;
    PERFORM set_config('carillon.maintenance', coalesce(before, ''), true);
    RETURN NULL;
END $$;
CREATE TRIGGER connection_event_types AFTER INSERT ON carillon.webhooks FOR EACH ROW
    WHEN (NEW.types && ARRAY['connection.opened', 'connection.closed', 'channel.occupied', 'channel.vacated'])
    EXECUTE FUNCTION carillon.follow_connection_event_types();
CREATE TRIGGER connection_event_types_change AFTER UPDATE OF types ON carillon.webhooks FOR EACH ROW
    WHEN (OLD.types IS DISTINCT FROM NEW.types
        AND (OLD.types || NEW.types) && ARRAY['connection.opened', 'connection.closed', 'channel.occupied', 'channel.vacated'])
    EXECUTE FUNCTION carillon.follow_connection_event_types();
CREATE TRIGGER connection_event_types_end AFTER DELETE ON carillon.webhooks FOR EACH ROW
    WHEN (OLD.types && ARRAY['connection.opened', 'connection.closed', 'channel.occupied', 'channel.vacated'])
    EXECUTE FUNCTION carillon.follow_connection_event_types();

-- Those of `tenants` that ask for such events. Until the end of the transaction none begins or ends to do so.
CREATE FUNCTION carillon.asking_for_connections(tenants text[]) RETURNS text[]
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtext('carillon.connection_event_types'));
    RETURN ARRAY(SELECT c.tenant_id FROM connection_event_types c WHERE c.tenant_id = ANY (tenants));
END $$;

-- Tells what has changed about connections of tenants that ask for it: these were stored as open before (`was`) and are now (`is`); these
-- ended (`ended`), some of which were never stored as open.
CREATE FUNCTION carillon.tell_connections(was carillon.connections[], is_now carillon.connections[], ended carillon.sessions[]) RETURNS void
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    WITH changed AS (
        SELECT d.tenant_id, d.name, sum(d.change)::bigint AS change, bool_or(d.is_told) AS is_told FROM (
            SELECT w.tenant_id, n.name, -1 AS change, false AS is_told FROM unnest(was) w JOIN connection_event_types t USING (tenant_id)
                CROSS JOIN LATERAL unnest(carillon.counted_channels(t.types, w.user_id, w.channels)) AS n(name)
            UNION ALL
            SELECT i.tenant_id, n.name, 1, false FROM unnest(is_now) i JOIN connection_event_types t USING (tenant_id)
                CROSS JOIN LATERAL unnest(carillon.counted_channels(t.types, i.user_id, i.channels)) AS n(name)
            UNION ALL -- whose number is told though it is the same
            SELECT e.tenant_id, 'user:' || e.user_id, 0, true FROM unnest(ended) e
        ) AS d GROUP BY 1, 2
    ), counted AS (
        INSERT INTO channel_occupancy AS o
        SELECT c.tenant_id, c.name, c.change FROM changed c
        WHERE c.change <> 0 OR c.is_told ORDER BY 1, 2
        ON CONFLICT (tenant_id, channel) DO UPDATE SET connections = o.connections + excluded.connections
        RETURNING o.tenant_id, o.channel, o.connections
    ), told AS (
        SELECT o.tenant_id, o.kind, o.place, o.at, o.subject, o.data || jsonb_build_object('user', o.person, 'connections', greatest(c.connections, 0)) AS data
        FROM (
            SELECT f.tenant_id, 'connection.opened' AS kind, 1 AS place, f.opened_at AS at, f.user_id AS person, f.user_id AS subject,
                jsonb_strip_nulls(jsonb_build_object('connection', f.connection, 'device', f.device_id, 'node', f.node,
                    'transport', f.transport)) AS data
            FROM (
                SELECT i.tenant_id, i.connection, i.user_id, i.device_id, i.node, i.transport, i.opened_at FROM unnest(is_now) i
                UNION
                SELECT e.tenant_id, e.connection, e.user_id, e.device_id, e.node, e.transport, e.opened_at FROM unnest(ended) e
            ) AS f
            WHERE NOT EXISTS (SELECT FROM unnest(was) w WHERE w.tenant_id = f.tenant_id AND w.connection = f.connection)
            UNION ALL
            SELECT e.tenant_id, 'connection.closed', 4, e.closed_at, e.user_id, e.user_id,
                jsonb_strip_nulls(jsonb_build_object('connection', e.connection, 'device', e.device_id, 'node', e.node, 'transport', e.transport,
                    'opened_at', to_char(e.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'reason', e.reason))
            FROM unnest(ended) e
        ) AS o JOIN counted c ON c.tenant_id = o.tenant_id AND c.channel = 'user:' || o.person
        UNION ALL
        SELECT c.tenant_id, CASE WHEN c.connections > 0 THEN 'channel.occupied' ELSE 'channel.vacated' END,
            CASE WHEN c.connections > 0 THEN 2 ELSE 3 END, clock_timestamp(), c.channel,
            jsonb_build_object('channel', c.channel, 'connections', greatest(c.connections, 0))
        FROM counted c JOIN changed d ON d.tenant_id = c.tenant_id AND d.name = c.channel
        WHERE (c.connections > 0) <> (c.connections - d.change > 0)
    )
    INSERT INTO outbox (tenant_id, at, type, source, subject, channels, time, data)
    SELECT t.tenant_id, clock_timestamp(), t.kind, 'carillon', t.subject, ARRAY['role:connections'], date_trunc('milliseconds', t.at), t.data::text
    FROM told t JOIN connection_event_types a ON a.tenant_id = t.tenant_id AND t.kind = ANY (a.types)
    ORDER BY t.tenant_id, t.place, t.at, t.subject;
    DELETE FROM channel_occupancy o USING (
        SELECT w.tenant_id, n.name FROM unnest(was) w CROSS JOIN LATERAL unnest(w.channels || ('user:' || w.user_id)) AS n(name)
        UNION
        SELECT e.tenant_id, 'user:' || e.user_id FROM unnest(ended) e
    ) AS d WHERE o.tenant_id = d.tenant_id AND o.channel = d.name AND o.connections <= 0;
END $$;

-- As V22 has it, and it tells tenants that ask for it.
CREATE OR REPLACE FUNCTION carillon.store_sessions(of_node text, of_run bigint, tenants text[], connections text[], users text[],
    devices text[], transports text[], addresses text[], opened_ms bigint[], rtts integer[], lost integer[],
    channels text[], closed_ms bigint[], reasons text[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    was_given_up boolean;
    is_new       boolean;
    asking       text[];
    was          carillon.connections[];
    is_now       carillon.connections[];
    ended        carillon.sessions[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    SELECT g.given_up INTO was_given_up FROM gateway_runs g WHERE g.node = of_node AND g.run = of_run FOR UPDATE;
    is_new := NOT FOUND OR was_given_up;
    INSERT INTO gateway_runs (node, run, seen_at) VALUES (of_node, of_run, now())
        ON CONFLICT (node, run) DO UPDATE SET seen_at = now(), given_up = false;
    asking := carillon.asking_for_connections(tenants);
    IF cardinality(asking) > 0 THEN
        SELECT array_agg(o.c) INTO was FROM unnest(tenants, connections) AS r(tenant, connection) CROSS JOIN LATERAL (
            SELECT c FROM carillon.connections c WHERE c.tenant_id = r.tenant AND c.connection = r.connection) AS o
        WHERE r.tenant = ANY (asking);
        -- Those that are in `sessions` already were told: an answer was lost.
        SELECT array_agg(s) INTO ended FROM (
            SELECT (ROW(r.tenant, r.connection, r.person, r.device, of_node, r.transport, r.address, to_timestamp(r.opened_ms / 1000.0),
                least(greatest(to_timestamp(r.closed_ms / 1000.0), now() - interval '1 day'), now()), r.reason, r.rtt_ms, r.lost_pings)::carillon.sessions).*
            FROM unnest(tenants, connections, users, devices, transports, addresses, opened_ms, rtts, lost, closed_ms, reasons)
                AS r(tenant, connection, person, device, transport, address, opened_ms, rtt_ms, lost_pings, closed_ms, reason)
            WHERE r.reason IS NOT NULL AND r.tenant = ANY (asking)
        ) AS s WHERE EXISTS (SELECT FROM unnest(was) w WHERE w.tenant_id = s.tenant_id AND w.connection = s.connection)
            OR NOT EXISTS (SELECT FROM carillon.sessions o
                WHERE o.tenant_id = s.tenant_id AND o.connection = s.connection AND o.closed_at = s.closed_at);
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
        to_timestamp(r.opened_ms / 1000.0), least(greatest(to_timestamp(r.closed_ms / 1000.0), now() - interval '1 day'), now()), r.reason, r.rtt_ms, r.lost_pings
    FROM unnest(tenants, connections, users, devices, transports, addresses, opened_ms, rtts, lost, closed_ms, reasons)
        AS r(tenant, connection, person, device, transport, address, opened_ms, rtt_ms, lost_pings, closed_ms, reason)
    WHERE r.reason IS NOT NULL
    ON CONFLICT DO NOTHING;
    IF cardinality(asking) > 0 THEN
        SELECT array_agg(o.c) INTO is_now FROM unnest(tenants, connections) AS r(tenant, connection) CROSS JOIN LATERAL (
            SELECT c FROM carillon.connections c WHERE c.tenant_id = r.tenant AND c.connection = r.connection) AS o
        WHERE r.tenant = ANY (asking);
        PERFORM carillon.tell_connections(was, is_now, ended);
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN is_new;
END $$;

-- As V22 has it, and it tells tenants that ask for it.
CREATE OR REPLACE FUNCTION carillon.close_lost_sessions(of_node text, of_run bigint, seconds integer, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    seen   timestamptz;
    closed bigint;
    due    carillon.connections[];
    ended  carillon.sessions[];
    asking text[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    -- Locked: it waits with whatever it writes until this is done, and then tells all.
    SELECT g.seen_at INTO seen FROM gateway_runs g
    WHERE g.node = of_node AND g.run = of_run AND g.seen_at < now() - make_interval(secs => seconds) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    SELECT array_agg(d.c) INTO due FROM (SELECT c FROM carillon.connections c WHERE c.node = of_node AND c.run = of_run
        LIMIT most FOR UPDATE SKIP LOCKED) AS d;
    SELECT array_agg(ROW(g.tenant_id, g.connection, g.user_id, g.device_id, g.node, g.transport, g.address, g.opened_at,
        least(greatest(seen, g.opened_at, now() - interval '1 day'), now()), 'node_lost', g.rtt_ms, g.lost_pings)::carillon.sessions)
        INTO ended FROM unnest(due) g;
    DELETE FROM carillon.connections c USING unnest(due) d WHERE c.tenant_id = d.tenant_id AND c.connection = d.connection;
    INSERT INTO carillon.sessions SELECT e.* FROM unnest(ended) e ON CONFLICT DO NOTHING;
    closed := coalesce(cardinality(due), 0);
    asking := carillon.asking_for_connections(ARRAY(SELECT DISTINCT d.tenant_id FROM unnest(due) d));
    IF cardinality(asking) > 0 THEN
        PERFORM carillon.tell_connections(ARRAY(SELECT d FROM unnest(due) d WHERE d.tenant_id = ANY (asking)), NULL,
            ARRAY(SELECT e FROM unnest(ended) e WHERE e.tenant_id = ANY (asking)));
    END IF;
    IF closed < most THEN
        DELETE FROM gateway_runs g WHERE g.node = of_node AND g.run = of_run;
    ELSE
        UPDATE gateway_runs g SET given_up = true WHERE g.node = of_node AND g.run = of_run AND NOT g.given_up;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN closed;
END $$;

-- As V22 has it, and it tells tenants that ask for it: nobody knows which of these have ended, so all did, for `forgotten`; those that are
-- open are told as opened again.
CREATE OR REPLACE FUNCTION carillon.forget_connections(of_node text, of_run bigint, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    due    carillon.connections[];
    asking text[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    PERFORM FROM gateway_runs g WHERE g.node = of_node AND g.run = of_run FOR UPDATE;
    SELECT array_agg(d.c) INTO due FROM (SELECT c FROM carillon.connections c WHERE c.node = of_node AND c.run = of_run
        LIMIT most FOR UPDATE SKIP LOCKED) AS d;
    DELETE FROM carillon.connections c USING unnest(due) d WHERE c.tenant_id = d.tenant_id AND c.connection = d.connection;
    asking := carillon.asking_for_connections(ARRAY(SELECT DISTINCT d.tenant_id FROM unnest(due) d));
    IF cardinality(asking) > 0 THEN
        PERFORM carillon.tell_connections(ARRAY(SELECT d FROM unnest(due) d WHERE d.tenant_id = ANY (asking)), NULL, ARRAY(
            SELECT ROW(d.tenant_id, d.connection, d.user_id, d.device_id, d.node, d.transport, d.address, d.opened_at,
                greatest(now(), d.opened_at), 'forgotten', d.rtt_ms, d.lost_pings)::carillon.sessions
            FROM unnest(due) d WHERE d.tenant_id = ANY (asking)));
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN coalesce(cardinality(due), 0);
END $$;

REVOKE ALL ON FUNCTION carillon.counted_channels, carillon.follow_connection_event_types, carillon.asking_for_connections,
    carillon.tell_connections FROM PUBLIC;
