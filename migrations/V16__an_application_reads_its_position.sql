-- An application that has its tables in this database reads its rows and the position of the log in one REPEATABLE READ
-- transaction: what `carillon.position` answers is what that transaction's snapshot sees. Its login is granted the role
-- `carillon_app`, which may execute this function and nothing else, and is told here for which tenants it may ask.

CREATE TABLE carillon.app_tenants (
    login     text COLLATE "C" NOT NULL,   -- a role; its members, too
    tenant_id text COLLATE "C" NOT NULL,   -- `*`: every tenant
    PRIMARY KEY (login, tenant_id)
);
ALTER TABLE carillon.app_tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.app_tenants FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.app_tenants TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Lets a login ask for a tenant, or for every one (`*`); and takes that back. Run as the owner.
CREATE FUNCTION carillon.allow_app(login text, tenant text) RETURNS void
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    IF tenant <> '*' AND tenant !~ '^[a-z0-9][a-z0-9_-]{0,62}$' THEN
        RAISE EXCEPTION 'a tenant cannot be called %', quote_literal(tenant) USING ERRCODE = 'check_violation';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = allow_app.login) THEN
        RAISE EXCEPTION 'there is no role %', quote_literal(login) USING ERRCODE = 'undefined_object';
    END IF;
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    INSERT INTO app_tenants VALUES (login, tenant) ON CONFLICT DO NOTHING;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
END $$;

CREATE FUNCTION carillon.forbid_app(login text, tenant text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    known boolean;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    DELETE FROM app_tenants a WHERE a.login = forbid_app.login AND a.tenant_id = forbid_app.tenant;
    known := FOUND;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
    RETURN known;
END $$;

-- Where a tenant's log stands, as the caller's snapshot sees it (so it is STABLE): with rows of the same snapshot, what is
-- connected with it as `since` and `epoch` gets everything that is not in them. Of a tenant that was never used the epoch is null
-- and the seq 0. Who asks is the login, whatever role it has taken since. The scope is put back as it was.
CREATE FUNCTION carillon.position(tenant text, OUT epoch text, OUT seq bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    before  text := pg_catalog.current_setting('carillon.tenant', true);
    allowed boolean;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    allowed := EXISTS (SELECT FROM app_tenants a JOIN pg_catalog.pg_roles r ON r.rolname = a.login
        WHERE a.tenant_id IN (tenant, '*') AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER'));
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
    IF NOT allowed THEN
        RAISE EXCEPTION 'the login % may not ask for the tenant %', quote_ident(session_user), quote_nullable(tenant)
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('as carillon_owner: SELECT carillon.allow_app(%L, %L)', session_user, tenant);
    END IF;
    PERFORM pg_catalog.set_config('carillon.tenant', tenant, true);
    SELECT t.epoch, t.head INTO epoch, seq FROM tenants t WHERE t.id = tenant;
    PERFORM pg_catalog.set_config('carillon.tenant', coalesce(before, ''), true);
    seq := coalesce(seq, 0);
END $$;

-- Whoever may look into the schema may execute what nobody else was named for.
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA carillon FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.scope, carillon.lineage, carillon.tag, carillon.fresh_epoch, carillon.projector_slot
    TO carillon_publisher, carillon_gateway;

GRANT USAGE ON SCHEMA carillon TO carillon_app;
GRANT EXECUTE ON FUNCTION carillon.position TO carillon_app;
