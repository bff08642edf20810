-- Dropping a partition holds the log for a moment, and what is kept of its day's copies may be a row for each of hundreds of thousands of
-- tenants. The drop leaves them; they are deleted afterwards, in slices.

-- Days whose rows in `archive_objects` are about a partition that was dropped. One that comes back meanwhile (a restored backup) is not
-- taken for copied: it is archived when they are gone.
CREATE TABLE carillon.archive_dropped (day date PRIMARY KEY);

-- As in V37, but for archive_objects.
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
        DELETE FROM archive_days d WHERE d.day = to_date(right(part, 8), 'YYYYMMDD');
        PERFORM set_config('carillon.maintenance', 'on', true);
        INSERT INTO archive_dropped (day) SELECT of.day FROM (SELECT to_date(right(part, 8), 'YYYYMMDD') AS day) AS of
            WHERE EXISTS (SELECT FROM archive_objects o WHERE o.day = of.day) ON CONFLICT DO NOTHING;
        PERFORM set_config('carillon.maintenance', '', true);
    END IF;
END $$;

-- As in V37, but for days that were dropped and are not forgotten.
CREATE OR REPLACE FUNCTION carillon.next_to_archive(keep integer, place text, OUT installation text, OUT marked text, OUT day date)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
#variable_conflict use_column
BEGIN
    UPDATE archive a SET wanted = true, said_at = now() WHERE NOT a.wanted OR a.said_at < now() - interval '10 seconds';
    SELECT a.installation, a.marked INTO installation, marked FROM archive a;
    IF marked <> place THEN
        DELETE FROM archive_days;
    END IF;
    SELECT p.of INTO day FROM (SELECT to_date(right(name, 8), 'YYYYMMDD') AS of FROM due_partitions(keep) AS name) AS p
        LEFT JOIN archive_days d ON d.day = p.of WHERE NOT archive_is_fresh(d.verified_at)
            AND NOT EXISTS (SELECT FROM archive_dropped g WHERE g.day = p.of)
        ORDER BY d.failed_at NULLS FIRST, p.of LIMIT 1;
END $$;

-- Deletes at most so many rows about copies of a day whose partition was dropped or is not there; how many. What another process deletes is
-- passed over.
CREATE FUNCTION carillon.forget_some_archived(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    of      date := (SELECT min(g.day) FROM archive_dropped g);
    deleted integer := 0;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    IF of IS NULL THEN
        of := (SELECT min(o.day) FROM archive_objects o);
        WHILE of IS NOT NULL AND to_regclass('carillon.events_' || to_char(of, 'YYYYMMDD')) IS NOT NULL LOOP
            of := (SELECT min(o.day) FROM archive_objects o WHERE o.day > of);
        END LOOP;
    END IF;
    IF of IS NOT NULL THEN
        DELETE FROM archive_objects WHERE (day, tenant_id) IN (
            SELECT o.day, o.tenant_id FROM archive_objects o WHERE o.day = of ORDER BY o.tenant_id LIMIT most FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS deleted = ROW_COUNT;
        IF deleted < most AND NOT EXISTS (SELECT FROM archive_objects o WHERE o.day = of) THEN
            DELETE FROM archive_dropped g WHERE g.day = of;
        END IF;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN deleted;
END $$;

REVOKE ALL ON FUNCTION carillon.forget_some_archived FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_some_archived TO carillon_publisher;
