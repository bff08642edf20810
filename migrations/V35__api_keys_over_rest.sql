-- API keys are made, listed, rotated and ended by administrators over REST, through functions: a publisher still reads no key but the one
-- that it names. A rotation makes another key that replaces one, which goes on for a while.

ALTER TABLE carillon.api_keys ADD COLUMN name text, ADD COLUMN last_used_at timestamptz, ADD COLUMN replaces text,
    ADD COLUMN replaced_by text;
-- `*` is no tenant's name: it stands for the keys for all.
CREATE INDEX api_keys_of_tenant ON carillon.api_keys (coalesce(tenant_id, '*'), id);

-- One change is one record: of a rotation that of the key which is replaced.
DROP TRIGGER audit ON carillon.api_keys;
DROP TRIGGER audit_changes ON carillon.api_keys;
CREATE TRIGGER audit AFTER INSERT ON carillon.api_keys FOR EACH ROW WHEN (NEW.scopes <> '{relay}' AND NEW.replaces IS NULL)
    EXECUTE FUNCTION carillon.audit_change('api_key', '{id}', '{tenant_id,name,scopes,expires_at}', '{}', '{}');
CREATE TRIGGER audit_changes AFTER UPDATE ON carillon.api_keys FOR EACH ROW
    WHEN ((OLD.name, OLD.expires_at, OLD.revoked_at, OLD.scopes, OLD.replaced_by)
        IS DISTINCT FROM (NEW.name, NEW.expires_at, NEW.revoked_at, NEW.scopes, NEW.replaced_by))
    EXECUTE FUNCTION carillon.audit_change('api_key', '{id}', '{tenant_id,name,scopes,expires_at,revoked_at,replaced_by}', '{}', '{}');

-- Begins a change of the keys of a tenant, one at a time; whether whoever asks still may. A publisher knows a key for ten seconds after its
-- end: in that time it makes no other, changes none and ends none.
CREATE FUNCTION carillon.begin_api_key_change(tenant text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    asking text := coalesce(current_setting('carillon.actor', true), '');
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('carillon.api_keys ' || coalesce(tenant, '*'), 0));
    IF NOT starts_with(asking, 'key:') THEN
        RETURN true;
    END IF;
    PERFORM FROM api_keys k WHERE k.id = substr(asking, 5) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
        FOR UPDATE;
    RETURN FOUND;
END $$;

-- How many keys of a tenant, or for all, work.
CREATE FUNCTION carillon.count_api_keys(tenant text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
    SELECT count(*) FROM api_keys k WHERE coalesce(k.tenant_id, '*') = coalesce(tenant, '*') AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > now()) AND k.scopes <> '{relay}'
$$;

-- Of the functions that change keys null says that whoever asks has no key that works any more.

-- Stores a key of a tenant, or of all; false: it has `most` that work.
CREATE FUNCTION carillon.create_api_key(key_id text, key_hash bytea, tenant text, key_scopes text[], label text, expires timestamptz, most integer)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF NOT begin_api_key_change(tenant) THEN
        RETURN NULL;
    END IF;
    IF count_api_keys(tenant) >= most THEN
        RETURN false;
    END IF;
    INSERT INTO api_keys (id, hash, tenant_id, scopes, name, expires_at)
    VALUES (key_id, key_hash, tenant, key_scopes, label, expires);
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN true;
END $$;

-- The keys of a tenant, or of none, by id: those after one, or only that of this id. Gateways' own are not among them.
CREATE FUNCTION carillon.list_api_keys(tenant text, after text, only_id text, most integer)
    RETURNS TABLE (id text, name text, scopes text[], created_at timestamptz, expires_at timestamptz, revoked_at timestamptz,
        last_used_at timestamptz, replaces text, replaced_by text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF only_id IS NULL THEN
        RETURN QUERY SELECT k.id::text, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_at, k.replaces, k.replaced_by
            FROM api_keys k WHERE coalesce(k.tenant_id, '*') = coalesce(tenant, '*') AND k.id > after AND k.scopes <> '{relay}'
            ORDER BY k.id LIMIT most;
    ELSE
        RETURN QUERY SELECT k.id::text, k.name, k.scopes, k.created_at, k.expires_at, k.revoked_at, k.last_used_at, k.replaces, k.replaced_by
            FROM api_keys k WHERE k.id = only_id AND k.tenant_id IS NOT DISTINCT FROM tenant AND k.scopes <> '{relay}';
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Another name and another end for a key that works; false: there is none. One that was replaced keeps the end that it was given then, or
-- gets an earlier one.
CREATE FUNCTION carillon.change_api_key(key_id text, tenant text, label text, expires timestamptz) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    changed boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF NOT begin_api_key_change(tenant) THEN
        RETURN NULL;
    END IF;
    UPDATE api_keys k SET name = label, expires_at = CASE WHEN k.replaced_by IS NULL THEN expires ELSE least(k.expires_at, expires) END
        WHERE k.id = key_id AND k.tenant_id IS NOT DISTINCT FROM tenant AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now()) AND k.scopes <> '{relay}';
    changed := FOUND;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN changed;
END $$;

-- Makes a key that may do what another may, which goes on for so many seconds; no row: there is none that works, false: there are `most` that
-- work. One that was replaced may be replaced again while it works, by another key with the same end as the first one: an answer may be lost.
CREATE FUNCTION carillon.rotate_api_key(key_id text, tenant text, fresh_id text, fresh_hash bytea, overlap bigint, most integer)
    RETURNS SETOF boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    was api_keys;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF NOT begin_api_key_change(tenant) THEN
        RETURN NEXT NULL;
        RETURN;
    END IF;
    SELECT k.* INTO was FROM api_keys k
        WHERE k.id = key_id AND k.tenant_id IS NOT DISTINCT FROM tenant AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now()) AND k.scopes <> '{relay}' FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF count_api_keys(tenant) >= most THEN
        RETURN NEXT false;
        RETURN;
    END IF;
    IF was.replaced_by IS NOT NULL THEN
        SELECT k.expires_at INTO was.expires_at FROM api_keys k WHERE k.id = was.replaced_by;
    END IF;
    INSERT INTO api_keys (id, hash, tenant_id, scopes, name, expires_at, replaces)
    VALUES (fresh_id, fresh_hash, was.tenant_id, was.scopes, was.name, was.expires_at, key_id);
    UPDATE api_keys k SET replaced_by = fresh_id, expires_at = least(k.expires_at, now() + make_interval(secs => overlap))
        WHERE k.id = key_id;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN NEXT true;
END $$;

-- Ends a key; false: there is none that works.
CREATE FUNCTION carillon.revoke_api_key(key_id text, tenant text) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    changed boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF NOT begin_api_key_change(tenant) THEN
        RETURN NULL;
    END IF;
    UPDATE api_keys k SET revoked_at = now()
        WHERE k.id = key_id AND k.tenant_id IS NOT DISTINCT FROM tenant AND k.revoked_at IS NULL AND k.scopes <> '{relay}';
    changed := FOUND;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN changed;
END $$;

-- A key was proven just now. Written once a minute at most; nothing is recorded for it.
CREATE FUNCTION carillon.note_key_use(key_id text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    UPDATE api_keys k SET last_used_at = now()
        WHERE k.id = key_id AND (k.last_used_at IS NULL OR k.last_used_at < now() - interval '1 minute');
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- As in V34; and keys that ended as long ago.
CREATE OR REPLACE FUNCTION carillon.forget_audit(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM api_keys k WHERE k.id IN (SELECT o.id FROM api_keys o
        WHERE least(o.revoked_at, o.expires_at) < now() - interval '400 days' LIMIT most FOR UPDATE SKIP LOCKED);
    DELETE FROM audit a WHERE a.id IN (SELECT o.id FROM audit o WHERE o.at < now() - interval '400 days'
        ORDER BY o.at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.begin_api_key_change, carillon.count_api_keys, carillon.create_api_key, carillon.list_api_keys, carillon.change_api_key, carillon.rotate_api_key,
    carillon.revoke_api_key, carillon.note_key_use FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.create_api_key, carillon.list_api_keys, carillon.change_api_key, carillon.rotate_api_key,
    carillon.revoke_api_key TO carillon_publisher;
GRANT EXECUTE ON FUNCTION carillon.note_key_use TO carillon_publisher, carillon_gateway;
