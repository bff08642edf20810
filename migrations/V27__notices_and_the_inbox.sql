-- Notices: an event that is also an entry in people's inboxes, stored by the append's own statement. A notice has an audience of
-- channels, one row a channel; nothing is written for each person but where that person departs from a watermark. Every watermark
-- is a seq of the tenant's log.

CREATE TABLE carillon.notices (
    tenant_id    text COLLATE "C" NOT NULL,
    seq          bigint NOT NULL,             -- of its event
    id           text COLLATE "C" NOT NULL,   -- of its event
    channels     text[] COLLATE "C" NOT NULL,
    type         text COLLATE "C" NOT NULL,
    priority     text COLLATE "C" NOT NULL,
    title        text NOT NULL,
    body         text,
    action       text,                        -- where a click leads
    data         text,                        -- JSON
    "group"      text COLLATE "C",            -- notices of one group are one entry
    requires_ack boolean NOT NULL,
    expires_at   timestamptz,
    retracted_at timestamptz,
    actor        text COLLATE "C",
    time         timestamptz NOT NULL,        -- of its event
    at           timestamptz NOT NULL,        -- when it was stored: what retention goes by
    PRIMARY KEY (tenant_id, seq)
);
CREATE INDEX notices_id ON carillon.notices (tenant_id, id);
CREATE INDEX notices_at ON carillon.notices (at);

-- Whom a notice is for. An inbox is a merge of short scans of the primary key, one for each channel of its person.
CREATE TABLE carillon.notice_audience (
    tenant_id text COLLATE "C" NOT NULL,
    channel   text COLLATE "C" NOT NULL,
    seq       bigint NOT NULL,
    "group"   text COLLATE "C",
    PRIMARY KEY (tenant_id, channel, seq)
);
CREATE INDEX notice_audience_group ON carillon.notice_audience (tenant_id, channel, "group", seq) WHERE "group" IS NOT NULL;

-- One row a person, made when they are first seen. All but the version are seqs and only move forward.
CREATE TABLE carillon.inbox_state (
    tenant_id   text COLLATE "C" NOT NULL,
    user_id     text COLLATE "C" NOT NULL,
    since       bigint NOT NULL,              -- the head when they were first seen: what went to many before is not theirs
    read_to     bigint NOT NULL DEFAULT 0,
    seen_to     bigint NOT NULL DEFAULT 0,
    archived_to bigint NOT NULL DEFAULT 0,
    cleared_to  bigint NOT NULL DEFAULT 0,    -- nothing up to here is in the inbox any more
    version     bigint NOT NULL DEFAULT 1,    -- one more with every change
    first_seen  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);

-- Where a person departs from their watermarks. Null: as the watermark says.
CREATE TABLE carillon.inbox_marks (
    tenant_id     text COLLATE "C" NOT NULL,
    user_id       text COLLATE "C" NOT NULL,
    seq           bigint NOT NULL,
    read          boolean,
    archived      boolean,
    deleted       boolean NOT NULL DEFAULT false,
    deleted_with  bigint,                     -- the entry with which it was deleted: what brings that back brings this back
    snoozed_until timestamptz,
    acked_at      timestamptz,
    PRIMARY KEY (tenant_id, user_id, seq)
) WITH (fillfactor = 80);
-- Of one notice: who has taken note, and what goes with it. Nothing in it changes with a mark, so marks stay on their page (HOT).
CREATE INDEX inbox_marks_seq ON carillon.inbox_marks (tenant_id, seq, user_id);

-- Who has a channel in their inbox that neither their name nor their roles give them, and since which seq.
CREATE TABLE carillon.followers (
    tenant_id text COLLATE "C" NOT NULL,
    channel   text COLLATE "C" NOT NULL,
    user_id   text COLLATE "C" NOT NULL,
    since     bigint NOT NULL,
    PRIMARY KEY (tenant_id, channel, user_id)
);
CREATE INDEX followers_user ON carillon.followers (tenant_id, user_id);

-- How often a tenant's notices changed after they were stored. With the newest notice and a person's version it says whether
-- an inbox is as it was.
CREATE TABLE carillon.notice_changes (
    tenant_id text COLLATE "C" PRIMARY KEY,
    changes   bigint NOT NULL
) WITH (fillfactor = 50);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['notices', 'notice_audience', 'inbox_state', 'inbox_marks', 'followers', 'notice_changes'] LOOP
        EXECUTE format('ALTER TABLE carillon.%I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE carillon.%I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY tenant_reads ON carillon.%I FOR SELECT
            USING (tenant_id = ANY ((SELECT carillon.scope())::text[]))', name);
        EXECUTE format('CREATE POLICY tenant_writes ON carillon.%I FOR INSERT
            WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())))', name);
        EXECUTE format('CREATE POLICY tenant_changes ON carillon.%I FOR UPDATE
            USING (tenant_id = ANY ((SELECT carillon.scope())::text[]))', name);
        EXECUTE format('CREATE POLICY tenant_deletes ON carillon.%I FOR DELETE
            USING (tenant_id = ANY ((SELECT carillon.scope())::text[]))', name);
        EXECUTE format('CREATE POLICY maintenance ON carillon.%I TO carillon_owner
            USING (current_setting(''carillon.maintenance'', true) = ''on'')', name);
    END LOOP;
END $$;

GRANT SELECT, INSERT, UPDATE (retracted_at) ON carillon.notices TO carillon_publisher;
GRANT SELECT, INSERT ON carillon.notice_audience TO carillon_publisher;
GRANT SELECT, INSERT, UPDATE ON carillon.inbox_state, carillon.notice_changes TO carillon_publisher;
GRANT SELECT, INSERT, UPDATE, DELETE ON carillon.inbox_marks TO carillon_publisher;
GRANT SELECT, INSERT, DELETE ON carillon.followers TO carillon_publisher;

-- A gateway counts for a welcome; what notices say is none of its business.
GRANT SELECT ON carillon.notice_audience, carillon.inbox_state, carillon.inbox_marks, carillon.followers,
    carillon.notice_changes TO carillon_gateway;
GRANT SELECT (tenant_id, seq, type, "group", requires_ack, expires_at, retracted_at) ON carillon.notices TO carillon_gateway;

INSERT INTO carillon.maintenance (task) VALUES ('notices');

-- The row of a person who is seen for the first time: it begins at the head. For whoever has one, nothing.
CREATE FUNCTION carillon.open_inbox(tenant text, person text) RETURNS void
    LANGUAGE sql SECURITY DEFINER SET search_path = carillon, pg_temp
BEGIN ATOMIC
    INSERT INTO carillon.inbox_state (tenant_id, user_id, since)
        SELECT t.id, person, t.head FROM carillon.tenants t WHERE t.id = tenant ON CONFLICT DO NOTHING;
END;

REVOKE ALL ON FUNCTION carillon.open_inbox FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.open_inbox TO carillon_publisher, carillon_gateway;

-- What a person does with one entry. `channels` are those whose notices are theirs, each with the seq after which they are. Whoever
-- comes second waits for the person's row, and every statement sees what was committed before it got that. `outcome`: done, missing
-- (no such notice in this inbox) or not_asked (an ack of a notice that asks for none). What is done to the newest of a group is done to
-- those of the 500 newest of it up to there that are as it is, archived or not, and not deleted; what is brought back brings back what
-- was deleted with it. `changed`: whose flags are others now.
CREATE FUNCTION carillon.mark_notice(tenant text, person text, channels text[], floors bigint[], notice bigint, deed text,
    until timestamptz, OUT outcome text, OUT changed bigint[])
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    at   inbox_state;
    was  notices;
    mine bigint[];
    away boolean;
BEGIN
    SELECT s.* INTO at FROM inbox_state s WHERE s.tenant_id = tenant AND s.user_id = person FOR UPDATE;
    SELECT n.* INTO was FROM notices n
        LEFT JOIN inbox_marks m ON m.tenant_id = tenant AND m.user_id = person AND m.seq = n.seq
        WHERE n.tenant_id = tenant AND n.seq = notice AND n.retracted_at IS NULL
            AND (n.expires_at IS NULL OR n.expires_at > now()) AND (deed = 'restore' OR NOT coalesce(m.deleted, false))
            AND EXISTS (SELECT FROM unnest(mark_notice.channels, mark_notice.floors) AS c(channel, floor)
                JOIN notice_audience a ON a.tenant_id = tenant AND a.channel = c.channel AND a.seq = notice
                WHERE a.seq > greatest(c.floor, at.cleared_to));
    IF NOT FOUND THEN
        outcome := 'missing';
        RETURN;
    END IF;
    IF deed = 'ack' AND NOT was.requires_ack THEN
        outcome := 'not_asked';
        RETURN;
    END IF;
    mine := ARRAY[notice];
    IF was."group" IS NOT NULL AND deed NOT IN ('ack', 'unread') THEN
        away := coalesce((SELECT m.archived FROM inbox_marks m WHERE m.tenant_id = tenant AND m.user_id = person AND m.seq = notice),
            notice <= at.archived_to);
        SELECT array_agg(g.seq) INTO mine FROM (
            SELECT DISTINCT a.seq FROM unnest(mark_notice.channels, mark_notice.floors) AS c(channel, floor) CROSS JOIN LATERAL (
                SELECT a.seq FROM notice_audience a
                WHERE a.tenant_id = tenant AND a.channel = c.channel AND a."group" = was."group"
                    AND a.seq > greatest(c.floor, at.cleared_to) AND a.seq <= notice
                ORDER BY a.seq DESC LIMIT 500) AS a
            ORDER BY a.seq DESC LIMIT 500) AS g
            LEFT JOIN inbox_marks m ON m.tenant_id = tenant AND m.user_id = person AND m.seq = g.seq
        WHERE g.seq = notice OR CASE deed WHEN 'restore' THEN m.deleted_with = notice
            ELSE NOT coalesce(m.deleted, false) AND coalesce(m.archived, g.seq <= at.archived_to) = away END;
    END IF;
    WITH wanted AS (
        SELECT x.seq,
            CASE deed WHEN 'read' THEN nullif(true, x.seq <= at.read_to)
                WHEN 'ack' THEN nullif(true, x.seq <= at.read_to)
                WHEN 'unread' THEN nullif(false, x.seq <= at.read_to)
                WHEN 'snooze' THEN CASE WHEN until IS NULL THEN m.read ELSE false END ELSE m.read END AS read,
            CASE deed WHEN 'archive' THEN nullif(true, x.seq <= at.archived_to)
                WHEN 'unarchive' THEN nullif(false, x.seq <= at.archived_to)
                WHEN 'snooze' THEN CASE WHEN until IS NULL THEN m.archived ELSE false END ELSE m.archived END AS archived,
            CASE deed WHEN 'delete' THEN true WHEN 'restore' THEN false ELSE coalesce(m.deleted, false) END AS deleted,
            CASE deed WHEN 'delete' THEN notice WHEN 'restore' THEN NULL ELSE m.deleted_with END AS deleted_with,
            CASE deed WHEN 'snooze' THEN until ELSE m.snoozed_until END AS snoozed_until,
            CASE deed WHEN 'ack' THEN coalesce(m.acked_at, now()) ELSE m.acked_at END AS acked_at,
            m.read AS old_read, m.archived AS old_archived, coalesce(m.deleted, false) AS old_deleted,
            m.deleted_with AS old_deleted_with,
            m.snoozed_until AS old_snoozed_until, m.acked_at AS old_acked_at
        FROM unnest(mine) AS x(seq)
            LEFT JOIN inbox_marks m ON m.tenant_id = tenant AND m.user_id = person AND m.seq = x.seq
    ), written AS (
        INSERT INTO inbox_marks (tenant_id, user_id, seq, read, archived, deleted, deleted_with, snoozed_until, acked_at)
        SELECT tenant, person, w.seq, w.read, w.archived, w.deleted, w.deleted_with, w.snoozed_until, w.acked_at FROM wanted w
        WHERE (w.read, w.archived, w.deleted, w.deleted_with, w.snoozed_until, w.acked_at) IS DISTINCT FROM
            (w.old_read, w.old_archived, w.old_deleted, w.old_deleted_with, w.old_snoozed_until, w.old_acked_at)
        ON CONFLICT (tenant_id, user_id, seq) DO UPDATE SET read = excluded.read, archived = excluded.archived,
            deleted = excluded.deleted, deleted_with = excluded.deleted_with, snoozed_until = excluded.snoozed_until, acked_at = excluded.acked_at
        RETURNING inbox_marks.seq
    ) SELECT array_agg(w.seq ORDER BY w.seq DESC) INTO changed FROM written w;
    outcome := 'done';
    changed := coalesce(changed, '{}');
    IF cardinality(changed) > 0 THEN
        DELETE FROM inbox_marks m WHERE m.tenant_id = tenant AND m.user_id = person AND m.seq = ANY (changed)
            AND m.read IS NULL AND m.archived IS NULL AND NOT m.deleted AND m.snoozed_until IS NULL AND m.acked_at IS NULL;
        UPDATE inbox_state s SET version = s.version + 1 WHERE s.tenant_id = tenant AND s.user_id = person;
    END IF;
END $$;

-- Moves a watermark of a person forward to a seq, at most to the head, and takes marks away that say the same or the contrary up to
-- there. What is put off until a time stays as it is, unless the inbox is cleared. Acks stay. `reached`: where the watermark is now;
-- null: there is no such person.
CREATE FUNCTION carillon.advance_inbox(tenant text, person text, deed text, up_to bigint, OUT reached bigint, OUT moved boolean)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
DECLARE
    at       inbox_state;
    goal     bigint;
    affected bigint := 0;
BEGIN
    SELECT s.* INTO at FROM inbox_state s WHERE s.tenant_id = tenant AND s.user_id = person FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT least(up_to, t.head) INTO goal FROM tenants t WHERE t.id = tenant;
    reached := greatest(goal, CASE deed WHEN 'read' THEN at.read_to WHEN 'seen' THEN at.seen_to
        WHEN 'archive' THEN at.archived_to WHEN 'clear' THEN at.cleared_to END);
    moved := reached > CASE deed WHEN 'read' THEN at.read_to WHEN 'seen' THEN at.seen_to
        WHEN 'archive' THEN at.archived_to WHEN 'clear' THEN at.cleared_to END;
    IF deed = 'clear' THEN
        DELETE FROM inbox_marks m WHERE m.tenant_id = tenant AND m.user_id = person AND m.seq <= reached AND m.acked_at IS NULL;
    ELSIF deed IN ('read', 'archive') THEN
        UPDATE inbox_marks m SET read = CASE deed WHEN 'read' THEN NULL ELSE m.read END,
            archived = CASE deed WHEN 'archive' THEN NULL ELSE m.archived END
            WHERE m.tenant_id = tenant AND m.user_id = person AND m.seq <= goal
                AND CASE deed WHEN 'read' THEN m.read IS NOT NULL ELSE m.archived IS NOT NULL END
                AND (m.snoozed_until IS NULL OR m.snoozed_until <= now());
        GET DIAGNOSTICS affected = ROW_COUNT;
        DELETE FROM inbox_marks m WHERE m.tenant_id = tenant AND m.user_id = person AND m.seq <= goal
            AND m.read IS NULL AND m.archived IS NULL AND NOT m.deleted AND m.acked_at IS NULL
            AND (m.snoozed_until IS NULL OR m.snoozed_until <= now());
    END IF;
    moved := moved OR affected > 0;
    IF moved THEN
        UPDATE inbox_state s SET version = s.version + 1,
            read_to = CASE deed WHEN 'read' THEN reached ELSE s.read_to END,
            seen_to = CASE deed WHEN 'seen' THEN reached ELSE s.seen_to END,
            archived_to = CASE deed WHEN 'archive' THEN reached ELSE s.archived_to END,
            cleared_to = CASE deed WHEN 'clear' THEN reached ELSE s.cleared_to END
            WHERE s.tenant_id = tenant AND s.user_id = person;
    END IF;
END $$;

-- Forgets at most `most` of the oldest notices that were stored more than `days` ago, with whom they were for, and at most as many marks
-- on them: a notice that many have marked goes when its marks have gone, some calls later. `overdue`: for how many seconds the oldest
-- that is left should have been gone; 0 when none is due.
CREATE FUNCTION carillon.forget_some_notices(days integer, most integer, OUT forgotten bigint, OUT overdue double precision)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp SET enable_seqscan = off AS $$
DECLARE
    bound  timestamptz := now() - make_interval(days => days);
    marks  bigint;
    whose  text[];
    seqs   bigint[];
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    SELECT array_agg(o.tenant_id), array_agg(o.seq) INTO whose, seqs FROM (
        SELECT n.tenant_id, n.seq FROM notices n WHERE n.at < bound ORDER BY n.at LIMIT most FOR UPDATE SKIP LOCKED) AS o;
    DELETE FROM inbox_marks m WHERE m.ctid = ANY (ARRAY(SELECT k.ctid FROM unnest(whose, seqs) AS o(tenant_id, seq)
        JOIN inbox_marks k ON k.tenant_id = o.tenant_id AND k.seq = o.seq LIMIT most));
    GET DIAGNOSTICS marks = ROW_COUNT;
    WITH bare AS (
        SELECT n.tenant_id, n.seq, n.channels FROM unnest(whose, seqs) AS o(tenant_id, seq)
            JOIN notices n ON n.tenant_id = o.tenant_id AND n.seq = o.seq
        WHERE NOT EXISTS (SELECT FROM inbox_marks m WHERE m.tenant_id = o.tenant_id AND m.seq = o.seq)
    ), audience AS (
        DELETE FROM notice_audience a USING (SELECT b.tenant_id, b.seq, c.channel FROM bare b, unnest(b.channels) AS c(channel)) AS g
        WHERE a.tenant_id = g.tenant_id AND a.channel = g.channel AND a.seq = g.seq
    ), changed AS (
        INSERT INTO notice_changes AS c (tenant_id, changes) SELECT DISTINCT b.tenant_id, 1 FROM bare b ORDER BY 1
        ON CONFLICT (tenant_id) DO UPDATE SET changes = c.changes + 1
    ), went AS (
        DELETE FROM notices n USING bare b WHERE n.tenant_id = b.tenant_id AND n.seq = b.seq RETURNING 1
    ) SELECT count(*) INTO forgotten FROM went;
    overdue := coalesce((SELECT greatest(extract(epoch FROM bound - min(n.at)), 0) FROM notices n WHERE n.at < bound), 0);
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

REVOKE ALL ON FUNCTION carillon.forget_some_notices FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.forget_some_notices TO carillon_publisher;
REVOKE ALL ON FUNCTION carillon.mark_notice, carillon.advance_inbox FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.mark_notice, carillon.advance_inbox TO carillon_publisher;

-- Takes a notice back: from then on it is in no inbox. Of several that were published under one id the newest. No row: there is none.
CREATE FUNCTION carillon.retract_notice(tenant text, event text) RETURNS TABLE (seq bigint, channels text[], first boolean, retracted_at timestamptz)
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
#variable_conflict use_column
DECLARE
    was notices;
BEGIN
    SELECT n.* INTO was FROM notices n WHERE n.tenant_id = tenant AND n.id = event ORDER BY n.seq DESC LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF was.retracted_at IS NULL THEN
        UPDATE notices n SET retracted_at = now() WHERE n.tenant_id = tenant AND n.seq = was.seq;
        INSERT INTO notice_changes AS c (tenant_id, changes) VALUES (tenant, 1)
            ON CONFLICT (tenant_id) DO UPDATE SET changes = c.changes + 1;
    END IF;
    RETURN QUERY SELECT was.seq, was.channels, was.retracted_at IS NULL, coalesce(was.retracted_at, now());
END $$;

-- Puts a channel into a person's inbox, from the head on, or takes it out. False: they follow `most` already.
CREATE FUNCTION carillon.follow_channel(tenant text, person text, followed text, following boolean, most integer) RETURNS boolean
    LANGUAGE plpgsql SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM FROM inbox_state s WHERE s.tenant_id = tenant AND s.user_id = person FOR UPDATE;
    IF following THEN
        IF EXISTS (SELECT FROM followers f WHERE f.tenant_id = tenant AND f.channel = followed AND f.user_id = person) THEN
            RETURN true;
        END IF;
        IF (SELECT count(*) >= most FROM followers f WHERE f.tenant_id = tenant AND f.user_id = person) THEN
            RETURN false;
        END IF;
        INSERT INTO followers (tenant_id, channel, user_id, since)
            SELECT tenant, followed, person, t.head FROM tenants t WHERE t.id = tenant;
    ELSE
        DELETE FROM followers f WHERE f.tenant_id = tenant AND f.channel = followed AND f.user_id = person;
        IF NOT FOUND THEN
            RETURN true;
        END IF;
    END IF;
    UPDATE inbox_state s SET version = s.version + 1 WHERE s.tenant_id = tenant AND s.user_id = person;
    RETURN true;
END $$;

REVOKE ALL ON FUNCTION carillon.retract_notice, carillon.follow_channel FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.retract_notice, carillon.follow_channel TO carillon_publisher;
