-- A publisher proves that it can write, once in a few seconds, by writing: a full disk, a read-only server and a missing
-- partition are found by the probe, not by the first customer. The rows mean nothing. Each takes most of a page, so each
-- needs new room on the disk; at 1 MiB the table is emptied, unless somebody (a backup) looks at it.

CREATE TABLE carillon.write_probe (
    filler text NOT NULL
) WITH (autovacuum_enabled = false);
ALTER TABLE carillon.write_probe ALTER filler SET STORAGE PLAIN;
ALTER TABLE carillon.write_probe ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.write_probe FORCE ROW LEVEL SECURITY;
CREATE POLICY probe ON carillon.write_probe FOR INSERT TO carillon_owner WITH CHECK (true);

-- An error unless an event could be stored now. Reads the bounds of partitions from the catalogue, without a lock on any.
CREATE FUNCTION carillon.prove_writable() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET timezone = 'UTC' AS $$
BEGIN
    -- The proof is the row, not its way to the disk: a probe must not wait where events do.
    PERFORM set_config('synchronous_commit', 'off', true);
    IF NOT EXISTS (
        SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid,
            LATERAL (SELECT pg_get_expr(c.relpartbound, 0) AS text) AS bounds,
            LATERAL (SELECT substring(bounds.text FROM 'FROM \(''([^'']+)''\)')::timestamptz AS low,
                substring(bounds.text FROM 'TO \(''([^'']+)''\)')::timestamptz AS high) AS day
        WHERE i.inhparent = 'carillon.events'::regclass AND NOT i.inhdetachpending
            AND (bounds.text = 'DEFAULT' OR (coalesce(day.low <= clock_timestamp(), bounds.text LIKE '%FROM (MINVALUE)%')
                AND coalesce(clock_timestamp() < day.high, bounds.text LIKE '%TO (MAXVALUE)')))
    ) THEN
        RAISE EXCEPTION 'the log has no partition for %', clock_timestamp()
            USING ERRCODE = 'check_violation', SCHEMA = 'carillon', TABLE = 'events';
    END IF;
    IF pg_relation_size('carillon.write_probe') >= 1048576 THEN
        BEGIN
            LOCK TABLE carillon.write_probe IN ACCESS EXCLUSIVE MODE NOWAIT;
            TRUNCATE carillon.write_probe;
        EXCEPTION WHEN lock_not_available THEN NULL;
        END;
    END IF;
    INSERT INTO carillon.write_probe VALUES (repeat('x', 7000));
END $$;

REVOKE ALL ON FUNCTION carillon.prove_writable FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.prove_writable TO carillon_publisher;
