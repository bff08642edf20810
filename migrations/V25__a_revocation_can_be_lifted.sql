-- Who was disconnected by mistake can come in again with the tokens they have: the revocation ends, with the next settings version, as
-- every gateway reads it within a second.

-- Ends a revocation that holds; false if none of this target does. The row stays until every node has read that it is over.
CREATE FUNCTION carillon.lift_revocation(tenant text, person text, of_device text, named text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    moved bigint;
BEGIN
    PERFORM set_config('carillon.tenant', tenant, true);
    SELECT t.settings_version INTO moved FROM tenants t WHERE t.id = tenant FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    moved := next_version(moved);
    -- Over by the clock of every node, and told apart from one whose time is over.
    UPDATE revocations r SET until = to_timestamp(0), version = moved
        WHERE r.tenant_id = tenant AND r.user_id = person AND r.device = of_device AND r.connection = named AND r.until > now();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE tenants SET settings_version = moved WHERE id = tenant;
    RETURN true;
END $$;

-- As V17 has it; and one that was lifted in the last hour stays: somebody may have to read that.
CREATE OR REPLACE FUNCTION carillon.forget_revocations(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM revocations WHERE (tenant_id, user_id, device, connection) IN (
        SELECT tenant_id, user_id, device, connection FROM revocations
        WHERE until < now()
            AND (until > to_timestamp(0) OR version < (extract(epoch FROM now() - interval '1 hour') * 1000000)::bigint)
        ORDER BY until LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.lift_revocation FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.lift_revocation TO carillon_publisher;
