-- A type of events may say whom its notices go to that name nobody: `audience` in its definition. `carillon.publish` takes such a notice
-- without a target; the publisher that moves it sends it there, and parks it where the type has none any more.

-- Whether a notice may name nobody. A type that cannot be read here is read by whoever moves the event.
CREATE FUNCTION carillon.has_audience(tenant text, type text, notify jsonb) RETURNS boolean
    LANGUAGE plpgsql STABLE SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    says text;
BEGIN
    IF coalesce(jsonb_typeof(notify), 'null') <> 'object' THEN
        RETURN false;
    END IF;
    SELECT t.definition INTO says FROM event_types t
        WHERE t.tenant_id IN (has_audience.tenant, '*') AND t.type = coalesce(
            CASE WHEN jsonb_typeof(notify -> 'title') <> 'null' THEN NULL ELSE notify ->> 'template' END, has_audience.type)
        ORDER BY t.tenant_id = '*' LIMIT 1;
    RETURN coalesce(says::json ->> 'audience' IS NOT NULL, false);
EXCEPTION WHEN data_exception THEN
    RETURN true;
END $$;

-- As V33 has it, and with the type's audience.
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
        IF cardinality(targets) = 0 AND NOT carillon.has_audience(publish.tenant, publish.type, publish.notify) THEN
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

-- As in V33, but a notice that names nobody is for publishers that say that they know of audiences: `carillon.outbox_audience` = on in
-- the transaction that claims. Those of the release before would append it for nobody: for them it, and what stands behind it in its
-- tenant, waits for others.
CREATE OR REPLACE FUNCTION carillon.claim_outbox_events(lowest bigint, whole boolean, start text, passed text[], most integer, bytes bigint)
    RETURNS TABLE (id bigint, tenant text, at timestamptz, event_id text, type text, source text, subject text, actor text,
        priority text, key text, channels text[], happened timestamptz, data text, traceparent text, share integer, notify text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    seen    bigint := 0;
    tenants text[] := '{}';
    held    smallint[];
    each    integer;
    knows_audiences boolean := pg_catalog.current_setting('carillon.outbox_audience', true) IS NOT DISTINCT FROM 'on';
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
                SELECT r.*, sum(r.size) OVER (ORDER BY r.id) - r.size AS ahead,
                    count(*) FILTER (WHERE cardinality(r.channels) = 0) OVER (ORDER BY r.id) AS to_nobody
                FROM (SELECT q.*, coalesce(octet_length(q.data), 0) + coalesce(octet_length(q.notify), 0) AS size FROM outbox q WHERE q.tenant_id = t.name AND q.id > lowest
                    AND (q.first IS NULL OR q.first > lowest) ORDER BY q.id LIMIT each) AS r) AS o
            WHERE o.ahead < bytes / cardinality(tenants) AND (knows_audiences OR o.to_nobody = 0)
            ORDER BY o.tenant_id, o.id;
    END IF;
    PERFORM pg_catalog.set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.has_audience FROM PUBLIC;
