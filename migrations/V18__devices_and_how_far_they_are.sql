-- A device is a stored cursor: how far one installation of a client has got the tenant's log (`delivered`) and has handled it
-- (`acked`). Gateways write what they know of many devices in one statement a second; nothing here goes back.

CREATE TABLE carillon.devices (
    tenant_id  text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,   -- chosen by the client
    epoch      text COLLATE "C" NOT NULL,   -- in which the two cursors count
    delivered  bigint NOT NULL,             -- everything for it up to here has reached its network stack
    acked      bigint NOT NULL,             -- the client says that it has handled everything up to here
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    seen_day   date NOT NULL,               -- of last_seen, in UTC: the index on it changes once a day
    channels   text[] COLLATE "C",          -- those it was in when it was last connected; null: not known yet
    PRIMARY KEY (tenant_id, user_id, device_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
-- No index on what moves with every write: so a write stays on its page (HOT).
CREATE INDEX devices_day ON carillon.devices (seen_day);

ALTER TABLE carillon.devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.devices FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.devices USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.devices TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.epochs FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
GRANT SELECT ON carillon.devices TO carillon_publisher;

INSERT INTO carillon.maintenance (task) VALUES ('devices');

-- Up to which number a cursor of an epoch means the same in the tenant's log as it is now; 0 for an epoch that nobody knows.
CREATE FUNCTION carillon.good_up_to(tenant text, of_epoch text) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = carillon, pg_temp AS $$
    SELECT coalesce((SELECT min(later.began_after) FROM epochs e JOIN epochs later
        ON later.tenant_id = e.tenant_id AND later.number > e.number WHERE e.tenant_id = tenant AND e.epoch = of_epoch), 0)
$$;

-- Stores how far devices are, one place of the arrays for each; each device once. Cursors only move forwards, and never beyond the
-- log: one of an epoch before the present one counts up to where its log is the same. `first_ms` and `seen_ms` are how long ago the
-- device was first and last seen by the caller. `channels` are names with U+001F between; null: as they are stored. Rows are written
-- in the order of their key, so that two callers never wait for each other in a circle.
CREATE FUNCTION carillon.store_devices(tenants text[], users text[], devices text[], epochs text[], delivered bigint[],
    acked bigint[], first_ms bigint[], seen_ms bigint[], channels text[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    stored bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
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
        channels = coalesce(excluded.channels, d.channels);
    GET DIAGNOSTICS stored = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN stored;
END $$;

-- Forgets at most so many devices that were not seen for `days`. Rows that somebody writes are passed over.
CREATE FUNCTION carillon.forget_devices(days integer, most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' SET enable_seqscan = off AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH due AS (
        SELECT tenant_id, user_id, device_id FROM devices
        WHERE seen_day <= current_date - days AND last_seen < now() - make_interval(days => days)
        ORDER BY seen_day LIMIT most FOR UPDATE SKIP LOCKED
    ) DELETE FROM devices d USING due
        WHERE d.tenant_id = due.tenant_id AND d.user_id = due.user_id AND d.device_id = due.device_id;
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.good_up_to, carillon.store_devices, carillon.forget_devices FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.store_devices TO carillon_gateway;
GRANT EXECUTE ON FUNCTION carillon.forget_devices TO carillon_publisher;
