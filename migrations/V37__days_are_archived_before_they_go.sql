-- The archive: what retention drops is copied out before (docs/adr/0020). Publishers copy a day's partition tenant by tenant into a
-- directory or a bucket, read it back, and say here that it is whole; only then drop_due_partition drops it. Off until a publisher has
-- said that there is an archive, and from then on in force, whichever publishers run, until an operator ends it (archive_off): a publisher
-- of the version before, or without the variable, is held back by the function all the same, and so is one while nobody copies.

CREATE TABLE carillon.archive (
    one          boolean PRIMARY KEY DEFAULT true CHECK (one),
    installation text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', ''), -- whose archive it is
    wanted       boolean NOT NULL DEFAULT false, -- a publisher has said that there is an archive, and nobody that there is none any more
    said_at      timestamptz NOT NULL DEFAULT '-infinity', -- when a publisher said so last, within some seconds
    marked       text,                                     -- where it has left its mark: elsewhere it begins anew
    fault        text,                                     -- why a day is not archived; null: none is held up
    fault_since  timestamptz
);
INSERT INTO carillon.archive DEFAULT VALUES;

-- Days whose copy was read back and is whole, and days that could not be archived for a reason of their own. It goes with the partition.
CREATE TABLE carillon.archive_days (
    day         date PRIMARY KEY,
    verified_at timestamptz NOT NULL DEFAULT '-infinity',
    failed_at   timestamptz                -- when it was tried last; null: it did not fail
);

-- What is copied of a day that is under way: where a publisher goes on after another died. It goes with the partition.
CREATE TABLE carillon.archive_objects (
    day       date NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    entry     text NOT NULL,               -- what the day's manifest says of it, as JSON
    PRIMARY KEY (day, tenant_id)
);
ALTER TABLE carillon.archive_objects ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.archive_objects FORCE  ROW LEVEL SECURITY;
CREATE POLICY maintenance ON carillon.archive_objects TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

INSERT INTO carillon.maintenance (task) VALUES ('archive');

-- How long a copy that was read back is trusted: a partition that could not be dropped within an hour is verified again.
CREATE FUNCTION carillon.archive_is_fresh(verified timestamptz) RETURNS boolean
    LANGUAGE sql STABLE RETURN coalesce(verified > now() - interval '1 hour', false);

-- How the archive is: whether there is one, how many days are due and not verified, and why one is held up.
CREATE FUNCTION carillon.archive_state(keep integer, OUT wanted boolean, OUT waiting integer, OUT fault text, OUT seconds double precision)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    SELECT a.wanted, a.fault, coalesce(extract(epoch FROM now() - a.fault_since), 0)
        INTO wanted, fault, seconds FROM archive a;
    waiting := CASE WHEN wanted THEN (SELECT count(*) FROM due_partitions(keep) AS part LEFT JOIN archive_days d
        ON d.day = to_date(right(part, 8), 'YYYYMMDD') WHERE NOT archive_is_fresh(d.verified_at)) ELSE 0 END;
END $$;

-- Says that there is an archive, there, and answers whose and where its mark is, and the oldest due day that is not verified, if there is
-- one. Those that failed come after the others, the one that was tried last at the end. What was verified in another place does not count.
CREATE FUNCTION carillon.next_to_archive(keep integer, place text, OUT installation text, OUT marked text, OUT day date)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_column
BEGIN
    UPDATE archive a SET wanted = true, said_at = now() WHERE NOT a.wanted OR a.said_at < now() - interval '10 seconds';
    SELECT a.installation, a.marked INTO installation, marked FROM archive a;
    IF marked <> place THEN
        DELETE FROM archive_days;
    END IF;
    SELECT p.of INTO day FROM (SELECT to_date(right(name, 8), 'YYYYMMDD') AS of FROM due_partitions(keep) AS name) AS p
        LEFT JOIN archive_days d ON d.day = p.of WHERE NOT archive_is_fresh(d.verified_at) ORDER BY d.failed_at NULLS FIRST, p.of LIMIT 1;
END $$;

-- Tenants by name after one, at most `most`, each with its epoch and its first and last number of a day; null: it has no event then.
CREATE FUNCTION carillon.tenants_to_archive(of date, after text, most integer)
    RETURNS TABLE (tenant text, epoch text, first bigint, last bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' SET plan_cache_mode = force_custom_plan
    SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    since timestamptz := of::timestamptz;
    until timestamptz := (of + 1)::timestamptz;
    names text[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    names := ARRAY(SELECT t.id FROM tenants t WHERE t.id > after ORDER BY t.id LIMIT most);
    PERFORM set_config('carillon.maintenance', '', true);
    PERFORM set_config('carillon.tenant', array_to_string(names, ','), true);
    RETURN QUERY SELECT t.id, t.epoch,
            (SELECT e.seq FROM events e WHERE e.tenant_id = t.id AND e.at >= since AND e.at < until ORDER BY e.seq LIMIT 1),
            (SELECT e.seq FROM events e WHERE e.tenant_id = t.id AND e.at >= since AND e.at < until ORDER BY e.seq DESC LIMIT 1)
        FROM tenants t WHERE t.id = ANY (names) ORDER BY t.id;
    PERFORM set_config('carillon.tenant', '', true);
END $$;

-- The mark of this installation stands there. What is known of another place is not true of this one.
CREATE FUNCTION carillon.archive_is_marked(place text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    UPDATE archive SET marked = place WHERE marked IS DISTINCT FROM place;
    IF FOUND THEN
        PERFORM set_config('carillon.maintenance', 'on', true);
        DELETE FROM archive_objects;
        PERFORM set_config('carillon.maintenance', '', true);
        DELETE FROM archive_days;
    END IF;
END $$;

-- There is no archive any more: what is past retention is dropped, copied or not. False, and nothing is done, while a publisher still has
-- one: it said so within half a minute, or is copying. For owners.
CREATE FUNCTION carillon.archive_off() RETURNS boolean
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM FROM archive FOR UPDATE;
    IF EXISTS (SELECT FROM archive a WHERE a.said_at > clock_timestamp() - interval '30 seconds')
        OR EXISTS (SELECT FROM maintenance m WHERE m.task = 'archive' AND m.held_until > clock_timestamp()) THEN
        RETURN false;
    END IF;
    PERFORM archive_is_marked(NULL);
    UPDATE archive SET wanted = false, fault = NULL, fault_since = NULL;
    RETURN true;
END $$;

-- Keeps what the manifest will say of a tenant's copy; null: it is to be copied anew.
CREATE FUNCTION carillon.keep_archived(of date, tenant text, said text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF said IS NULL THEN
        DELETE FROM archive_objects o WHERE o.day = of AND o.tenant_id = tenant;
    ELSE
        INSERT INTO archive_objects (day, tenant_id, entry) VALUES (of, tenant, said)
            ON CONFLICT (day, tenant_id) DO UPDATE SET entry = excluded.entry;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- What is kept of a day: of tenants after this one, by name.
CREATE FUNCTION carillon.kept_archived(of date, after text, most integer) RETURNS TABLE (tenant text, entry text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT o.tenant_id, o.entry FROM archive_objects o WHERE o.day = of AND o.tenant_id > after
        ORDER BY o.tenant_id LIMIT most;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Forgets what is kept of a day: its copies are made anew.
CREATE FUNCTION carillon.forget_archived(of date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM archive_objects o WHERE o.day = of;
    DELETE FROM archive_days d WHERE d.day = of;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

-- Says that a day's copy was read back there and is whole. Nothing is kept if the mark is in another place meanwhile.
CREATE FUNCTION carillon.day_is_archived(of date, place text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
    INSERT INTO archive_days (day, verified_at) SELECT of, now() FROM archive a WHERE a.marked = place
        ON CONFLICT (day) DO UPDATE SET verified_at = excluded.verified_at, failed_at = NULL;
$$;

-- Keeps why a day is not archived, for all publishers to tell; null: the last attempt did not fail, and nothing is to be told while no other
-- day is held up. `of`: the day, if the reason is its own; others are tried before it.
CREATE FUNCTION carillon.note_archive(why text, of date) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    IF why IS NOT NULL AND of IS NOT NULL THEN
        INSERT INTO archive_days (day, failed_at) VALUES (of, now())
            ON CONFLICT (day) DO UPDATE SET verified_at = '-infinity', failed_at = excluded.failed_at;
    ELSIF why IS NULL AND EXISTS (SELECT FROM archive_days d
            WHERE d.failed_at IS NOT NULL AND to_regclass('carillon.events_' || to_char(d.day, 'YYYYMMDD')) IS NOT NULL) THEN
        RETURN;
    END IF;
    UPDATE archive a SET fault = left(why, 1000), fault_since = CASE WHEN why IS NOT NULL THEN coalesce(a.fault_since, now()) END
        WHERE a.fault IS DISTINCT FROM left(why, 1000);
END $$;

-- As in V7; while there is an archive, the oldest due partition of a day that was said to be archived within the last hour. `busy` is `archive` when
-- there is none.
CREATE OR REPLACE FUNCTION carillon.drop_due_partition(keep integer, OUT dropped text, OUT busy text, OUT due integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
    part   text;
    before text[];
    wanted boolean := (SELECT a.wanted FROM archive a);
BEGIN
    SELECT count(*), min(name) FILTER (WHERE NOT wanted OR archive_is_fresh(d.verified_at)) INTO due, part
        FROM due_partitions(keep) AS name LEFT JOIN archive_days d ON d.day = to_date(right(name, 8), 'YYYYMMDD');
    IF due = 0 THEN
        RETURN;
    END IF;
    IF part IS NULL THEN
        busy := 'archive';
        RETURN;
    END IF;
    before := users_of(to_regclass(part));
    IF before <> '{}' THEN
        PERFORM pg_sleep(0.05);
        IF before && users_of(to_regclass(part)) THEN
            busy := 'user';
            RETURN;
        END IF;
    END IF;
    BEGIN
        LOCK TABLE ONLY carillon.events IN ACCESS EXCLUSIVE MODE;
        PERFORM set_config('lock_timeout', '5ms', true); -- for the partition, while everybody waits
        EXECUTE format('DROP TABLE carillon.%I', part);
        dropped := part;
        due := due - 1;
    EXCEPTION
        WHEN lock_not_available THEN busy := 'lock';
        WHEN undefined_table THEN busy := 'lock'; -- another process was quicker
    END;
    IF dropped IS NOT NULL THEN
        PERFORM forget_archived(to_date(right(part, 8), 'YYYYMMDD'));
    END IF;
END $$;

REVOKE ALL ON FUNCTION carillon.archive_is_fresh, carillon.archive_state, carillon.next_to_archive, carillon.archive_is_marked, carillon.archive_off, carillon.tenants_to_archive,
    carillon.keep_archived, carillon.kept_archived, carillon.forget_archived, carillon.day_is_archived, carillon.note_archive FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.archive_state, carillon.next_to_archive, carillon.archive_is_marked, carillon.tenants_to_archive,
    carillon.keep_archived, carillon.kept_archived, carillon.day_is_archived, carillon.note_archive TO carillon_publisher;
