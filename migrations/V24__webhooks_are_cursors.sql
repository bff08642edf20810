-- Webhooks: a tenant's events are sent to its own HTTP endpoints. A webhook is a cursor on the tenant's log (`epoch`, `seq`):
-- everything up to it was delivered, is not wanted, or stands in `webhook_deliveries`. So there is no queue, and a replay moves
-- the cursor. Workers hold slots of the projector `webhooks` (V6).

CREATE TABLE carillon.webhooks (
    tenant_id     text COLLATE "C" NOT NULL,
    id            text COLLATE "C" NOT NULL,
    url           text NOT NULL,
    types         text[] NOT NULL,       -- patterns; empty: all
    channels      text[] NOT NULL,       -- patterns; empty: all
    ordered       boolean NOT NULL,
    -- The secrets stand here as they are: who signs must have them. The one before signs, too, until its time is over.
    secret        text NOT NULL,
    secret_before text,
    before_until  timestamptz,
    state         text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled')),
    reason        text,                  -- why it is disabled
    epoch         text NOT NULL,
    seq           bigint NOT NULL,
    -- Another with every replay: what was sent before it says nothing about the cursor after it. And grows with every other
    -- change by an administrator: what was sent before that says how far the cursor is, and nothing about the endpoint.
    generation    bigint NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
    version       bigint NOT NULL DEFAULT 1,
    waits_until   timestamptz,           -- nothing is sent before this
    failing_since timestamptz,           -- of the first failed attempt since the last delivery
    delivered_at  timestamptz,           -- of the last delivery
    created_at    timestamptz NOT NULL DEFAULT now(),
    changed_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, id),
    CHECK ((secret_before IS NULL) = (before_until IS NULL)),
    CHECK ((state = 'disabled') = (reason IS NOT NULL))
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- Events whose delivery failed: those that are tried again (`retrying`, at `next_at`) and those that only a person sends again
-- (`parked`). At most 1,000 of a webhook.
CREATE TABLE carillon.webhook_deliveries (
    tenant_id text COLLATE "C" NOT NULL,
    webhook   text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    state     text NOT NULL CHECK (state IN ('retrying', 'parked')),
    failures  integer NOT NULL,          -- failed attempts, of which so many lead to `parked`
    next_at   timestamptz NOT NULL,      -- infinity while parked
    attempts  jsonb NOT NULL,            -- the last ten, oldest first: at, status, ms, error
    answer    text NOT NULL,             -- the beginning of the last answer's body
    PRIMARY KEY (tenant_id, webhook, seq)
);
CREATE INDEX webhook_deliveries_due ON carillon.webhook_deliveries (tenant_id, webhook, next_at);

ALTER TABLE carillon.webhooks           ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.webhooks           FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.webhook_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.webhook_deliveries FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.webhooks USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.webhook_deliveries USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
-- Which webhooks have something to do is a question about all tenants: the owner's, while it maintains.
CREATE POLICY maintenance ON carillon.webhooks FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');
CREATE POLICY maintenance ON carillon.webhook_deliveries FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

GRANT SELECT, INSERT, UPDATE, DELETE ON carillon.webhooks, carillon.webhook_deliveries TO carillon_publisher;

-- What an administrator does to a webhook with failed deliveries takes its row first, in a statement of its own: so it sees what a
-- publisher that saved meanwhile has written, and two of them never wait for each other in a circle.

-- Moves the cursor before `from_seq`, so that the events from there on are sent, again: what is behind is sent in its turn and need not
-- be tried again. `moved` is null without such a webhook, and false where the log ends before.
CREATE FUNCTION carillon.replay_webhook(tenant text, name text, from_seq bigint, OUT moved boolean, OUT head bigint)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    now_in text;
BEGIN
    PERFORM FROM webhooks w WHERE w.tenant_id = tenant AND w.id = name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT t.head, t.epoch INTO replay_webhook.head, now_in FROM tenants t WHERE t.id = tenant;
    moved := from_seq <= replay_webhook.head + 1;
    IF moved THEN
        UPDATE webhooks w SET epoch = now_in, seq = from_seq - 1, waits_until = NULL, failing_since = NULL,
            generation = w.generation + 1, version = w.version + 1, changed_at = now() WHERE w.tenant_id = tenant AND w.id = name;
        DELETE FROM webhook_deliveries d WHERE d.tenant_id = tenant AND d.webhook = name AND d.seq >= from_seq;
    END IF;
END $$;

-- Forgets a webhook and its failed deliveries. False: there was none.
CREATE FUNCTION carillon.delete_webhook(tenant text, name text) RETURNS boolean
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM FROM webhooks w WHERE w.tenant_id = tenant AND w.id = name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM webhook_deliveries d WHERE d.tenant_id = tenant AND d.webhook = name;
    DELETE FROM webhooks w WHERE w.tenant_id = tenant AND w.id = name;
    RETURN true;
END $$;

-- Sends an event again, now, whose delivery failed; the endpoint is not waited for either: a person knows better. False: it did not fail.
CREATE FUNCTION carillon.retry_webhook_delivery(tenant text, name text, event bigint) RETURNS boolean
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM FROM webhooks w WHERE w.tenant_id = tenant AND w.id = name FOR UPDATE;
    UPDATE webhook_deliveries d SET state = 'retrying', next_at = now()
        WHERE d.tenant_id = tenant AND d.webhook = name AND d.seq = event;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE webhooks w SET waits_until = NULL WHERE w.tenant_id = tenant AND w.id = name;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION carillon.replay_webhook, carillon.delete_webhook, carillon.retry_webhook_delivery FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.replay_webhook, carillon.delete_webhook, carillon.retry_webhook_delivery TO carillon_publisher;

-- The webhooks of `slots` that have something to send now, in their order after (`after_tenant`, `after_id`); and how many
-- events their logs have after their cursors.
CREATE FUNCTION carillon.webhooks_due(slots smallint[], after_tenant text, after_id text, most integer)
    RETURNS TABLE (tenant text, id text, slot smallint, behind bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = on AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT w.tenant_id, w.id, carillon.projector_slot(w.tenant_id), greatest(t.head - w.seq, 0)
        FROM webhooks w JOIN tenants t ON t.id = w.tenant_id
        WHERE w.state = 'enabled' AND (w.tenant_id, w.id) > (after_tenant COLLATE "C", after_id COLLATE "C")
            AND carillon.projector_slot(w.tenant_id) = ANY (slots)
            AND (w.waits_until IS NULL OR w.waits_until <= clock_timestamp())
            AND (t.head <> w.seq OR t.epoch <> w.epoch OR EXISTS (
                SELECT FROM webhook_deliveries d
                WHERE d.tenant_id = w.tenant_id AND d.webhook = w.id AND d.next_at <= clock_timestamp()))
        ORDER BY w.tenant_id, w.id LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Whether any webhook is enabled, of any tenant.
CREATE FUNCTION carillon.webhooks_exist() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    found boolean;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    SELECT EXISTS (SELECT FROM webhooks w WHERE w.state = 'enabled') INTO found;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN found;
END $$;

REVOKE ALL ON FUNCTION carillon.webhooks_due, carillon.webhooks_exist FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.webhooks_due, carillon.webhooks_exist TO carillon_publisher;
