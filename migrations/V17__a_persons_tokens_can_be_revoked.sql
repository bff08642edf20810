-- Who was disconnected by an administrator: their tokens that were issued before are refused from then on. A row for a person, for a
-- device (of a person or of whoever has it), or for one connection by its name. Whoever writes one moves the tenant's settings
-- version in the same transaction, so every gateway reads it within a second; `version` is the one it came with, so that who has
-- read up to a version reads what came since.

CREATE TABLE carillon.revocations (
    tenant_id  text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,   -- '': whoever it is
    device     text COLLATE "C" NOT NULL,   -- '': whichever it is
    connection text COLLATE "C" NOT NULL,   -- '': all of them
    revoked_at timestamptz NOT NULL,        -- tokens that were issued before are refused
    until      timestamptz NOT NULL,        -- for so long
    version    bigint NOT NULL,
    PRIMARY KEY (tenant_id, user_id, device, connection),
    CHECK (user_id <> '' OR device <> '' OR connection <> '')
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX revocations_since ON carillon.revocations (tenant_id, version);
CREATE INDEX revocations_due ON carillon.revocations (until);

ALTER TABLE carillon.revocations ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.revocations FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.revocations USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.revocations TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Writes a revocation of now that holds for so many seconds, unless the tenant has `most` of its kind (connections are a kind of
-- their own). The tenant's row is locked first: revocations of a tenant are numbered in the order in which they hold.
-- `wait_us`: how long the second lasts in which that was, by this server's clock.
CREATE FUNCTION carillon.revoke(tenant text, person text, of_device text, named text, seconds bigint, most integer,
    OUT outcome text, OUT wait_us bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    moment timestamptz;
    moved  bigint;
BEGIN
    PERFORM set_config('carillon.tenant', tenant, true);
    SELECT t.settings_version INTO moved FROM tenants t WHERE t.id = tenant FOR UPDATE;
    IF NOT FOUND THEN
        outcome := 'no_tenant';
        RETURN;
    END IF;
    moved := next_version(moved);
    moment := clock_timestamp();
    IF NOT EXISTS (SELECT FROM revocations r WHERE r.tenant_id = tenant AND r.user_id = person AND r.device = of_device
                       AND r.connection = named)
        AND (SELECT count(*) FROM revocations r WHERE r.tenant_id = tenant AND (r.connection = '') = (named = '')
                 AND r.until > moment) >= most THEN
        outcome := 'full';
        RETURN;
    END IF;
    INSERT INTO revocations AS r (tenant_id, user_id, device, connection, revoked_at, until, version)
    VALUES (tenant, person, of_device, named, moment, moment + make_interval(secs => seconds), moved)
    ON CONFLICT (tenant_id, user_id, device, connection) DO UPDATE
        SET revoked_at = greatest(r.revoked_at, excluded.revoked_at), until = excluded.until, version = excluded.version;
    UPDATE tenants SET settings_version = moved WHERE id = tenant;
    outcome := 'revoked';
    wait_us := ((ceil(extract(epoch FROM moment)) - extract(epoch FROM moment)) * 1000000)::bigint;
END $$;

-- Forgets at most so many revocations that hold no longer.
CREATE FUNCTION carillon.forget_revocations(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM revocations WHERE (tenant_id, user_id, device, connection) IN (
        SELECT tenant_id, user_id, device, connection FROM revocations
        WHERE until < now() ORDER BY until LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

GRANT SELECT ON carillon.revocations TO carillon_gateway, carillon_publisher;
REVOKE ALL ON FUNCTION carillon.revoke, carillon.forget_revocations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.revoke, carillon.forget_revocations TO carillon_publisher;
