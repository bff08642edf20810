-- Devices by the channels that they are in, to count whom a notice to roles and channels is for without a walk over all devices of the
-- tenant. Only of tenants that have asked for such counts or a dry run: what gateways store of others costs one look into an empty or
-- small table for each batch, and no comparison of channels. Everybody's channel (`tenant`) and a person's own are left out: who they
-- are for is known otherwise.

CREATE TABLE carillon.device_channel_tenants (
    tenant_id text COLLATE "C" PRIMARY KEY,
    waits_for text[],                                     -- who wrote devices when the tenant was first looked at, and has not ended; null: not yet
    turn      timestamptz NOT NULL DEFAULT now(),         -- of its last slice
    user_id   text COLLATE "C" NOT NULL DEFAULT '',       -- of devices up to this one rows are there
    device_id text COLLATE "C" NOT NULL DEFAULT '',
    complete  boolean NOT NULL DEFAULT false              -- of all devices
);
CREATE INDEX device_channel_tenants_due ON carillon.device_channel_tenants (turn, tenant_id) WHERE NOT complete;

CREATE TABLE carillon.device_channels (
    tenant_id  text COLLATE "C" NOT NULL,
    channel    text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    first_seen timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, channel, user_id, device_id)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['device_channel_tenants', 'device_channels'] LOOP
        EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_scope ON carillon.%I FOR SELECT
            USING (tenant_id = ANY ((SELECT carillon.scope())::text[]))', name);
        EXECUTE format('CREATE POLICY maintenance ON carillon.%I TO carillon_owner
            USING (current_setting(''carillon.maintenance'', true) = ''on'')', name);
    END LOOP;
END $$;
GRANT SELECT ON carillon.device_channel_tenants, carillon.device_channels TO carillon_publisher;

CREATE FUNCTION carillon.is_shared_channel(channel text) RETURNS boolean
    LANGUAGE sql IMMUTABLE RETURN channel <> 'tenant' AND channel NOT LIKE 'user:%';

-- Follows what is stored of a device, if its tenant has asked: what it is in now and was not before, and the other way round. The device's
-- row is locked by whoever stores it, so its rows here have one writer at a time.
CREATE FUNCTION carillon.follow_device_channels() RETURNS trigger
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    at     devices := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    before text[] COLLATE "C" := CASE TG_OP WHEN 'INSERT' THEN NULL ELSE OLD.channels END;
    after  text[] COLLATE "C" := CASE TG_OP WHEN 'DELETE' THEN NULL ELSE NEW.channels END;
BEGIN
    IF EXISTS (SELECT FROM device_channel_tenants t WHERE t.tenant_id = at.tenant_id) THEN
        DELETE FROM device_channels d WHERE d.tenant_id = at.tenant_id AND d.user_id = at.user_id AND d.device_id = at.device_id
            AND d.channel = ANY (ARRAY(SELECT unnest(before) EXCEPT SELECT unnest(after)));
        INSERT INTO device_channels AS d (tenant_id, channel, user_id, device_id, first_seen)
        SELECT at.tenant_id, c.name, at.user_id, at.device_id, at.first_seen
            FROM (SELECT unnest(after) EXCEPT SELECT unnest(before)) AS c(name) WHERE is_shared_channel(c.name)
            ON CONFLICT (tenant_id, channel, user_id, device_id) DO UPDATE SET first_seen = excluded.first_seen
                WHERE d.first_seen <> excluded.first_seen;
    END IF;
    RETURN NULL;
END $$;
-- Whoever has looked and stores no device of such a tenant says so. Channels are compared last: many are stored out of line.
CREATE TRIGGER follow_device_channels AFTER INSERT OR DELETE ON carillon.devices FOR EACH ROW
    WHEN (current_setting('carillon.devices_followed', true) IS DISTINCT FROM 'no') EXECUTE FUNCTION carillon.follow_device_channels();
CREATE TRIGGER follow_device_channels_update AFTER UPDATE ON carillon.devices FOR EACH ROW
    WHEN (CASE WHEN current_setting('carillon.devices_followed', true) = 'no' THEN false ELSE OLD.channels IS DISTINCT FROM NEW.channels END)
    EXECUTE FUNCTION carillon.follow_device_channels();

-- As in V43, and looks once whether a tenant's devices are followed. It is seen in pg_locks before it looks: `add_device_channels` waits for
-- whoever may have looked too early.
CREATE OR REPLACE FUNCTION carillon.store_devices(tenants text[], users text[], devices text[], epochs text[], delivered bigint[],
    acked bigint[], first_ms bigint[], seen_ms bigint[], channels text[], handled_ms bigint[]) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    stored bigint;
BEGIN
    LOCK TABLE carillon.devices IN ROW EXCLUSIVE MODE;
    PERFORM set_config('carillon.maintenance', 'on', true);
    PERFORM set_config('carillon.devices_followed', CASE WHEN EXISTS (
        SELECT FROM device_channel_tenants t WHERE t.tenant_id = ANY (tenants)) THEN '' ELSE 'no' END, true);
    stored := carillon.store_devices(tenants, users, devices, epochs, delivered, acked, first_ms, seen_ms, channels);
    PERFORM set_config('carillon.devices_followed', '', true);
    IF EXISTS (SELECT FROM unnest(handled_ms) AS h(ms) WHERE h.ms IS NOT NULL) THEN
        PERFORM carillon.count_latency(tenants, epochs, acked, handled_ms);
    END IF;
    RETURN stored;
END $$;

-- The tenant's devices are to be found by channel.
CREATE FUNCTION carillon.want_device_channels(tenant text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    INSERT INTO device_channel_tenants (tenant_id) SELECT t.id FROM tenants t WHERE t.id = tenant ON CONFLICT DO NOTHING;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Adds rows of the next devices of a tenant that is not complete, tenants in turn: about `most` rows, for about 25 ms, one device at least.
-- Devices are gone through in the order of their key, each locked as those do who store it. Only the first is waited for, while no other
-- is held; a later one that somebody stores is where the next slice begins. So nobody waits in a circle, whatever order they lock in.
-- It begins when everybody has ended who wrote devices and may not have seen that the tenant wants it; they are looked for in this
-- server's locks, so a copy of the database in another cluster waits for nobody. `added`: devices; `is_waiting`: a tenant can go on.
CREATE FUNCTION carillon.add_device_channels(most integer, OUT added integer, OUT is_waiting boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    slice   integer := 1000;            -- devices of a slice at most
    seen    text[];
    writers text[];
    of      record;
    at      record;
    one     record;
    ends    timestamptz;
    looked  integer := 0;
    rows    integer := 0;
    is_free boolean;
    ended   boolean := true;
    last    timestamptz;
    patience text := current_setting('lock_timeout');
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    added := 0;
    -- Behind all others, whatever clock they were written by.
    last := greatest(clock_timestamp(), (SELECT max(t.turn) FROM device_channel_tenants t WHERE NOT t.complete) + interval '1 microsecond');
    seen := ARRAY(SELECT t.tenant_id FROM device_channel_tenants t WHERE NOT t.complete AND t.waits_for IS DISTINCT FROM '{}'
        ORDER BY t.turn LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED);
    IF cardinality(seen) > 0 THEN
        -- After these were seen: whoever begins to write from now on sees them, too.
        writers := ARRAY(SELECT DISTINCT l.virtualtransaction FROM pg_locks l
            WHERE l.locktype = 'relation' AND l.relation = 'carillon.devices'::regclass AND l.mode = 'RowExclusiveLock' AND l.granted
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.pid IS DISTINCT FROM pg_backend_pid());
        UPDATE device_channel_tenants t SET turn = last, waits_for = CASE WHEN t.waits_for IS NULL THEN writers
                ELSE ARRAY(SELECT unnest(t.waits_for) INTERSECT SELECT unnest(writers)) END
            WHERE t.tenant_id = ANY (seen);
    END IF;
    SELECT t.tenant_id, t.user_id, t.device_id INTO of FROM device_channel_tenants t
        WHERE NOT t.complete AND t.waits_for = '{}' ORDER BY t.turn, t.tenant_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF of.tenant_id IS NOT NULL THEN
        FOR at IN SELECT d.user_id, d.device_id FROM devices d
            WHERE d.tenant_id = of.tenant_id AND (d.user_id, d.device_id) > (of.user_id, of.device_id)
            ORDER BY d.user_id, d.device_id LIMIT slice
        LOOP
            IF added > 0 AND (rows >= most OR clock_timestamp() > ends) THEN
                ended := false;
                EXIT;
            END IF;
            is_free := true;
            IF added = 0 THEN
                PERFORM set_config('lock_timeout', '50ms', true);
                BEGIN
                    SELECT d.first_seen, d.channels INTO one FROM devices d
                        WHERE d.tenant_id = of.tenant_id AND d.user_id = at.user_id AND d.device_id = at.device_id FOR SHARE;
                EXCEPTION WHEN lock_not_available THEN
                    is_free := false;
                END;
                PERFORM set_config('lock_timeout', patience, true);
                ends := clock_timestamp() + interval '25 ms';
            ELSE
                SELECT d.first_seen, d.channels INTO one FROM devices d
                    WHERE d.tenant_id = of.tenant_id AND d.user_id = at.user_id AND d.device_id = at.device_id FOR SHARE SKIP LOCKED;
                is_free := FOUND OR NOT EXISTS (SELECT FROM devices d
                    WHERE d.tenant_id = of.tenant_id AND d.user_id = at.user_id AND d.device_id = at.device_id);
            END IF;
            IF NOT is_free THEN
                ended := false;
                EXIT;
            END IF;
            IF one.first_seen IS NOT NULL THEN
                INSERT INTO device_channels AS c (tenant_id, channel, user_id, device_id, first_seen)
                SELECT DISTINCT of.tenant_id, n.name, at.user_id, at.device_id, one.first_seen
                    FROM unnest(one.channels) AS n(name) WHERE is_shared_channel(n.name)
                    ON CONFLICT (tenant_id, channel, user_id, device_id) DO UPDATE SET first_seen = excluded.first_seen
                        WHERE c.first_seen <> excluded.first_seen;
                added := added + 1;
                rows := rows + coalesce(cardinality(one.channels), 0);
            END IF;
            of.user_id := at.user_id;
            of.device_id := at.device_id;
            looked := looked + 1;
        END LOOP;
        UPDATE device_channel_tenants t SET user_id = of.user_id, device_id = of.device_id, turn = last,
            complete = ended AND looked < slice WHERE t.tenant_id = of.tenant_id;
    END IF;
    is_waiting := EXISTS (SELECT FROM device_channel_tenants t WHERE NOT t.complete AND t.waits_for = '{}');
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.is_shared_channel, carillon.follow_device_channels, carillon.want_device_channels,
    carillon.add_device_channels FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.want_device_channels, carillon.add_device_channels TO carillon_publisher;
