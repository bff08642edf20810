-- A statement that does not say when its events were appended locks every partition of the log (docs/adr/0016). The services
-- name days; the one function that reads `events` takes them, too.

-- Ends the epoch `old` of a tenant's log if it has lost or changed what somebody delivered from it: event `delivered`,
-- whose tag is `seen` (0: not known), and which stands between `since` and `until` if the log has it. Whoever noticed may
-- have asked another server, so this one looks again, under the lock, and decides nothing on a server that cannot write.
-- Where the log began to differ nobody knows: no cursor of an older epoch is good. Planned for the days it was given.
CREATE FUNCTION carillon.end_epoch(name text, old text, delivered bigint, seen bigint, since timestamptz, until timestamptz)
    RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    t record;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN false;
    END IF;
    -- Lost with the end of another lineage, or set back: then it is known where.
    PERFORM carillon.settle_epochs(ARRAY[name]);
    PERFORM set_config('carillon.tenant', name, true);
    SELECT id, epoch, head INTO t FROM tenants WHERE id = name AND tenants.epoch = old FOR UPDATE;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    IF t.head >= delivered AND (seen = 0 OR NOT EXISTS (SELECT FROM events e
        WHERE e.tenant_id = name AND e.seq = delivered AND e.at >= since AND e.at < until
            AND carillon.tag(e.body) <> seen)) THEN
        RETURN false;
    END IF;
    PERFORM carillon.begin_epoch(name, 0);
    RETURN true;
END $$;

-- The services of the release before call this one: about what came a moment ago, as a rule.
CREATE OR REPLACE FUNCTION carillon.end_epoch(name text, old text, delivered bigint, seen bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    RETURN carillon.end_epoch(name, old, delivered, seen, now() - interval '40 days', 'infinity');
END $$;

REVOKE ALL ON FUNCTION carillon.end_epoch(text, text, bigint, bigint, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.end_epoch(text, text, bigint, bigint, timestamptz, timestamptz)
    TO carillon_publisher, carillon_gateway;
