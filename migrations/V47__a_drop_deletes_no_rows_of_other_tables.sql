-- Dropping a partition holds the log for a moment, and what is kept of its day's copies may be a row for each of hundreds of thousands of
-- tenants. The drop leaves them; they are deleted afterwards, in slices.

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
    END IF;
END $$;

-- Deletes at most so many rows about copies of a day whose partition is gone; how many. What another process deletes is passed over.
CREATE FUNCTION carillon.forget_some_archived(most integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    of      date;
    deleted integer := 0;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    of := (SELECT min(o.day) FROM archive_objects o);
    WHILE of IS NOT NULL AND to_regclass('carillon.events_' || to_char(of, 'YYYYMMDD')) IS NOT NULL LOOP
        of := (SELECT min(o.day) FROM archive_objects o WHERE o.day > of);
    END LOOP;
    IF of IS NOT NULL THEN
        DELETE FROM archive_objects WHERE (day, tenant_id) IN (
            SELECT o.day, o.tenant_id FROM archive_objects o WHERE o.day = of ORDER BY o.tenant_id LIMIT most FOR UPDATE SKIP LOCKED);
        GET DIAGNOSTICS deleted = ROW_COUNT;
    END IF;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN deleted;
END $$;

REVOKE ALL ON FUNCTION carillon.forget_some_archived FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_some_archived TO carillon_publisher;
