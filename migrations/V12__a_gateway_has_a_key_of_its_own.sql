-- A gateway publishes for people who are connected to it, through a publisher, and proves itself with a key of its own: made by
-- it, stored here with the scope `relay` and an end, and good for nothing but what channel rules let people do.

CREATE FUNCTION carillon.enrol_gateway(key_id text, key_hash bytea) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    IF key_id !~ '^[A-Za-z0-9]{8,64}$' OR length(key_hash) <> 32 THEN
        RAISE EXCEPTION 'not a key' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('carillon.maintenance', 'on', true);
    INSERT INTO api_keys (id, hash, tenant_id, scopes, expires_at)
        VALUES (key_id, key_hash, NULL, '{relay}', now() + interval '1 day');
    DELETE FROM api_keys WHERE scopes = '{relay}' AND expires_at < now() - interval '1 day';
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.enrol_gateway FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.enrol_gateway TO carillon_gateway;
