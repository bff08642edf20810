-- Notices of types that a person, their tenant or the type itself keeps out of the inbox are neither listed nor counted. What is said
-- about that is read with the place of the inbox, by publishers and gateways alike; nothing is stored for each person and type.

-- What a definition says about the inbox: on or off for whoever has said nothing, always or never where nobody can say otherwise; null:
-- nothing. A text that is no JSON here says nothing, too: then the notices stand there.
CREATE FUNCTION carillon.inbox_default(definition text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    mandatory boolean := coalesce((definition::json ->> 'mandatory')::boolean, false);
    inbox     boolean := (definition::json -> 'defaults' ->> 'inbox')::boolean;
BEGIN
    RETURN CASE WHEN mandatory THEN CASE WHEN coalesce(inbox, true) THEN 'always' ELSE 'never' END
        WHEN inbox THEN 'on' WHEN NOT inbox THEN 'off' END;
END $$;

-- The same with what cannot be read.
CREATE FUNCTION carillon.inbox_default_or_null(definition text) RETURNS text
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN carillon.inbox_default(definition);
EXCEPTION WHEN data_exception OR program_limit_exceeded THEN
    RETURN NULL;
END $$;

-- The table is small (512 KiB a tenant at most) and publishers hold what is in it, so writing it anew keeps nobody waiting.
ALTER TABLE carillon.event_types ADD COLUMN inbox text GENERATED ALWAYS AS (carillon.inbox_default_or_null(definition)) STORED;
CREATE INDEX event_types_inbox ON carillon.event_types (tenant_id, type) INCLUDE (inbox) WHERE inbox IS NOT NULL;

-- All that is said about what stands in a person's inbox, and in which language they read: the types that they and their tenant name, as
-- JSON, and the types that say something themselves. A tenant's own type hides the installation's wholly. The scope has to name the tenant and `*`.
CREATE FUNCTION carillon.inbox_settings(tenant text, person text, OUT own text, OUT defaults text, OUT kinds text[], OUT says text[], OUT locale text)
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = carillon, pg_temp
BEGIN ATOMIC
    SELECT (SELECT p.preferences::json ->> 'types' FROM carillon.preferences p WHERE p.tenant_id = tenant AND p.user_id = person),
        (SELECT d.preferences::json ->> 'types' FROM carillon.preference_defaults d WHERE d.tenant_id = tenant),
        array_agg(t.type ORDER BY t.type), array_agg(t.inbox ORDER BY t.type),
        coalesce((SELECT p.preferences::json ->> 'locale' FROM carillon.preferences p WHERE p.tenant_id = tenant AND p.user_id = person),
            (SELECT d.preferences::json ->> 'locale' FROM carillon.preference_defaults d WHERE d.tenant_id = tenant))
    FROM carillon.event_types t
    WHERE t.inbox IS NOT NULL AND (t.tenant_id = tenant OR (t.tenant_id = '*' AND NOT EXISTS (
        SELECT FROM carillon.event_types o WHERE o.tenant_id = tenant AND o.type = t.type)));
END;

REVOKE ALL ON FUNCTION carillon.inbox_settings FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.inbox_settings TO carillon_publisher, carillon_gateway;

-- What a document says about the inbox: which types stand in it, and in which language.
CREATE FUNCTION carillon.inbox_wishes(preferences text) RETURNS jsonb
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT coalesce(jsonb_object_agg(t.key, t.value -> 'inbox'), '{}') || jsonb_build_object('', preferences::json ->> 'locale')
    FROM json_each(preferences::json -> 'types') AS j(key, wish), LATERAL (SELECT j.key, j.wish::jsonb AS value) AS t
    WHERE t.value ? 'inbox';
END;

-- Sets what a person says. `known`: whether there is such a tenant. `version`: of their inbox, if what stands in it may be otherwise now:
-- their row is locked first, as with every mark, and its version moves in the same transaction.
CREATE FUNCTION carillon.set_preferences(tenant text, person text, said text, OUT known boolean, OUT version bigint)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    before text;
BEGIN
    PERFORM FROM inbox_state s WHERE s.tenant_id = tenant AND s.user_id = person FOR UPDATE;
    SELECT p.preferences INTO before FROM preferences p WHERE p.tenant_id = tenant AND p.user_id = person;
    INSERT INTO preferences AS p (tenant_id, user_id, preferences)
        SELECT t.id, person, said FROM tenants t WHERE t.id = tenant
        ON CONFLICT (tenant_id, user_id) DO UPDATE SET preferences = excluded.preferences, changed_at = excluded.changed_at;
    known := FOUND;
    IF known AND inbox_wishes(coalesce(before, '{}')) <> inbox_wishes(said) THEN
        UPDATE inbox_state s SET version = s.version + 1 WHERE s.tenant_id = tenant AND s.user_id = person
            RETURNING s.version INTO version;
    END IF;
END $$;

-- Sets what a tenant says for whoever has said nothing. `moved`: whether what stands in inboxes may be otherwise now.
CREATE FUNCTION carillon.set_preference_defaults(tenant text, said text, OUT known boolean, OUT moved boolean)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    before text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('carillon.preference_defaults ' || tenant, 0));
    SELECT d.preferences INTO before FROM preference_defaults d WHERE d.tenant_id = tenant;
    INSERT INTO preference_defaults (tenant_id, preferences)
        SELECT t.id, said FROM tenants t WHERE t.id = tenant
        ON CONFLICT (tenant_id) DO UPDATE SET preferences = excluded.preferences, changed_at = excluded.changed_at;
    known := FOUND;
    moved := known AND inbox_wishes(coalesce(before, '{}')) <> inbox_wishes(said);
END $$;

-- The first three are called in a publisher's own name: by the generated column, and by the two that set preferences.
REVOKE ALL ON FUNCTION carillon.inbox_default, carillon.inbox_default_or_null, carillon.inbox_wishes,
    carillon.set_preferences, carillon.set_preference_defaults FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.inbox_default, carillon.inbox_default_or_null, carillon.inbox_wishes,
    carillon.set_preferences, carillon.set_preference_defaults TO carillon_publisher;
