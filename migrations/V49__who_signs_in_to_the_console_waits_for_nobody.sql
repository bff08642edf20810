-- As in V40, but for what is over and too many of one key: rows that another sign-in deletes are passed over.

CREATE OR REPLACE FUNCTION carillon.issue_console_code(code bytea, key text, seconds integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    done boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM console_codes WHERE hash IN (
        SELECT c.hash FROM console_codes c WHERE c.expires_at < now() ORDER BY c.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED);
    DELETE FROM console_codes WHERE hash IN (
        SELECT c.hash FROM console_codes c WHERE c.hash IN (
            SELECT o.hash FROM console_codes o WHERE o.key_id = key ORDER BY o.expires_at DESC OFFSET 19) FOR UPDATE SKIP LOCKED);
    INSERT INTO console_codes (hash, key_id, expires_at)
    SELECT code, k.id, now() + make_interval(secs => seconds) FROM api_keys k
        WHERE k.id = key AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
    done := FOUND;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN done;
END $$;

CREATE OR REPLACE FUNCTION carillon.begin_console_session(session text, secret bytea, key text, code bytea, seconds integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    of_key text := key;
    done boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF code IS NOT NULL THEN
        DELETE FROM console_codes c WHERE c.hash = code AND c.expires_at > now() RETURNING c.key_id INTO of_key;
        IF of_key IS NULL THEN
            PERFORM set_config('carillon.maintenance', '', true);
            RETURN false;
        END IF;
    END IF;
    DELETE FROM console_sessions WHERE id IN (
        SELECT s.id FROM console_sessions s WHERE s.expires_at < now() ORDER BY s.expires_at LIMIT 100 FOR UPDATE SKIP LOCKED);
    DELETE FROM console_sessions WHERE id IN (
        SELECT s.id FROM console_sessions s WHERE s.id IN (
            SELECT o.id FROM console_sessions o WHERE o.key_id = of_key ORDER BY o.expires_at DESC OFFSET 99) FOR UPDATE SKIP LOCKED);
    INSERT INTO console_sessions (id, hash, key_id, expires_at)
    SELECT session, secret, k.id, now() + make_interval(secs => seconds) FROM api_keys k
        WHERE k.id = of_key AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
    done := FOUND;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN done;
END $$;
