-- Devices by the channels that they are in, to count whom a notice to roles and channels is for without a walk over all devices of the
-- tenant. Only of tenants that have asked for such counts: other tenants' devices cost a look into an empty or small table when they are
-- stored first or are in other channels than before. Everybody's channel (`tenant`) and a person's own are left out: who they are for is
-- known otherwise.

CREATE TABLE carillon.device_channel_tenants (
    tenant_id text COLLATE "C" PRIMARY KEY,
    since     xid8,                                       -- who writes under a later number follows every change
    user_id   text COLLATE "C" NOT NULL DEFAULT '',       -- of devices up to this one rows are there
    device_id text COLLATE "C" NOT NULL DEFAULT '',
    complete  boolean NOT NULL DEFAULT false              -- of all devices
);
CREATE INDEX device_channel_tenants_due ON carillon.device_channel_tenants (tenant_id) WHERE NOT complete;

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

-- Follows what is stored of a device. The device's row is locked by whoever stores it, so its rows here have one writer at a time.
CREATE FUNCTION carillon.follow_device_channels() RETURNS trigger
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM device_channel_tenants t WHERE t.tenant_id = NEW.tenant_id) THEN
            INSERT INTO device_channels (tenant_id, channel, user_id, device_id, first_seen)
            SELECT NEW.tenant_id, c.name, NEW.user_id, NEW.device_id, NEW.first_seen
                FROM (SELECT DISTINCT n.name FROM unnest(NEW.channels) AS n(name) WHERE is_shared_channel(n.name)) AS c;
        END IF;
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM device_channel_tenants t WHERE t.tenant_id = OLD.tenant_id) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'DELETE' THEN
        DELETE FROM device_channels d USING unnest(OLD.channels) AS n(name)
            WHERE d.tenant_id = OLD.tenant_id AND d.channel = n.name AND d.user_id = OLD.user_id AND d.device_id = OLD.device_id;
        RETURN NULL;
    END IF;
    DELETE FROM device_channels d USING unnest(OLD.channels) AS n(name)
        WHERE d.tenant_id = OLD.tenant_id AND d.channel = n.name AND d.user_id = OLD.user_id AND d.device_id = OLD.device_id
            AND n.name <> ALL (coalesce(NEW.channels, '{}'));
    INSERT INTO device_channels (tenant_id, channel, user_id, device_id, first_seen)
    SELECT NEW.tenant_id, c.name, NEW.user_id, NEW.device_id, NEW.first_seen
        FROM (SELECT DISTINCT n.name FROM unnest(NEW.channels) AS n(name) WHERE is_shared_channel(n.name)) AS c
        ON CONFLICT (tenant_id, channel, user_id, device_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER follow_device_channels AFTER INSERT OR DELETE ON carillon.devices
    FOR EACH ROW EXECUTE FUNCTION carillon.follow_device_channels();
CREATE TRIGGER follow_device_channels_update AFTER UPDATE ON carillon.devices
    FOR EACH ROW WHEN (OLD.channels IS DISTINCT FROM NEW.channels) EXECUTE FUNCTION carillon.follow_device_channels();

-- The tenant's devices are to be found by channel.
CREATE FUNCTION carillon.want_device_channels(tenant text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    INSERT INTO device_channel_tenants (tenant_id) SELECT t.id FROM tenants t WHERE t.id = tenant ON CONFLICT DO NOTHING;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Adds rows of the next `most` devices of a tenant whose devices are not complete, in the order of their key, as those do who store
-- devices. It begins when every transaction has ended that might not have seen that the tenant wants it. `added`: devices; `is_waiting`:
-- there is a tenant whose turn has not come.
CREATE FUNCTION carillon.add_device_channels(most integer, OUT added integer, OUT is_waiting boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    of record;
    last_user   text;
    last_device text;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    added := 0;
    UPDATE device_channel_tenants t SET since = pg_current_xact_id() WHERE NOT t.complete AND t.since IS NULL;
    SELECT t.tenant_id, t.user_id, t.device_id INTO of FROM device_channel_tenants t
        WHERE NOT t.complete AND t.since < pg_snapshot_xmin(pg_current_snapshot())
        ORDER BY t.tenant_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;
    IF of.tenant_id IS NOT NULL THEN
        WITH next AS MATERIALIZED (
            SELECT d.user_id, d.device_id, d.first_seen, d.channels FROM devices d
            WHERE d.tenant_id = of.tenant_id AND (d.user_id, d.device_id) > (of.user_id, of.device_id)
            ORDER BY d.user_id, d.device_id LIMIT most FOR SHARE
        ), stored AS (
            INSERT INTO device_channels (tenant_id, channel, user_id, device_id, first_seen)
            SELECT DISTINCT of.tenant_id, n.name, s.user_id, s.device_id, s.first_seen
                FROM next s CROSS JOIN LATERAL unnest(s.channels) AS n(name) WHERE is_shared_channel(n.name)
                ON CONFLICT (tenant_id, channel, user_id, device_id) DO NOTHING
        ) SELECT count(*), (array_agg(s.user_id ORDER BY s.user_id DESC, s.device_id DESC))[1],
                (array_agg(s.device_id ORDER BY s.user_id DESC, s.device_id DESC))[1] INTO added, last_user, last_device FROM next s;
        UPDATE device_channel_tenants t SET user_id = coalesce(last_user, t.user_id), device_id = coalesce(last_device, t.device_id),
                complete = added < most WHERE t.tenant_id = of.tenant_id;
    END IF;
    is_waiting := EXISTS (SELECT FROM device_channel_tenants t WHERE NOT t.complete);
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.is_shared_channel, carillon.follow_device_channels, carillon.want_device_channels,
    carillon.add_device_channels FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.want_device_channels, carillon.add_device_channels TO carillon_publisher;
