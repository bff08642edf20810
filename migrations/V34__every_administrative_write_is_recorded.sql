-- Who changed what: every write to what administrators set leaves a row here, in its own transaction, whoever makes it: by triggers, so
-- that no way past the API misses it. Services say who asks them in the setting carillon.actor of the transaction. Nobody but these
-- triggers writes here, and nobody changes a row.

CREATE TABLE carillon.audit (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    tenant_id text COLLATE "C" NOT NULL,   -- *: the installation
    actor     text COLLATE "C" NOT NULL,   -- key:<id>, user:<id>, service, or login:<name> where nobody said
    action    text COLLATE "C" NOT NULL,   -- what it is about, a point, and created, changed or deleted
    target    text COLLATE "C" NOT NULL,   -- which of it
    before    text,                        -- JSON; null: it was not there
    after     text                         -- JSON; null: it is gone
);
CREATE INDEX audit_of_tenant ON carillon.audit (tenant_id, id);
CREATE INDEX audit_at ON carillon.audit (at);

ALTER TABLE carillon.audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.audit FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.audit FOR SELECT USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY written ON carillon.audit FOR INSERT TO carillon_owner WITH CHECK (true);
CREATE POLICY maintenance ON carillon.audit TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
GRANT SELECT ON carillon.audit TO carillon_publisher;

-- A text that is JSON as what it is, and another as a text.
CREATE FUNCTION carillon.json_or_text(value jsonb) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN CASE WHEN jsonb_typeof(value) = 'string' THEN (value #>> '{}')::jsonb ELSE value END;
EXCEPTION WHEN data_exception THEN
    RETURN value;
END $$;

-- Some columns of a row: those of `shown` as they are, those of `secrets` as a part of their SHA-256, so that a change of them is seen
-- and they are not, and those of `documents`, texts that are JSON, as JSON.
CREATE FUNCTION carillon.audited(entry jsonb, shown text[], secrets text[], documents text[]) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = carillon, pg_temp
BEGIN ATOMIC
    SELECT jsonb_object_agg(e.key, CASE
            WHEN e.key = ANY (secrets) AND jsonb_typeof(e.value) = 'string'
                THEN to_jsonb('sha256:' || left(encode(sha256(convert_to(e.value #>> '{}', 'UTF8')), 'hex'), 12))
            WHEN e.key = ANY (documents) THEN carillon.json_or_text(e.value) ELSE e.value END)::text
    FROM jsonb_each(entry) AS e WHERE e.key = ANY (shown || secrets || documents);
END;

-- Arguments of the trigger: what the row is, the columns that name it, and those of `audited`, each as an array.
CREATE FUNCTION carillon.audit_change() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    old_row jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    new_row jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
    entry   jsonb := coalesce(new_row, old_row);
    names   text[] := TG_ARGV[1];
BEGIN
    INSERT INTO audit (tenant_id, actor, action, target, before, after)
    VALUES (coalesce(entry ->> 'tenant_id', '*'),
        coalesce(nullif(current_setting('carillon.actor', true), ''),
            CASE WHEN current_setting('role') IN ('carillon_publisher', 'carillon_gateway') THEN 'service'
                ELSE 'login:' || session_user END),
        TG_ARGV[0] || CASE TG_OP WHEN 'INSERT' THEN '.created' WHEN 'UPDATE' THEN '.changed' ELSE '.deleted' END,
        coalesce((SELECT string_agg(entry ->> n.name, ' ' ORDER BY n.place) FILTER (WHERE entry ->> n.name <> '')
            FROM unnest(names) WITH ORDINALITY AS n(name, place)), TG_ARGV[0]),
        carillon.audited(old_row, TG_ARGV[2]::text[], TG_ARGV[3]::text[], TG_ARGV[4]::text[]),
        carillon.audited(new_row, TG_ARGV[2]::text[], TG_ARGV[3]::text[], TG_ARGV[4]::text[]));
    RETURN NULL;
END $$;

CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON carillon.channel_rules FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('channel_rule', '{pattern}', '{rule}', '{}', '{}');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON carillon.event_types FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('event_type', '{type}', '{}', '{}', '{definition}');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON carillon.tenant_limits FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('limits', '{}', '{limits}', '{}', '{}');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON carillon.tenant_settings FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('application', '{}', '{authorize_url}', '{authorize_secret}', '{}');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON carillon.preference_defaults FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('preference_defaults', '{}', '{}', '{}', '{preferences}');
-- What people say for themselves is theirs.
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON carillon.preferences FOR EACH ROW
    WHEN (coalesce(current_setting('carillon.actor', true), '') NOT IN ('', 'user:' || NEW.user_id))
    EXECUTE FUNCTION carillon.audit_change('preferences', '{user_id}', '{}', '{}', '{preferences}');
-- Sending moves a webhook's cursor all the time; another version is the doing of an administrator, another state also that of the service.
CREATE TRIGGER audit AFTER INSERT OR DELETE ON carillon.webhooks FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('webhook', '{id}', '{url,types,channels,ordered,state,reason,epoch,seq}', '{secret}', '{}');
CREATE TRIGGER audit_changes AFTER UPDATE ON carillon.webhooks FOR EACH ROW
    WHEN (OLD.version <> NEW.version OR OLD.state <> NEW.state)
    EXECUTE FUNCTION carillon.audit_change('webhook', '{id}', '{url,types,channels,ordered,state,reason,epoch,seq}', '{secret}', '{}');
-- When its time is over a revocation is forgotten: that is nobody's doing.
CREATE TRIGGER audit AFTER INSERT OR UPDATE ON carillon.revocations FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('revocation', '{user_id,device,connection}', '{user_id,device,connection,revoked_at,until}', '{}', '{}');
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON carillon.app_tenants FOR EACH ROW
    EXECUTE FUNCTION carillon.audit_change('application_login', '{login}', '{login}', '{}', '{}');
-- Gateways' own keys come and go by themselves.
CREATE TRIGGER audit AFTER INSERT ON carillon.api_keys FOR EACH ROW WHEN (NEW.scopes <> '{relay}')
    EXECUTE FUNCTION carillon.audit_change('api_key', '{id}', '{tenant_id,scopes,expires_at}', '{}', '{}');
CREATE TRIGGER audit_changes AFTER UPDATE ON carillon.api_keys FOR EACH ROW
    WHEN ((OLD.expires_at, OLD.revoked_at, OLD.scopes) IS DISTINCT FROM (NEW.expires_at, NEW.revoked_at, NEW.scopes))
    EXECUTE FUNCTION carillon.audit_change('api_key', '{id}', '{tenant_id,scopes,expires_at,revoked_at}', '{}', '{}');

-- Forgets at most so many rows that are older than 400 days, the oldest first.
CREATE FUNCTION carillon.forget_audit(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM audit a WHERE a.id IN (SELECT o.id FROM audit o WHERE o.at < now() - interval '400 days'
        ORDER BY o.at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.json_or_text, carillon.audited, carillon.audit_change, carillon.forget_audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_audit TO carillon_publisher;
