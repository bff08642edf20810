-- Tenants of the installation, by name: of all of them, or of those that are suspended.

CREATE FUNCTION carillon.list_tenants(after text, most integer, only_suspended boolean)
    RETURNS TABLE (tenant text, created_at timestamptz, head bigint, limits text, suspended boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF only_suspended THEN
        RETURN QUERY SELECT t.id, t.created_at, t.head, l.limits::text, l.suspended
            FROM tenant_limits l JOIN tenants t ON t.id = l.tenant_id
            WHERE l.suspended AND l.tenant_id > after COLLATE "C" ORDER BY l.tenant_id LIMIT most;
    ELSE
        RETURN QUERY SELECT t.id, t.created_at, t.head, l.limits::text, coalesce(l.suspended, false)
            FROM (SELECT p.id, p.created_at, p.head FROM tenants p WHERE p.id > after COLLATE "C" ORDER BY p.id LIMIT most) t
            LEFT JOIN tenant_limits l ON l.tenant_id = t.id ORDER BY t.id;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;
REVOKE ALL ON FUNCTION carillon.list_tenants FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.list_tenants TO carillon_publisher;
