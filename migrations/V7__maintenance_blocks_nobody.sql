-- Maintenance that nobody notices: docs/adr/0015-retention-waits-fifty-milliseconds-at-most.md. Publishers of the version
-- before call create_partitions, drop_partitions and forget_keys; they keep their signatures and what they mean.

-- Which process does a task of which there must be one in the installation, and how far that task has come.
CREATE TABLE carillon.maintenance (
    task       text PRIMARY KEY,
    holder     text NOT NULL DEFAULT '',
    held_until timestamptz NOT NULL DEFAULT '-infinity',
    done_to    timestamptz NOT NULL DEFAULT '-infinity'
);
INSERT INTO carillon.maintenance (task) VALUES ('retention'), ('keys');

-- Takes or renews a task's lease if it is free or one's own. Answers who holds it now.
CREATE FUNCTION carillon.lease_maintenance(name text, who text, seconds integer) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    UPDATE maintenance SET holder = who, held_until = clock_timestamp() + make_interval(secs => seconds)
    WHERE task = name AND (holder = who OR held_until < clock_timestamp());
    RETURN (SELECT holder FROM maintenance WHERE task = name);
END $$;

-- The partitions whose newest possible event is older than `keep` days, oldest first.
CREATE FUNCTION carillon.due_partitions(keep integer) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
    SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'carillon.events'::regclass
      AND c.relname ~ '^events_\d{8}$' AND to_date(right(c.relname, 8), 'YYYYMMDD') + 1 <= current_date - keep
    ORDER BY c.relname
$$;

-- Transactions of others that hold a lock on a table or its partition.
CREATE FUNCTION carillon.users_of(part regclass) RETURNS text[]
    LANGUAGE sql VOLATILE SET search_path = carillon, pg_temp AS $$
    SELECT coalesce(array_agg(DISTINCT virtualtransaction), '{}') FROM pg_locks
    WHERE locktype = 'relation' AND relation IN ('carillon.events'::regclass, part) AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND pid IS DISTINCT FROM pg_backend_pid()
$$;

-- Drops the oldest due partition, if nobody has to wait for it. Dropping needs the table for itself for a moment, and
-- whoever comes after such a wish waits behind it. So it is not wished while a transaction of others uses the table for
-- longer than a moment (a backup, a long search): that is looked for first and costs nobody anything. What then still
-- runs is waited for 50 ms at most, and for the partition itself 5 ms. One partition a transaction: a year of them would
-- need more locks than there are.
-- `dropped`: its name. `busy`: why it was not dropped, `user` or `lock`. `due`: how many are left.
CREATE FUNCTION carillon.drop_due_partition(keep integer, OUT dropped text, OUT busy text, OUT due integer)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET lock_timeout = '50ms' AS $$
DECLARE
    part   text;
    before text[];
BEGIN
    SELECT min(name), count(*) INTO part, due FROM due_partitions(keep) AS name;
    IF part IS NULL THEN
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
END $$;

CREATE OR REPLACE FUNCTION carillon.drop_partitions(keep integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    RETURN (SELECT count(d.dropped) FROM carillon.drop_due_partition(keep) AS d);
END $$;

-- Makes the partitions from yesterday to `ahead` days from now, today's first. Made apart and then attached: the log
-- stays writable (attaching conflicts with neither reading nor appending, and an empty table has nothing to validate).
CREATE OR REPLACE FUNCTION carillon.create_partitions(ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    day  date;
    part text;
    made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('carillon.partitions'));
    FOR day IN SELECT current_date + d FROM generate_series(-1, ahead) AS d ORDER BY d < 0, d LOOP
        part := 'events_' || to_char(day, 'YYYYMMDD');
        IF to_regclass('carillon.' || part) IS NULL THEN
            EXECUTE format('CREATE TABLE carillon.%I (LIKE carillon.events INCLUDING ALL)', part);
            EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', part);
            EXECUTE format('ALTER TABLE carillon.events ATTACH PARTITION carillon.%I FOR VALUES FROM (%L) TO (%L)',
                part, day::timestamptz, (day + 1)::timestamptz);
            made := made + 1;
        ELSIF NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'carillon.events'::regclass
                AND inhrelid = to_regclass('carillon.' || part) AND NOT inhdetachpending) THEN
            RAISE EXCEPTION 'carillon.% is there and is no partition of carillon.events: attach it or rename it', part
                USING ERRCODE = 'duplicate_table';
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- How many days from today on have a partition without a gap (0: nothing can be appended), and how many are due.
CREATE FUNCTION carillon.partition_state(keep integer, OUT ahead integer, OUT due integer)
    LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    ahead := 0;
    WHILE EXISTS (SELECT FROM pg_inherits WHERE inhparent = 'carillon.events'::regclass AND NOT inhdetachpending
            AND inhrelid = to_regclass('carillon.events_' || to_char(current_date + ahead, 'YYYYMMDD'))) LOOP
        ahead := ahead + 1;
    END LOOP;
    due := (SELECT count(*) FROM due_partitions(keep));
END $$;

-- Forgets at most `most` idempotency keys older than `hours`, oldest first. While there are more, `done_to` is where the
-- next slice begins, or it would walk again over what the slices before it have left in the index until VACUUM comes. A
-- slice that is not full ends the sweep; the next one begins at the oldest key again, however it came there.
-- `overdue`: for how many seconds the oldest key that is left should have been gone; 0 when none is due.
CREATE FUNCTION carillon.forget_some_keys(hours integer, most integer, OUT forgotten bigint, OUT overdue double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    bound timestamptz := now() - make_interval(hours => hours);
    start timestamptz;
    reach timestamptz;
BEGIN
    SELECT done_to INTO start FROM maintenance WHERE task = 'keys' FOR UPDATE;
    IF start > bound THEN
        start := '-infinity'; -- the clock was set back
    END IF;
    PERFORM set_config('carillon.maintenance', 'on', true);
    WITH gone AS (
        DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE at >= start AND at < bound ORDER BY at LIMIT most))
        RETURNING at
    ) SELECT count(*), max(at) INTO forgotten, reach FROM gone;
    PERFORM set_config('carillon.maintenance', '', true);
    IF forgotten < most THEN
        UPDATE maintenance SET done_to = '-infinity' WHERE task = 'keys' AND done_to <> '-infinity';
        overdue := 0;
    ELSE
        UPDATE maintenance SET done_to = reach WHERE task = 'keys';
        overdue := extract(epoch FROM bound - reach);
    END IF;
END $$;

-- As many slices as fit in a second.
CREATE OR REPLACE FUNCTION carillon.forget_keys(hours integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    most  constant integer := 5000;
    began timestamptz := clock_timestamp();
    slice bigint := most;
    total bigint := 0;
BEGIN
    WHILE slice = most AND clock_timestamp() < began + interval '1 s' LOOP
        slice := (SELECT forgotten FROM carillon.forget_some_keys(hours, most));
        total := total + slice;
    END LOOP;
    RETURN total;
END $$;

REVOKE ALL ON FUNCTION carillon.lease_maintenance, carillon.drop_due_partition, carillon.partition_state,
    carillon.forget_some_keys, carillon.due_partitions, carillon.users_of FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.lease_maintenance, carillon.drop_due_partition, carillon.partition_state,
    carillon.forget_some_keys TO carillon_publisher;
