-- What gateways write of devices and connections stays bounded and comes right again, whatever is lost in between.

ALTER TABLE carillon.gateway_runs ADD COLUMN given_up boolean NOT NULL DEFAULT false; -- connections of it were closed already

-- As V18 has it; and of a user at most 64 devices are kept.
CREATE OR REPLACE FUNCTION carillon.store_devices(tenants text[], users text[], devices text[], epochs text[], delivered bigint[],
    acked bigint[], first_ms bigint[], seen_ms bigint[], channels text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    stored      bigint;
    new_tenants text[];
    new_users   text[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH written AS (
        INSERT INTO carillon.devices AS d
            (tenant_id, user_id, device_id, epoch, delivered, acked, first_seen, last_seen, seen_day, channels)
        SELECT t.id, r.person, r.device, t.epoch, least(r.delivered, g.upto), least(r.acked, g.upto),
            now() - r.first_ms * interval '1 ms', now() - r.seen_ms * interval '1 ms',
            (now() - r.seen_ms * interval '1 ms')::date, string_to_array(r.channels, chr(31))
        FROM unnest(tenants, users, devices, epochs, delivered, acked, first_ms, seen_ms, channels)
                AS r(tenant, person, device, epoch, delivered, acked, first_ms, seen_ms, channels)
            JOIN carillon.tenants t ON t.id = r.tenant
            CROSS JOIN LATERAL (SELECT least(t.head,
                CASE WHEN r.epoch = t.epoch THEN t.head ELSE carillon.good_up_to(t.id, r.epoch) END) AS upto) AS g
        ORDER BY 1, 2, 3
        ON CONFLICT (tenant_id, user_id, device_id) DO UPDATE SET
            epoch = excluded.epoch,
            delivered = greatest(excluded.delivered, CASE WHEN d.epoch = excluded.epoch THEN d.delivered
                ELSE least(d.delivered, carillon.good_up_to(d.tenant_id, d.epoch)) END),
            acked = greatest(excluded.acked, CASE WHEN d.epoch = excluded.epoch THEN d.acked
                ELSE least(d.acked, carillon.good_up_to(d.tenant_id, d.epoch)) END),
            last_seen = greatest(d.last_seen, excluded.last_seen),
            seen_day = greatest(d.seen_day, excluded.seen_day),
            channels = coalesce(excluded.channels, d.channels)
        RETURNING d.tenant_id, d.user_id, d.xmax = 0 AS is_new
    ) SELECT count(*), array_agg(w.tenant_id) FILTER (WHERE w.is_new), array_agg(w.user_id) FILTER (WHERE w.is_new)
        INTO stored, new_tenants, new_users FROM written w;
    -- Whoever has a new device and more than 64 then: those that were not seen for the longest go.
    WITH newcomers AS (
        SELECT DISTINCT n.tenant, n.person FROM unnest(new_tenants, new_users) AS n(tenant, person)
    ), due AS (
        SELECT k.tenant_id, k.user_id, k.device_id FROM newcomers n CROSS JOIN LATERAL (
            SELECT o.tenant_id, o.user_id, o.device_id FROM carillon.devices o
            WHERE o.tenant_id = n.tenant AND o.user_id = n.person ORDER BY o.last_seen DESC, o.device_id OFFSET 64) AS k
    ), locked AS (
        SELECT l.tenant_id, l.user_id, l.device_id FROM carillon.devices l JOIN due USING (tenant_id, user_id, device_id)
        FOR UPDATE OF l SKIP LOCKED
    ) DELETE FROM carillon.devices d USING locked
        WHERE d.tenant_id = locked.tenant_id AND d.user_id = locked.user_id AND d.device_id = locked.device_id;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN stored;
END $$;

-- As V19 has it; and a gateway that comes back while it is given up, slice by slice, is told so. When a session ended is at most a day ago
-- and not to come: there is a partition for that, whatever a machine's clock says.
CREATE OR REPLACE FUNCTION carillon.store_sessions(of_node text, of_run bigint, tenants text[], connections text[], users text[],
    devices text[], transports text[], addresses text[], opened_ms bigint[], rtts integer[], lost integer[],
    channels text[], closed_ms bigint[], reasons text[]) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    was_given_up boolean;
    is_new       boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    SELECT g.given_up INTO was_given_up FROM gateway_runs g WHERE g.node = of_node AND g.run = of_run FOR UPDATE;
    is_new := NOT FOUND OR was_given_up;
    INSERT INTO gateway_runs (node, run, seen_at) VALUES (of_node, of_run, now())
        ON CONFLICT (node, run) DO UPDATE SET seen_at = now(), given_up = false;
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
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN is_new;
END $$;

-- As V19 has it; and the first slice notes that there will be more.
CREATE OR REPLACE FUNCTION carillon.close_lost_sessions(of_node text, of_run bigint, seconds integer, most integer) RETURNS bigint
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
            least(greatest(seen, g.opened_at, now() - interval '1 day'), now()), 'node_lost', g.rtt_ms, g.lost_pings FROM gone g
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS closed = ROW_COUNT;
    IF closed < most THEN
        DELETE FROM gateway_runs g WHERE g.node = of_node AND g.run = of_run;
    ELSE
        UPDATE gateway_runs g SET given_up = true WHERE g.node = of_node AND g.run = of_run AND NOT g.given_up;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN closed;
END $$;

-- Forgets at most so many of a gateway's open connections, for that gateway: it had no room to note that some have ended, and tells
-- all that are open once more.
CREATE FUNCTION carillon.forget_connections(of_node text, of_run bigint, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH due AS (
        SELECT c.tenant_id, c.connection FROM carillon.connections c WHERE c.node = of_node AND c.run = of_run
        LIMIT most FOR UPDATE SKIP LOCKED
    ) DELETE FROM carillon.connections c USING due
        WHERE c.tenant_id = due.tenant_id AND c.connection = due.connection;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.forget_connections FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_connections TO carillon_gateway;
