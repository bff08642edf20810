-- Appends one event of one tenant, with a key for repeats or without, as the statement for batches does (backplane/src/log/append), in one
-- message: it sets the transaction's scope itself. The answer is null, and nothing is stored, where the tenant is not known, its epoch
-- has to be settled or the key was used before: the caller asks the statement for batches, which tells which. The key is looked up under the
-- tenant's lock, with a snapshot taken after it, so no publisher can store it in between.

CREATE FUNCTION carillon.append_event(tenant text, lock_wait text, id text, type text, source text, subject text, actor text, priority text,
    channels text, happened_at timestamptz, body text, traceparent text, asked_key text, asked_hash bytea, body_tag bigint,
    OUT head bigint, OUT epoch text, OUT tag bigint, OUT at_micros bigint)
    LANGUAGE plpgsql AS $$
#variable_conflict error
DECLARE
    nothing text;
    here    text;
    log     record;
    moment  timestamptz;
BEGIN
    nothing := set_config('carillon.tenant', tenant, true);
    nothing := set_config('lock_timeout', lock_wait, true);
    here := nullif(coalesce(nullif(current_setting('carillon.lineage', true), ''), carillon.lineage()), 'hidden');
    SELECT t.epoch, t.head, t.lineage, t.tag, t.tag_seq INTO log FROM carillon.tenants t WHERE t.id = tenant FOR UPDATE;
    IF NOT FOUND OR log.tag_seq > log.head OR NOT coalesce(log.lineage = here, here IS NULL) THEN
        RETURN;
    END IF;
    IF asked_key IS NOT NULL AND EXISTS (
        SELECT FROM carillon.idempotency i WHERE i.tenant_id = tenant AND i.key = asked_key) THEN
        RETURN;
    END IF;
    moment := clock_timestamp();                         -- under the lock, so it ascends with seq
    UPDATE carillon.tenants t SET head = log.head + 1, tag = body_tag, tag_seq = log.head + 1 WHERE t.id = tenant;
    INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, subject, actor, priority, channels, time, body, traceparent)
        VALUES (tenant, log.head + 1, moment, append_event.id, append_event.type, append_event.source, append_event.subject, append_event.actor,
            append_event.priority, string_to_array(append_event.channels, E'\x1f'), happened_at, append_event.body, append_event.traceparent);
    IF asked_key IS NOT NULL THEN
        INSERT INTO carillon.idempotency (tenant_id, key, hash, id, seq, epoch, at)
            VALUES (tenant, asked_key, asked_hash, append_event.id, log.head + 1, log.epoch, moment);
    END IF;
    head := log.head;
    epoch := log.epoch;
    tag := CASE WHEN log.tag_seq = log.head THEN log.tag ELSE 0 END;
    at_micros := (extract(epoch FROM moment) * 1000000)::bigint;
END $$;
REVOKE ALL ON FUNCTION carillon.append_event FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.append_event TO carillon_publisher;
