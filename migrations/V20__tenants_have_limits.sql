-- How much a tenant may have and do, set by whoever runs the installation. Apart from `tenant_settings`, which a tenant's own
-- administrators set. Gateways read it with the settings; publishers ask once a second for what has changed, of all tenants.

CREATE TABLE carillon.tenant_limits (
    tenant_id text COLLATE "C" PRIMARY KEY,
    limits    jsonb,                      -- null: none
    version   bigint NOT NULL             -- the tenant's settings version that it came with
);
CREATE INDEX tenant_limits_since ON carillon.tenant_limits (version);

ALTER TABLE carillon.tenant_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.tenant_limits FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.tenant_limits USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.tenant_limits TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- The limits that were set after a version, of all tenants; of those that have none any more, null.
CREATE FUNCTION carillon.limits_since(since bigint) RETURNS TABLE (tenant text, limits text, version bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT l.tenant_id, l.limits::text, l.version FROM tenant_limits l WHERE l.version > since ORDER BY l.version;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

GRANT SELECT, INSERT, UPDATE ON carillon.tenant_limits TO carillon_publisher;
GRANT SELECT ON carillon.tenant_limits TO carillon_gateway;
REVOKE ALL ON FUNCTION carillon.limits_since FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.limits_since TO carillon_publisher;
