-- Events of the outbox may be notices. What they say is checked in the call; what an event's type says (its schema, templates and
-- priority) by the publisher that moves it, which parks what breaks it, by name.

ALTER TABLE carillon.outbox ADD COLUMN notify text;          -- JSON
ALTER TABLE carillon.outbox_parked ADD COLUMN notify text;

-- `publish` asks whether a type has a title.
CREATE POLICY maintenance ON carillon.event_types FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- How many bytes compact JSON has: Postgres writes a space behind each comma and colon outside of texts.
CREATE FUNCTION carillon.compact_size(document text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN octet_length(document) - (SELECT length(s.shape) - length(replace(s.shape, ' ', ''))
        FROM (SELECT regexp_replace(document, '"([^"\\]|\\.)*"', '', 'g') AS shape) AS s);

-- Whether a text is an RFC 3339 time with an offset, from 1970 to 9999.
CREATE FUNCTION carillon.is_rfc3339(value text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    moment timestamptz;
BEGIN
    IF value COLLATE "C" !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$' THEN
        RETURN false;
    END IF;
    moment := upper(left(value, 11)) || substr(value, 12);
    RETURN moment >= '1970-01-01 00:00:00Z' AND moment < '10000-01-01 00:00:00Z' AND substr(value, 12, 2) < '24';
EXCEPTION WHEN data_exception THEN
    RETURN false;
END $$;

-- What is wrong with the steps of a notice.
CREATE FUNCTION carillon.escalate_faults(steps jsonb, requires_ack jsonb) RETURNS jsonb[]
    LANGUAGE plpgsql IMMUTABLE SET search_path = carillon, pg_temp AS $$
DECLARE
    faults jsonb[] := '{}';
    asks   integer;
    step   jsonb;
    place  text;
    name   text;
    value  text;
BEGIN
    IF jsonb_typeof(steps) <> 'array' THEN
        RETURN ARRAY[carillon.publish_fault('/notify/escalate', 'wrong_type', 'must be an array of steps')];
    ELSIF jsonb_array_length(steps) > 5 THEN
        RETURN ARRAY[carillon.publish_fault('/notify/escalate', 'too_many', 'must have at most 5 steps')];
    END IF;
    FOR at IN 0..jsonb_array_length(steps) - 1 LOOP
        step := steps -> at;
        place := '/notify/escalate/' || at;
        IF jsonb_typeof(step) <> 'object' THEN
            faults := faults || carillon.publish_fault(place, 'wrong_type', 'must be an object with after and to');
            CONTINUE;
        END IF;
        step := carillon.jsonb_strip_nulls_at_top(step);
        FOREACH name IN ARRAY ARRAY['after', 'to'] LOOP
            IF NOT step ? name THEN
                faults := faults || carillon.publish_fault(place || '/' || name, 'required', 'is required');
            END IF;
        END LOOP;
        FOR name IN SELECT k.key FROM jsonb_object_keys(step) AS k(key) LOOP
            IF name NOT IN ('after', 'to', 'who') THEN
                faults := faults || carillon.publish_fault(place || '/' || replace(replace(name, '~', '~0'), '/', '~1'),
                    'unknown_field', 'is not a field of a step; known are after, to and who');
                CONTINUE;
            END IF;
            value := step ->> name;
            IF jsonb_typeof(step -> name) <> 'string' THEN
                faults := faults || carillon.publish_fault(place || '/' || name, 'wrong_type', 'must be a text');
            ELSIF name = 'after' AND NOT (CASE WHEN value COLLATE "C" ~ '^[0-9]{1,7}[smhd]$'
                    THEN left(value, -1)::bigint * CASE right(value, 1) WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 ELSE 86400 END
                        BETWEEN 1 AND 2592000 ELSE false END) THEN
                faults := faults || carillon.publish_fault(place || '/after', 'invalid',
                    'must be a number and s, m, h or d, such as 5m: at least 1s, at most 30d');
            ELSIF name = 'to' AND value COLLATE "C" !~ '^webhook:[A-Za-z0-9_.-]{1,64}$' THEN
                faults := faults || carillon.publish_fault(place || '/to', 'invalid', 'must be webhook: and the name of a webhook');
            ELSIF name = 'who' AND value NOT IN ('not_acked', 'not_delivered') THEN
                faults := faults || carillon.publish_fault(place || '/who', 'invalid', 'must be not_acked or not_delivered');
            END IF;
        END LOOP;
        IF asks IS NULL AND coalesce(step ->> 'who', 'not_acked') = 'not_acked' AND step ? 'after' AND step ? 'to' THEN
            asks := at;
        END IF;
    END LOOP;
    IF asks IS NOT NULL AND requires_ack = 'false'::jsonb AND cardinality(faults) = 0 THEN
        faults := faults || carillon.publish_fault('/notify/escalate/' || asks || '/who', 'conflicting',
            'nobody can take note where requires_ack is false: leave that out, or ask for who not_delivered');
    END IF;
    RETURN faults;
END $$;

-- What is wrong with a notice: the rules of docs/PROTOCOL.md, "POST /v1/notices, and notify".
CREATE FUNCTION carillon.notify_faults(notify jsonb) RETURNS jsonb[]
    LANGUAGE plpgsql IMMUTABLE SET search_path = carillon, pg_temp AS $$
DECLARE
    space   text := '^[\u0009-\u000d\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]*';
    faults  jsonb[] := '{}';
    written boolean;
    name    text;
    member  jsonb;
    value   text;
    place   text;
BEGIN
    IF jsonb_typeof(notify) <> 'object' THEN
        RETURN ARRAY[carillon.publish_fault('/notify', 'wrong_type', 'must be an object: a notice')];
    END IF;
    IF carillon.is_deeper(notify::text, 63) THEN
        RETURN ARRAY[carillon.publish_fault('/notify', 'too_deep', 'nested deeper than 64 levels')];
    END IF;
    notify := jsonb_strip_nulls_at_top(notify);
    written := notify ? 'title' OR notify ? 'body';
    IF notify ? 'body' AND NOT notify ? 'title' THEN
        faults := faults || carillon.publish_fault('/notify/title', 'required', 'is required');
    END IF;
    FOR name, member IN SELECT m.key, m.value FROM jsonb_each(notify) AS m LOOP
        place := '/notify/' || replace(replace(name, '~', '~0'), '/', '~1');
        value := CASE WHEN jsonb_typeof(member) = 'string' THEN member #>> '{}' END;
        IF name IN ('title', 'body', 'action', 'group', 'priority', 'expires_at') AND value IS NULL
                OR name = 'template' AND NOT written AND value IS NULL THEN
            faults := faults || carillon.publish_fault(place, 'wrong_type', 'must be a text');
        ELSIF name IN ('title', 'body') THEN
            IF value COLLATE "C" ~ (space || '$') THEN
                faults := faults || carillon.publish_fault(place, 'invalid', 'must not be empty');
            ELSIF length(value) > (CASE name WHEN 'title' THEN 256 ELSE 4096 END) THEN
                faults := faults || carillon.publish_fault(place, 'too_long',
                    format('must have at most %s characters', CASE name WHEN 'title' THEN 256 ELSE 4096 END));
            ELSIF (CASE name WHEN 'title' THEN value ELSE translate(value, E'\n\t', '') END) COLLATE "C" ~ '[\u0001-\u001f\u007f-\u009f]' THEN
                faults := faults || carillon.publish_fault(place, 'invalid', 'must have no control characters'
                    || CASE name WHEN 'title' THEN '' ELSE ' but line feeds and tabs' END);
            END IF;
        ELSIF name IN ('action', 'group') OR name = 'template' AND NOT written THEN
            IF NOT carillon.is_plain(value, CASE name WHEN 'action' THEN 2048 WHEN 'group' THEN 128 ELSE 256 END) THEN
                faults := faults || carillon.publish_fault(place,
                    CASE WHEN octet_length(value) > CASE name WHEN 'action' THEN 2048 WHEN 'group' THEN 128 ELSE 256 END
                        THEN 'too_long' ELSE 'invalid' END,
                    format('must be 1-%s bytes of UTF-8 without control characters',
                        CASE name WHEN 'action' THEN 2048 WHEN 'group' THEN 128 ELSE 256 END));
            ELSIF name = 'action' AND lower(value) COLLATE "C" ~ (space || '(javascript|data|vbscript):') THEN
                faults := faults || carillon.publish_fault(place, 'invalid',
                    'must be a URL or a path that leads somewhere: pages would run this');
            END IF;
        ELSIF name = 'priority' THEN
            IF value NOT IN ('low', 'normal', 'high', 'urgent', 'critical') THEN
                faults := faults || carillon.publish_fault(place, 'invalid', 'must be one of low, normal, high, urgent and critical');
            END IF;
        ELSIF name = 'expires_at' THEN
            IF NOT carillon.is_rfc3339(value) THEN
                faults := faults || carillon.publish_fault(place, 'invalid', 'must be an RFC 3339 time with an offset, from 1970 to 9999');
            END IF;
        ELSIF name = 'requires_ack' THEN
            IF jsonb_typeof(member) <> 'boolean' THEN
                faults := faults || carillon.publish_fault(place, 'wrong_type', 'must be true or false');
            END IF;
        ELSIF name IN ('template', 'vars') AND written THEN
            faults := faults || carillon.publish_fault(place, 'conflicting',
                'is for notices without title and body, which the templates of a type fill');
        ELSIF name IN ('data', 'vars') THEN
            IF octet_length(member::text) > 8192 AND carillon.compact_size(member::text) > 8192 THEN
                faults := faults || carillon.publish_fault(place, 'too_large', 'must have at most 8192 bytes of JSON');
            ELSIF name = 'vars' AND jsonb_typeof(member) <> 'object' THEN
                faults := faults || carillon.publish_fault(place, 'wrong_type', 'must be an object: variables');
            END IF;
        ELSIF name = 'escalate' THEN
            faults := faults || carillon.escalate_faults(member, notify -> 'requires_ack');
        ELSE
            faults := faults || carillon.publish_fault(place, 'unknown_field', 'is not a field of a notice');
        END IF;
    END LOOP;
    RETURN faults;
END $$;

-- An object without its members that are null; what is in them stays as it is.
CREATE FUNCTION carillon.jsonb_strip_nulls_at_top(document jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    RETURN (SELECT coalesce(jsonb_object_agg(m.key, m.value), '{}') FROM jsonb_each(document) AS m WHERE jsonb_typeof(m.value) <> 'null');

-- What is wrong with a notice that leaves its text to a type: there is none with a title. What its templates then lack is found when
-- they are filled.
CREATE FUNCTION carillon.fill_faults(tenant text, type text, notify jsonb) RETURNS jsonb[]
    LANGUAGE plpgsql STABLE SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    named text := notify ->> 'template';
    says  text;
BEGIN
    IF jsonb_typeof(notify -> 'title') <> 'null' THEN
        RETURN '{}';
    END IF;
    SELECT t.definition INTO says FROM event_types t
        WHERE t.tenant_id IN (fill_faults.tenant, '*') AND t.type = coalesce(named, fill_faults.type)
        ORDER BY t.tenant_id = '*' LIMIT 1;
    IF says::json ->> 'title' IS NULL THEN
        RETURN ARRAY[CASE WHEN named IS NULL
            THEN carillon.publish_fault('/notify/title', 'required',
                format('is required: no event type %s has one for its notices', fill_faults.type))
            ELSE carillon.publish_fault('/notify/template', 'template', format('there is no event type %s that has a title', named)) END];
    END IF;
    RETURN '{}';
EXCEPTION WHEN data_exception THEN
    -- Who moves it reads it.
    RETURN '{}';
END $$;

-- As in V26, and with `notify`.
CREATE OR REPLACE FUNCTION carillon.publish(
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
    notice  text;
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
    IF jsonb_typeof(publish.notify) <> 'null' THEN
        notice := publish.notify::text;
        faults := faults || carillon.notify_faults(publish.notify);
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

    -- A text of its own is a type's to give.
    IF cardinality(faults) = 0 AND notice IS NOT NULL THEN
        faults := faults || carillon.fill_faults(publish.tenant, publish.type, publish.notify);
    END IF;

    IF cardinality(faults) = 0 AND coalesce(octet_length(document), 0) + coalesce(octet_length(notice), 0) > 40000 THEN
        size := coalesce(carillon.compact_size(notice) - octet_length(notice), 0) + carillon.event_size(coalesce(document, ''), coalesce(publish."time", date_trunc('milliseconds', now)),
            ARRAY[publish.type, coalesce(publish.source, 'api'), coalesce(publish.id, repeat('0', 36)), publish.subject,
                publish.actor, publish.priority, publish.key, publish.traceparent, notice],
            ARRAY['type', 'source', 'id', 'subject', 'actor', 'priority', 'latestkey', 'traceparent', 'notify']);
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

    INSERT INTO outbox (tenant_id, at, event_id, type, source, subject, actor, priority, key, channels, time, data, traceparent, first, notify)
    VALUES (publish.tenant, now, publish.id, publish.type, coalesce(publish.source, 'api'), publish.subject, publish.actor,
        publish.priority, publish.key, targets, publish."time", document,
        CASE WHEN publish.traceparent ~ '^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$' THEN publish.traceparent END, begun, notice)
    RETURNING outbox.id INTO answer;
    IF begun IS NULL THEN
        PERFORM pg_catalog.set_config('carillon.outbox_first', answer::text, true);
    END IF;
    PERFORM pg_catalog.set_config('carillon.maintenance', coalesce(before, ''), true);
    RETURN answer;
END $$;

-- As `claim_outbox` in V26, and with `notify`.
CREATE FUNCTION carillon.claim_outbox_events(lowest bigint, whole boolean, start text, passed text[], most integer, bytes bigint)
    RETURNS TABLE (id bigint, tenant text, at timestamptz, event_id text, type text, source text, subject text, actor text,
        priority text, key text, channels text[], happened timestamptz, data text, traceparent text, share integer, notify text)
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
                o.time, o.data, o.traceparent, each, o.notify
            FROM unnest(tenants) AS t(name) CROSS JOIN LATERAL (
                SELECT r.*, sum(r.size) OVER (ORDER BY r.id) - r.size AS ahead
                FROM (SELECT q.*, coalesce(octet_length(q.data), 0) + coalesce(octet_length(q.notify), 0) AS size FROM outbox q WHERE q.tenant_id = t.name AND q.id > lowest
                    AND (q.first IS NULL OR q.first > lowest) ORDER BY q.id LIMIT each) AS r) AS o
            WHERE o.ahead < bytes / cardinality(tenants)
            ORDER BY o.tenant_id, o.id;
    END IF;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
END $$;

-- What publishers of the version before call: they know of no notices, so those, and what stands behind them in their tenant, wait for
-- others.
CREATE OR REPLACE FUNCTION carillon.claim_outbox(lowest bigint, whole boolean, start text, passed text[], most integer, bytes bigint)
    RETURNS TABLE (id bigint, tenant text, at timestamptz, event_id text, type text, source text, subject text, actor text,
        priority text, key text, channels text[], happened timestamptz, data text, traceparent text, share integer)
    LANGUAGE sql SET search_path = carillon, pg_temp AS $$
    SELECT c.id, c.tenant, c.at, c.event_id, c.type, c.source, c.subject, c.actor, c.priority, c.key, c.channels, c.happened, c.data,
        c.traceparent, c.share
    FROM (SELECT e.*, count(e.notify) OVER (PARTITION BY e.tenant ORDER BY e.id) AS notices
        FROM carillon.claim_outbox_events(lowest, whole, start, passed, most, bytes) AS e) AS c
    WHERE c.notices = 0 ORDER BY c.tenant, c.id
$$;

-- As in V26, and with `notify`.
CREATE OR REPLACE FUNCTION carillon.finish_outbox(done bigint[], parked bigint[], reasons text[], details text[]) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    gone integer;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    IF cardinality(parked) > 0 THEN
        INSERT INTO outbox_parked (id, tenant_id, at, event_id, type, source, subject, actor, priority, key, channels, time, data, traceparent, first, number, notify,
            reason, detail, parked_at)
        SELECT o.id, o.tenant_id, o.at, o.event_id, o.type, o.source, o.subject, o.actor, o.priority, o.key, o.channels, o.time, o.data, o.traceparent, o.first, o.number, o.notify, p.reason, p.detail, clock_timestamp()
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

-- As in V26, and with `notify`.
CREATE OR REPLACE FUNCTION carillon.release_parked(ids bigint[], keep boolean) RETURNS bigint
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    released bigint;
BEGIN
    PERFORM pg_catalog.set_config('carillon.maintenance', 'on', true);
    WITH gone AS (DELETE FROM outbox_parked p WHERE ids IS NULL OR p.id = ANY (ids) RETURNING p.*), back AS (
        INSERT INTO outbox (id, tenant_id, at, event_id, type, source, subject, actor, priority, key, channels, time, data, traceparent, notify)
        OVERRIDING SYSTEM VALUE
        SELECT g.id, g.tenant_id, g.at, g.event_id, g.type, g.source, g.subject, g.actor, g.priority, g.key, g.channels, g.time,
            g.data, g.traceparent, g.notify FROM gone g WHERE keep)
    SELECT count(*) INTO released FROM gone;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
    RETURN released;
END $$;

REVOKE ALL ON FUNCTION carillon.compact_size, carillon.is_rfc3339, carillon.escalate_faults, carillon.notify_faults, carillon.jsonb_strip_nulls_at_top,
    carillon.fill_faults, carillon.claim_outbox_events FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.claim_outbox_events TO carillon_publisher;
