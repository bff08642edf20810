-- Tickets: each lets one WebSocket or event stream in, within seconds, as whom its token named. Stored as a hash: who reads the table
-- can come in with none of them. No role reads it: publishers issue, gateways redeem, through functions.

CREATE TABLE carillon.tickets (
    hash       bytea PRIMARY KEY,             -- SHA-256 of the ticket, which is 32 random bytes
    tenant_id  text COLLATE "C" NOT NULL,
    user_id    text COLLATE "C" NOT NULL,
    identity   jsonb NOT NULL,                -- whom it lets in, as the token said (platform/src/auth/ticket.rs)
    expires_at timestamptz NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
CREATE INDEX tickets_of_user ON carillon.tickets (tenant_id, user_id);
CREATE INDEX tickets_due ON carillon.tickets (expires_at);

ALTER TABLE carillon.tickets ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.tickets FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.tickets USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
-- A ticket tells the tenant; until it is found nobody knows which.
CREATE POLICY maintenance ON carillon.tickets TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Stores a ticket, unless the person has `most` that nobody has used yet. One person's are issued one after another.
CREATE FUNCTION carillon.issue_ticket(ticket bytea, tenant text, person text, claims jsonb, seconds integer, most integer)
    RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.tenant', tenant, true);
    PERFORM pg_advisory_xact_lock(hashtextextended('carillon.ticket ' || tenant || ' ' || person, 0));
    IF (SELECT count(*) FROM tickets
        WHERE tenant_id = tenant AND user_id = person AND expires_at > clock_timestamp()) >= most THEN
        RETURN false;
    END IF;
    INSERT INTO tickets (hash, tenant_id, user_id, identity, expires_at)
    VALUES (ticket, tenant, person, claims, clock_timestamp() + make_interval(secs => seconds));
    RETURN true;
END $$;

-- Takes a ticket and answers whom it lets in; nothing if there is none, its time is over, or another handshake was first: of two that
-- delete the same row, the second waits for the first and finds it gone.
CREATE FUNCTION carillon.redeem_ticket(ticket bytea) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    found text;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM tickets t WHERE t.hash = ticket AND t.expires_at > clock_timestamp() RETURNING t.identity::text INTO found;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN found;
END $$;

-- Forgets at most so many tickets whose time is over.
CREATE FUNCTION carillon.forget_tickets(most integer) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
DECLARE
    forgotten bigint;
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    DELETE FROM tickets WHERE hash IN (
        SELECT hash FROM tickets WHERE expires_at < now() ORDER BY expires_at LIMIT most FOR UPDATE SKIP LOCKED);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    PERFORM set_config('carillon.maintenance', '', true);
    RETURN forgotten;
END $$;

REVOKE ALL ON FUNCTION carillon.issue_ticket, carillon.redeem_ticket, carillon.forget_tickets FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.issue_ticket, carillon.forget_tickets TO carillon_publisher;
GRANT EXECUTE ON FUNCTION carillon.redeem_ticket TO carillon_gateway;
