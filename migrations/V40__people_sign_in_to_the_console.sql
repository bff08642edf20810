-- Sessions of the console: each stands for one API key for some hours, and ends with it. The browser has a secret of the session's own, and
-- never the key's. Codes sign in once: `carillon up` prints a link with one. Stored of both is a hash. No role reads the tables: publishers
-- begin, find and end sessions through functions.

CREATE TABLE carillon.console_sessions (
    id         text COLLATE "C" PRIMARY KEY,
    hash       bytea NOT NULL,                -- SHA-256 of the secret, which is 32 random bytes
    key_id     text COLLATE "C" NOT NULL REFERENCES carillon.api_keys (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX console_sessions_of_key ON carillon.console_sessions (key_id, expires_at);
CREATE INDEX console_sessions_due ON carillon.console_sessions (expires_at);

CREATE TABLE carillon.console_codes (
    hash       bytea PRIMARY KEY,             -- SHA-256 of the code, which is 32 random bytes
    key_id     text COLLATE "C" NOT NULL REFERENCES carillon.api_keys (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX console_codes_of_key ON carillon.console_codes (key_id, expires_at);
CREATE INDEX console_codes_due ON carillon.console_codes (expires_at);

ALTER TABLE carillon.console_sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.console_sessions FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.console_codes    ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.console_codes    FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.console_sessions TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.console_codes TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Stores a code for a key; of more than twenty of one key the oldest go, and so does what is over. False: there is no such key that works.
CREATE FUNCTION carillon.issue_console_code(code bytea, key text, seconds integer) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    done boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM console_codes WHERE hash IN (SELECT c.hash FROM console_codes c WHERE c.expires_at < now() ORDER BY c.expires_at LIMIT 100);
    DELETE FROM console_codes WHERE hash IN (SELECT c.hash FROM console_codes c WHERE c.key_id = key ORDER BY c.expires_at DESC OFFSET 19);
    INSERT INTO console_codes (hash, key_id, expires_at)
    SELECT code, k.id, now() + make_interval(secs => seconds) FROM api_keys k
        WHERE k.id = key AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
    done := FOUND;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN done;
END $$;

-- Begins a session of a key, or of the key of a code, which is used up by that: of two that delete the same row the second finds it gone. Of
-- more than a hundred sessions of one key those that end first go, and so does what is over. False: there is no such code, or no such key
-- that works.
CREATE FUNCTION carillon.begin_console_session(session text, secret bytea, key text, code bytea, seconds integer) RETURNS boolean
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
    DELETE FROM console_sessions WHERE id IN (SELECT s.id FROM console_sessions s WHERE s.expires_at < now() ORDER BY s.expires_at LIMIT 100);
    DELETE FROM console_sessions WHERE id IN (SELECT s.id FROM console_sessions s WHERE s.key_id = of_key ORDER BY s.expires_at DESC OFFSET 99);
    INSERT INTO console_sessions (id, hash, key_id, expires_at)
    SELECT session, secret, k.id, now() + make_interval(secs => seconds) FROM api_keys k
        WHERE k.id = of_key AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now());
    done := FOUND;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN done;
END $$;

-- The key that a session stands for, with the session's hash and the end of whichever ends first. No row: it has ended, or its key has.
CREATE FUNCTION carillon.find_console_session(session text)
    RETURNS TABLE (id text, hash bytea, tenant_id text, scopes text[], expires_at bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT k.id::text, s.hash, k.tenant_id::text, k.scopes,
            extract(epoch FROM least(s.expires_at, k.expires_at))::bigint
        FROM console_sessions s JOIN api_keys k ON k.id = s.key_id
        WHERE s.id = session AND s.expires_at > now() AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
            AND k.scopes <> '{relay}';
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

CREATE FUNCTION carillon.end_console_session(session text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM console_sessions s WHERE s.id = session;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.issue_console_code, carillon.begin_console_session, carillon.find_console_session,
    carillon.end_console_session FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.issue_console_code, carillon.begin_console_session, carillon.find_console_session,
    carillon.end_console_session TO carillon_publisher;
