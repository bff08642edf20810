-- A number means nothing without the history it was given in. Postgres names that history: the system identifier of the
-- cluster and the timeline of its WAL; a promoted standby and a restored backup have another. So each tenant keeps the
-- lineage its epoch was given in, and where the database's differs, the tenant gets a new epoch before the first number
-- is given (docs/adr/0013). `epochs` remembers where each began: a cursor of an older one is good up to there.

ALTER TABLE carillon.tenants
    ADD COLUMN lineage text COLLATE "C",           -- where `epoch` was given; null: not known
    ADD COLUMN tag     bigint NOT NULL DEFAULT 0,  -- carillon.tag of event `tag_seq`; 0: not known
    ADD COLUMN tag_seq bigint NOT NULL DEFAULT 0;  -- the head as the last append left it, if that set the tag

CREATE TABLE carillon.epochs (
    tenant_id   text COLLATE "C" NOT NULL,
    epoch       text COLLATE "C" NOT NULL,
    number      integer NOT NULL,                  -- the tenant's epochs in their order
    began_after bigint NOT NULL,                   -- up to here its log is that of the epoch before
    lineage     text COLLATE "C",
    began_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (tenant_id, epoch)
);
ALTER TABLE carillon.epochs ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.epochs FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.epochs
    USING (tenant_id IN (SELECT unnest(carillon.scope())));
-- `carillon-publisher rotate-epoch --all` goes through them.
CREATE POLICY maintenance ON carillon.tenants FOR SELECT TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

GRANT UPDATE (tag, tag_seq) ON carillon.tenants TO carillon_publisher;

-- The lineage of this server: `<system identifier>:<timeline>`. Null while it is in recovery, and where the provider hides
-- it. Read once a session, because a server that may write never changes it, and reading pg_control costs more than
-- the rest of an append. The timeline is that of the WAL written now; the last checkpoint's lags behind a promotion.
CREATE FUNCTION carillon.lineage() RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    known text := current_setting('carillon.lineage', true);
BEGIN
    IF known <> '' THEN
        RETURN nullif(known, 'hidden');
    END IF;
    IF pg_is_in_recovery() THEN
        RETURN NULL;
    END IF;
    BEGIN
        SELECT s.system_identifier || ':'
            || ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
            INTO known FROM pg_control_system() s;
    EXCEPTION WHEN insufficient_privilege OR undefined_function OR feature_not_supported
        OR object_not_in_prerequisite_state THEN
        known := 'hidden';
    END;
    PERFORM set_config('carillon.lineage', known, false);
    RETURN nullif(known, 'hidden');
END $$;

-- What tells two events apart that have the same number: the first eight bytes of its body's SHA-256.
CREATE FUNCTION carillon.tag(body text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ('x' || left(encode(sha256(convert_to(body, 'UTF8')), 'hex'), 16))::bit(64)::bigint;

-- Begins a new epoch of a tenant's log, whose row the caller has locked. Cursors of the one before are good up to `after`.
CREATE FUNCTION carillon.begin_epoch(name text, after bigint) RETURNS void
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    place text := carillon.lineage();
    fresh text := carillon.fresh_epoch();
    last  integer;
BEGIN
    SELECT coalesce(max(e.number), 0) INTO last FROM epochs e WHERE e.tenant_id = name;
    -- The epoch that ends may be older than this table, or an operator's.
    INSERT INTO epochs (tenant_id, epoch, number, began_after, lineage)
        SELECT t.id, t.epoch, last + 1, 0, t.lineage FROM tenants t WHERE t.id = name
        ON CONFLICT DO NOTHING;
    INSERT INTO epochs (tenant_id, epoch, number, began_after, lineage) VALUES (name, fresh, last + 2, after, place);
    DELETE FROM epochs e WHERE e.tenant_id = name AND e.number <= last + 2 - 100;
    UPDATE tenants t SET epoch = fresh, lineage = coalesce(place, t.lineage), tag = 0, tag_seq = 0 WHERE t.id = name;
END $$;

-- Gives each of these tenants an epoch of this server's lineage, unless it has one: the first call after a promotion or a
-- restore, however many there are at the same time. Nothing was appended in this lineage yet, so what is there is
-- what the older epoch had. The same where somebody has set a head back: `tag_seq` stayed behind.
CREATE FUNCTION carillon.settle_epochs(names text[]) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    place text := carillon.lineage();
    t     record;
BEGIN
    PERFORM set_config('carillon.tenant', array_to_string(names, ','), true);
    FOR t IN
        SELECT id, head, lineage, tag_seq FROM tenants
        WHERE id = ANY (names) AND (tag_seq > head OR (place IS NOT NULL AND lineage IS DISTINCT FROM place))
        ORDER BY id FOR UPDATE
    LOOP
        IF t.tag_seq > t.head OR t.lineage IS NOT NULL THEN
            PERFORM carillon.begin_epoch(t.id, t.head);
        ELSE
            UPDATE tenants SET lineage = place WHERE id = t.id;
        END IF;
    END LOOP;
END $$;

-- A tenant's log as it stands: its head with its tag (0: not known), whether that was read where it can be written, and
-- its epochs, the newest first. Made on first use when `make` is true. No row: there is no such tenant.
DROP FUNCTION carillon.open_tenant(text, boolean);
CREATE FUNCTION carillon.open_tenant(name text, make boolean)
    RETURNS TABLE (epoch text, head bigint, tag bigint, writable boolean, epochs text[], began_after bigint[])
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    place text := carillon.lineage();
BEGIN
    PERFORM set_config('carillon.tenant', name, true);
    IF make AND NOT EXISTS (SELECT FROM tenants t WHERE t.id = name) THEN
        IF name !~ '^[a-z0-9][a-z0-9_-]{0,62}$' THEN
            RAISE EXCEPTION 'a tenant cannot be called %', quote_literal(name) USING ERRCODE = 'check_violation';
        END IF;
        INSERT INTO tenants (id, epoch, lineage) VALUES (name, carillon.fresh_epoch(), place) ON CONFLICT (id) DO NOTHING;
    END IF;
    IF NOT pg_is_in_recovery() AND EXISTS (SELECT FROM tenants t WHERE t.id = name
        AND (t.tag_seq > t.head OR (place IS NOT NULL AND t.lineage IS DISTINCT FROM place))) THEN
        PERFORM carillon.settle_epochs(ARRAY[name]);
    END IF;
    RETURN QUERY SELECT t.epoch, t.head, CASE WHEN t.tag_seq = t.head THEN t.tag ELSE 0 END, NOT pg_is_in_recovery(),
        p.epochs, p.began_after
        FROM tenants t, (SELECT array_agg(e.epoch ORDER BY e.number DESC) AS epochs,
            array_agg(e.began_after ORDER BY e.number DESC) AS began_after FROM epochs e WHERE e.tenant_id = name) p
        WHERE t.id = name;
END $$;

-- Ends the epoch `old` of a tenant's log if it has lost or changed what somebody delivered from it: event `delivered`,
-- whose tag is `seen` (0: not known). Whoever noticed may have asked another server, so this one looks again, under the
-- lock, and decides nothing on a server that cannot write. Where the log began to differ nobody knows: no cursor of an
-- older epoch is good.
CREATE FUNCTION carillon.end_epoch(name text, old text, delivered bigint, seen bigint) RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    t record;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN false;
    END IF;
    -- Lost with the end of another lineage, or set back: then it is known where.
    PERFORM carillon.settle_epochs(ARRAY[name]);
    PERFORM set_config('carillon.tenant', name, true);
    SELECT id, epoch, head INTO t FROM tenants WHERE id = name AND tenants.epoch = old FOR UPDATE;
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    IF t.head >= delivered AND (seen = 0 OR NOT EXISTS (SELECT FROM events e
        WHERE e.tenant_id = name AND e.seq = delivered AND carillon.tag(e.body) <> seen)) THEN
        RETURN false;
    END IF;
    PERFORM carillon.begin_epoch(name, 0);
    RETURN true;
END $$;

-- What an operator does about a log that another one took the place of and that shows it in no other way. With `keep`
-- nothing was appended since: cursors up to the heads stay good. Run as the owner.
CREATE FUNCTION carillon.rotate_epochs(names text[], keep boolean) RETURNS TABLE (id text, epoch text, head bigint)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    t record;
BEGIN
    PERFORM set_config('carillon.tenant', array_to_string(names, ','), true);
    FOR t IN SELECT id, head FROM tenants WHERE id = ANY (names) ORDER BY id FOR UPDATE LOOP
        PERFORM carillon.begin_epoch(t.id, CASE WHEN keep THEN t.head ELSE 0 END);
    END LOOP;
    RETURN QUERY SELECT id, epoch, head FROM tenants WHERE id = ANY (names) ORDER BY id;
END $$;

-- The services of the release before call this one, without proof: they get a new epoch only where the row itself shows
-- that the log is another.
CREATE OR REPLACE FUNCTION carillon.rotate_epoch(name text, old text) RETURNS TABLE (epoch text, head bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT o.epoch, o.head FROM carillon.open_tenant(name, false) o;
END $$;

REVOKE ALL ON FUNCTION carillon.begin_epoch, carillon.settle_epochs, carillon.open_tenant, carillon.end_epoch,
    carillon.rotate_epochs FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.settle_epochs TO carillon_publisher;
GRANT EXECUTE ON FUNCTION carillon.open_tenant, carillon.end_epoch TO carillon_publisher, carillon_gateway;
