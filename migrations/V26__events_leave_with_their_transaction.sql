-- An application that has its tables in this database publishes inside its own transaction: `carillon.publish` writes an event into
-- `outbox`, which commits or rolls back with the application's rows. Publishers move rows from there into the log (deleted and
-- appended in one transaction: once), in the order of `id` for each tenant, as far as they have become visible.

CREATE TABLE carillon.outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY,
    tenant_id   text COLLATE "C" NOT NULL,
    at          timestamptz NOT NULL,        -- when it was published, by this database's clock
    event_id    text COLLATE "C",            -- null: the publisher that moves it makes one
    type        text NOT NULL,
    source      text NOT NULL,
    subject     text,
    actor       text,
    priority    text,
    key         text,
    channels    text[] NOT NULL,
    time        timestamptz,                 -- null: `at`
    data        text,                        -- JSON
    traceparent text,
    first       bigint,                      -- the number of the first event of its transaction; null: it is that
    number      bigint NOT NULL GENERATED ALWAYS AS (id) STORED,
    PRIMARY KEY (tenant_id, id)              -- the oldest of a tenant; and from one tenant with rows to the next
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_insert_scale_factor = 0,
    autovacuum_vacuum_insert_threshold = 100000);
-- By number alone. A column of its own, so that no plan walks along it through all rows in search of the few of one tenant.
CREATE UNIQUE INDEX outbox_number ON carillon.outbox (number);

-- What cannot be appended waits here for somebody to decide.
CREATE TABLE carillon.outbox_parked (
    LIKE carillon.outbox,
    reason    text NOT NULL,
    detail    text NOT NULL,
    parked_at timestamptz NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX outbox_parked_tenant ON carillon.outbox_parked (tenant_id, id);

-- Who holds the row of a tenant's slot moves its events, so that two publishers do not mix up the order of one tenant. No row names a tenant.
CREATE TABLE carillon.outbox_slots (slot smallint PRIMARY KEY);
INSERT INTO carillon.outbox_slots SELECT n FROM generate_series(0, 63) AS n;

ALTER TABLE carillon.outbox        ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.outbox        FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.outbox_parked ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.outbox_parked FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.outbox TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.outbox_parked TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Wakes the publishers; they look every 250 ms without it. Commits that notify are serialised by Postgres, each with its own flush to
-- disk, and cannot be prepared (two-phase commit). So at most one in 50 ms notifies (publishers look again every 25 ms for a while after
-- they have found something), and `carillon.outbox_notify` = off, for a session, a role or the database, leaves it out.
CREATE SEQUENCE carillon.outbox_woken MINVALUE 0;   -- when somebody notified, in milliseconds since 1970; seen by all at once
CREATE FUNCTION carillon.wake_outbox() RETURNS trigger
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    now bigint := extract(epoch FROM clock_timestamp()) * 1000;
BEGIN
    IF now - (SELECT w.last_value FROM outbox_woken w) NOT BETWEEN 0 AND 49 THEN
        PERFORM setval('outbox_woken', now);
        NOTIFY carillon_outbox;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER wake AFTER INSERT ON carillon.outbox FOR EACH STATEMENT
    WHEN (pg_catalog.current_setting('carillon.outbox_notify', true) IS DISTINCT FROM 'off')
    EXECUTE FUNCTION carillon.wake_outbox();

-- The grammars of docs/PROTOCOL.md, "Names", for texts. Control characters are U+0001 to U+001F and U+007F to U+009F.
CREATE FUNCTION carillon.is_plain(value text, most integer) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN value <> '' AND octet_length(value) <= most AND value COLLATE "C" !~ '[\u0001-\u001f\u007f-\u009f]';

CREATE FUNCTION carillon.is_channel(value text) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN starts_with(value, 'user:') OR starts_with(value, 'role:') THEN carillon.is_plain(substr(value, 6), 128)
        ELSE value COLLATE "C" ~ '^[A-Za-z0-9_.@:-]{1,128}$' END;

CREATE FUNCTION carillon.publish_fault(pointer text, code text, detail text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN jsonb_build_object('pointer', pointer, 'code', code, 'detail', detail);

-- What is wrong with a type, a source or a subject.
CREATE FUNCTION carillon.attribute_fault(name text, value text, one_word boolean) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE WHEN octet_length(value) > 256
            THEN carillon.publish_fault('/' || name, 'too_long', 'must be at most 256 bytes of UTF-8')
        WHEN one_word THEN carillon.publish_fault('/' || name, 'invalid',
            'must be 1-256 bytes of UTF-8 without white space or control characters')
        ELSE carillon.publish_fault('/' || name, 'invalid', 'must be 1-256 bytes of UTF-8 without control characters') END;

-- What is wrong with an array of names: of channels (`kind` channel), users or roles.
CREATE FUNCTION carillon.names_faults(name text, names text[], kind text) RETURNS jsonb[]
    LANGUAGE plpgsql IMMUTABLE SET search_path = carillon, pg_temp AS $$
DECLARE
    faults jsonb[] := '{}';
    value  text;
    at     integer := 0;
BEGIN
    IF array_ndims(names) > 1 THEN
        RETURN ARRAY[carillon.publish_fault('/' || name, 'wrong_type', 'must be an array of texts')];
    ELSIF cardinality(names) > 100 THEN
        RETURN ARRAY[carillon.publish_fault('/' || name, 'too_many', 'must have at most 100 elements')];
    END IF;
    FOREACH value IN ARRAY names LOOP
        IF value IS NULL THEN
            faults := faults || carillon.publish_fault('/' || name || '/' || at, 'wrong_type', 'must be a text');
        ELSIF kind = 'channel' AND NOT carillon.is_channel(value) THEN
            faults := faults || carillon.publish_fault('/' || name || '/' || at, 'invalid',
                'must be 1-128 characters of A-Z, a-z, 0-9, _, ., @, : and - (after user: and role: any name)');
        ELSIF kind <> 'channel' AND NOT carillon.is_plain(value, 128) THEN
            faults := faults || carillon.publish_fault('/' || name || '/' || at, 'invalid',
                'must be 1-128 bytes of UTF-8 without control characters');
        END IF;
        at := at + 1;
    END LOOP;
    RETURN faults;
END $$;

-- Whether arrays and objects are nested deeper than `levels`. Few have as many brackets as that; of those the innermost pairs are
-- taken away level by level.
CREATE FUNCTION carillon.is_deeper(document text, levels integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SET search_path = carillon, pg_temp AS $$
DECLARE
    brackets text;
BEGIN
    IF length(document) - length(replace(replace(document, '{', ''), '[', '')) <= levels THEN
        RETURN false;
    END IF;
    brackets := regexp_replace(regexp_replace(document, '"([^"\\]|\\.)*"', '', 'g'), '[^][{}]+', '', 'g');
    FOR level IN 1..levels LOOP
        EXIT WHEN brackets = '';
        brackets := regexp_replace(brackets, '\[\]|\{\}', '', 'g');
    END LOOP;
    RETURN brackets <> '';
END $$;

-- Publishes an event when the caller's transaction commits; answers the event's number in the outbox. Everything that is wrong is told
-- at once: SQLSTATE 22023, and in DETAIL a JSON array of {pointer, code, detail}, as `errors` of the HTTP answer. Who asks is the
-- login, whatever role it has taken since.
CREATE FUNCTION carillon.publish(
    tenant text, type text, channels text[] DEFAULT NULL, data jsonb DEFAULT NULL,
    id text DEFAULT NULL, source text DEFAULT NULL, subject text DEFAULT NULL, actor text DEFAULT NULL,
    priority text DEFAULT NULL, key text DEFAULT NULL, "time" timestamptz DEFAULT NULL,
    users text[] DEFAULT NULL, roles text[] DEFAULT NULL, tenant_wide boolean DEFAULT NULL,
    traceparent text DEFAULT NULL, notify jsonb DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    before  text := pg_catalog.current_setting('carillon.maintenance', true);
    faults  jsonb[] := '{}';
    targets text[] := '{}';
    document    text;
    size    integer;
    now     timestamptz := clock_timestamp();
    begun   bigint := nullif(pg_catalog.current_setting('carillon.outbox_first', true), '')::bigint;
    answer  bigint;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    IF publish.tenant IS NOT NULL AND NOT EXISTS (
        SELECT FROM app_tenants a WHERE a.tenant_id IN (publish.tenant, '*') AND a.login = session_user
    ) AND NOT EXISTS (
        SELECT FROM app_tenants a JOIN pg_catalog.pg_roles r ON r.rolname = a.login
        WHERE a.tenant_id IN (publish.tenant, '*') AND pg_catalog.pg_has_role(session_user, r.oid, 'MEMBER')
    ) THEN
        RAISE EXCEPTION 'the login % may not publish for the tenant %', quote_ident(session_user), quote_nullable(publish.tenant)
            USING ERRCODE = 'insufficient_privilege',
                HINT = format('as carillon_owner: SELECT carillon.allow_app(%L, %L)', session_user, publish.tenant);
    END IF;

    IF publish.tenant IS NULL THEN
        faults := faults || carillon.publish_fault('/tenant', 'tenant_required', 'name the event''s tenant');
    ELSIF publish.tenant COLLATE "C" !~ '^[a-z0-9][a-z0-9_-]{0,62}$' THEN
        faults := faults || carillon.publish_fault('/tenant', 'invalid',
            'must be 1-63 characters of a-z, 0-9, _ and -, starting with a letter or digit');
    END IF;
    IF publish.type IS NULL THEN
        faults := faults || carillon.publish_fault('/type', 'required', 'is required');
    ELSIF NOT carillon.is_plain(publish.type, 256) OR publish.type COLLATE "C"
            ~ '[\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]' THEN
        faults := faults || carillon.attribute_fault('type', publish.type, true);
    END IF;
    IF NOT carillon.is_plain(publish.source, 256) THEN
        faults := faults || carillon.attribute_fault('source', publish.source, false);
    END IF;
    IF NOT carillon.is_plain(publish.subject, 256) THEN
        faults := faults || carillon.attribute_fault('subject', publish.subject, false);
    END IF;
    IF NOT carillon.is_plain(publish.id, 128) THEN
        faults := faults || carillon.publish_fault('/id', 'invalid', 'must be 1-128 bytes of UTF-8 without control characters');
    END IF;
    IF NOT carillon.is_plain(publish.actor, 128) THEN
        faults := faults || carillon.publish_fault('/actor', 'invalid', 'must be 1-128 bytes of UTF-8 without control characters');
    END IF;
    IF NOT carillon.is_plain(publish.key, 128) THEN
        faults := faults || carillon.publish_fault('/key', 'invalid', 'must be 1-128 bytes of UTF-8 without control characters');
    END IF;
    IF publish.priority NOT IN ('low', 'normal', 'high', 'urgent', 'critical') THEN
        faults := faults || carillon.publish_fault('/priority', 'invalid', 'must be one of low, normal, high, urgent and critical');
    END IF;
    IF NOT (publish."time" >= '1970-01-01 00:00:00Z' AND publish."time" < '10000-01-01 00:00:00Z') THEN
        faults := faults || carillon.publish_fault('/time', 'invalid', 'must be from 1970 to 9999');
    END IF;
    IF publish.notify IS NOT NULL THEN
        faults := faults || carillon.publish_fault('/notify', 'unknown_field', 'notices cannot be published from a transaction yet');
    END IF;

    size := cardinality(faults);
    faults := faults || carillon.names_faults('channels', coalesce(publish.channels, '{}'), 'channel');
    IF publish.users IS NOT NULL THEN
        faults := faults || carillon.names_faults('users', publish.users, 'user');
    END IF;
    IF publish.roles IS NOT NULL THEN
        faults := faults || carillon.names_faults('roles', publish.roles, 'role');
    END IF;
    IF cardinality(faults) = size THEN
        targets := coalesce(publish.channels, '{}');
        IF publish.users IS NOT NULL THEN
            targets := targets || ARRAY(SELECT 'user:' || u.name FROM unnest(publish.users) WITH ORDINALITY AS u(name, n) ORDER BY u.n);
        END IF;
        IF publish.roles IS NOT NULL THEN
            targets := targets || ARRAY(SELECT 'role:' || u.name FROM unnest(publish.roles) WITH ORDINALITY AS u(name, n) ORDER BY u.n);
        END IF;
        IF publish.tenant_wide THEN
            targets := targets || 'tenant'::text;
        END IF;
        IF cardinality(targets) > 1 THEN
            targets := ARRAY(SELECT u.name FROM unnest(targets) WITH ORDINALITY AS u(name, n) GROUP BY u.name ORDER BY min(u.n));
        END IF;
        IF cardinality(targets) = 0 THEN
            faults := faults || carillon.publish_fault('', 'target_required',
                'name at least one target: channels, users, roles or tenant_wide');
        ELSIF cardinality(targets) > 100 THEN
            faults := faults || carillon.publish_fault('', 'too_many', format(
                'channels, users, roles and tenant_wide together make %s channels; at most 100 are allowed', cardinality(targets)));
        END IF;
    END IF;

    -- Without a key JSON null is no data; with one it says that the key has no value any more.
    document := CASE WHEN publish.key IS NOT NULL OR publish.data <> 'null'::jsonb THEN publish.data::text END;
    IF carillon.is_deeper(document, 63) THEN
        faults := faults || carillon.publish_fault('/data', 'too_deep', 'nested deeper than 64 levels');
    END IF;

    IF cardinality(faults) = 0 AND octet_length(document) > 40000 THEN
        size := carillon.event_size(document, coalesce(publish."time", date_trunc('milliseconds', now)),
            ARRAY[publish.type, coalesce(publish.source, 'api'), coalesce(publish.id, repeat('0', 36)), publish.subject,
                publish.actor, publish.priority, publish.key, publish.traceparent],
            ARRAY['type', 'source', 'id', 'subject', 'actor', 'priority', 'latestkey', 'traceparent']);
        IF size > 65536 THEN
            faults := faults || carillon.publish_fault('', 'too_large',
                format('the event''s CloudEvents JSON has %s bytes; at most 65536 are allowed', size));
        END IF;
    END IF;

    IF cardinality(faults) > 0 THEN
        RAISE EXCEPTION 'carillon.publish: % %', coalesce(nullif(faults[1]->>'pointer', ''), 'the event:'), faults[1]->>'detail'
            USING ERRCODE = 'invalid_parameter_value', DETAIL = array_to_json(faults)::text,
                HINT = CASE WHEN cardinality(faults) > 1 THEN format('%s faults; all of them are in DETAIL', cardinality(faults))
                    ELSE 'names and limits: docs/PROTOCOL.md' END;
    END IF;

    INSERT INTO outbox (tenant_id, at, event_id, type, source, subject, actor, priority, key, channels, time, data, traceparent, first)
    VALUES (publish.tenant, now, publish.id, publish.type, coalesce(publish.source, 'api'), publish.subject, publish.actor,
        publish.priority, publish.key, targets, publish."time", document,
        CASE WHEN publish.traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' THEN publish.traceparent END, begun)
    RETURNING outbox.id INTO answer;
    IF begun IS NULL THEN
        PERFORM pg_catalog.set_config('carillon.outbox_first', answer::text, true);
    END IF;
    PERFORM pg_catalog.set_config('carillon.maintenance', coalesce(before, ''), true);
    RETURN answer;
END $$;

-- How many bytes an event's compact CloudEvents JSON has. Postgres writes a space behind each comma and colon outside of texts; of
-- more than half as many bytes again as are allowed that is not looked at.
CREATE FUNCTION carillon.event_size(document text, happened timestamptz, members text[], names text[]) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE SET search_path = carillon, pg_temp AS $$
DECLARE
    size  integer := octet_length(document);
    shape text;
BEGIN
    IF size <= 2 * 65536 THEN
        shape := regexp_replace(document, '"([^"\\]|\\.)*"', '', 'g');
        size := size - (length(shape) - length(replace(shape, ' ', '')));
    END IF;
    FOR n IN 1..cardinality(members) LOOP
        size := size + coalesce(octet_length(to_json(members[n])::text) + length(names[n]) + 4, 0);
    END LOOP;
    -- {"specversion":"1.0" … ,"time":"…" … ,"data":… }
    RETURN size + 20 + 8 + 2 + 8 + 1 + length(rtrim(rtrim(
        to_char(happened AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'), '0'), '.') || 'Z');
END $$;

-- The next events to move, of several tenants in turn: at most `most` of them and of about `bytes` bytes, of each tenant its oldest ones,
-- in the order of `id`. Their tenants' slots are held until the transaction ends; tenants whose slots others hold are passed over, and
-- so are those of `passed`. With `whole` all tenants that have rows are looked at, from `start` on in the order of their names,
-- 200 at a time; else those of the first 1,000 rows after `lowest`, and all tenants only if there are as many rows. Of a transaction
-- that has rows on both sides of `lowest` none is taken then: its order would be lost.
-- `share`: how many of its rows a tenant may have had; who has as many may have more.
CREATE FUNCTION carillon.claim_outbox(lowest bigint, whole boolean, start text, passed text[], most integer, bytes bigint)
    RETURNS TABLE (id bigint, tenant text, at timestamptz, event_id text, type text, source text, subject text, actor text,
        priority text, key text, channels text[], happened timestamptz, data text, traceparent text, share integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    seen    bigint := 0;
    tenants text[] := '{}';
    held    smallint[];
    each    integer;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    IF NOT whole THEN
        SELECT array_agg(DISTINCT w.tenant_id), count(*) INTO tenants, seen
            FROM (SELECT o.tenant_id FROM outbox o WHERE o.number > lowest ORDER BY o.number LIMIT 1000) AS w;
    END IF;
    IF whole OR seen >= 1000 THEN
        tenants := ARRAY(
            WITH RECURSIVE after AS (
                (SELECT o.tenant_id AS name, 1 AS n FROM outbox o WHERE o.tenant_id > start ORDER BY o.tenant_id LIMIT 1)
                UNION ALL
                SELECT (SELECT o.tenant_id FROM outbox o WHERE o.tenant_id > a.name ORDER BY o.tenant_id LIMIT 1), a.n + 1
                FROM after a WHERE a.name IS NOT NULL AND a.n < 200
            ), again AS (
                (SELECT o.tenant_id AS name, 1 AS n FROM outbox o ORDER BY o.tenant_id LIMIT 1)
                UNION ALL
                SELECT (SELECT o.tenant_id FROM outbox o WHERE o.tenant_id > a.name AND o.tenant_id <= start
                    ORDER BY o.tenant_id LIMIT 1), a.n + 1
                FROM again a WHERE a.name IS NOT NULL AND a.n < 200
            ) SELECT f.name FROM (SELECT a.name, 1 AS part FROM after a UNION ALL SELECT b.name, 2 FROM again b WHERE b.name <= start) AS f
            WHERE f.name IS NOT NULL ORDER BY f.part, f.name LIMIT 200);
        lowest := 0;
    END IF;
    -- Whose older events were left behind (over the rate, locked) waits for a look at everything: the new ones are not taken before them.
    tenants := ARRAY(SELECT t.name FROM unnest(tenants) AS t(name) WHERE t.name <> ALL (passed)
        AND NOT EXISTS (SELECT FROM outbox o WHERE o.tenant_id = t.name AND o.id <= lowest));
    IF cardinality(tenants) > 0 THEN
        held := ARRAY(SELECT s.slot FROM outbox_slots s
            WHERE s.slot = ANY (ARRAY(SELECT DISTINCT carillon.projector_slot(t.name) FROM unnest(tenants) AS t(name)))
            ORDER BY s.slot FOR NO KEY UPDATE SKIP LOCKED);
        tenants := ARRAY(SELECT t.name FROM unnest(tenants) AS t(name) WHERE carillon.projector_slot(t.name) = ANY (held));
        each := greatest(1, most / greatest(1, cardinality(tenants)));
        RETURN QUERY SELECT o.id, o.tenant_id, o.at, o.event_id, o.type, o.source, o.subject, o.actor, o.priority, o.key, o.channels,
                o.time, o.data, o.traceparent, each
            FROM unnest(tenants) AS t(name) CROSS JOIN LATERAL (
                SELECT r.*, sum(coalesce(octet_length(r.data), 0)) OVER (ORDER BY r.id) - coalesce(octet_length(r.data), 0) AS ahead
                FROM (SELECT * FROM outbox q WHERE q.tenant_id = t.name AND q.id > lowest
                    AND (q.first IS NULL OR q.first > lowest) ORDER BY q.id LIMIT each) AS r) AS o
            WHERE o.ahead < bytes / cardinality(tenants)
            ORDER BY o.tenant_id, o.id;
    END IF;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
END $$;

-- These are in the log, or cannot come into it: then they are parked, each with its reason. In the transaction that claimed them.
CREATE FUNCTION carillon.finish_outbox(done bigint[], parked bigint[], reasons text[], details text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    gone integer;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    IF cardinality(parked) > 0 THEN
        INSERT INTO outbox_parked SELECT o.*, p.reason, p.detail, clock_timestamp()
            FROM unnest(parked, reasons, details) AS p(id, reason, detail) JOIN outbox o ON o.number = p.id;
    END IF;
    DELETE FROM outbox o WHERE o.number = ANY (done || parked);
    GET DIAGNOSTICS gone = ROW_COUNT;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
    -- Whoever deletes rows by hand meanwhile would else have them published after all.
    IF gone <> cardinality(done) + cardinality(parked) THEN
        RAISE EXCEPTION 'rows of the outbox went away while they were moved' USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN gone;
END $$;

-- How many events wait (of more than 10,000: 10,001), for how long the oldest does, and how many are parked: of a tenant, or of all.
CREATE FUNCTION carillon.outbox_state(name text, OUT waiting bigint, OUT seconds double precision, OUT parked bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    IF name IS NULL THEN
        SELECT count(*) INTO waiting FROM (SELECT FROM outbox o ORDER BY o.number LIMIT 10001) AS w;
        SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - o.at), 0), 0) INTO seconds FROM outbox o ORDER BY o.number LIMIT 1;
        SELECT count(*) INTO parked FROM (SELECT FROM outbox_parked p ORDER BY p.id LIMIT 10001) AS w;
    ELSE
        SELECT count(*) INTO waiting FROM (SELECT FROM outbox o WHERE o.tenant_id = name ORDER BY o.id LIMIT 10001) AS w;
        SELECT coalesce(greatest(extract(epoch FROM clock_timestamp() - o.at), 0), 0) INTO seconds
            FROM outbox o WHERE o.tenant_id = name ORDER BY o.id LIMIT 1;
        SELECT count(*) INTO parked FROM (SELECT FROM outbox_parked p WHERE p.tenant_id = name ORDER BY p.id LIMIT 10001) AS w;
    END IF;
    seconds := coalesce(seconds, 0);
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
END $$;

-- What is parked, oldest first.
CREATE FUNCTION carillon.list_parked(after bigint, most integer)
    RETURNS TABLE (id bigint, tenant text, at timestamptz, type text, event_id text, reason text, detail text, parked_at timestamptz)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT p.id, p.tenant_id, p.at, p.type, p.event_id, p.reason, p.detail, p.parked_at
        FROM outbox_parked p WHERE p.id > after ORDER BY p.id LIMIT most;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
END $$;

-- Puts parked events back into the outbox (`keep`), or discards them. All of them, when `ids` is null. They keep their numbers, so they
-- go before what was published since.
CREATE FUNCTION carillon.release_parked(ids bigint[], keep boolean) RETURNS bigint
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    released bigint;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    WITH gone AS (DELETE FROM outbox_parked p WHERE ids IS NULL OR p.id = ANY (ids) RETURNING p.*), back AS (
        INSERT INTO outbox (id, tenant_id, at, event_id, type, source, subject, actor, priority, key, channels, time, data, traceparent)
        OVERRIDING SYSTEM VALUE
        SELECT g.id, g.tenant_id, g.at, g.event_id, g.type, g.source, g.subject, g.actor, g.priority, g.key, g.channels, g.time,
            g.data, g.traceparent FROM gone g WHERE keep)
    SELECT count(*) INTO released FROM gone;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
    RETURN released;
END $$;

REVOKE ALL ON FUNCTION carillon.wake_outbox, carillon.is_plain, carillon.is_channel, carillon.publish_fault, carillon.attribute_fault,
    carillon.names_faults, carillon.is_deeper, carillon.publish, carillon.event_size, carillon.claim_outbox, carillon.finish_outbox,
    carillon.outbox_state, carillon.list_parked, carillon.release_parked FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.publish TO carillon_app;
GRANT EXECUTE ON FUNCTION carillon.claim_outbox, carillon.finish_outbox, carillon.outbox_state TO carillon_publisher;
