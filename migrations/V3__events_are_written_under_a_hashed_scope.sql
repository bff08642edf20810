-- `tenant_id = ANY (scope)` is the right form for reading, where it is an index condition. For an inserted row it
-- compares with one name of the scope after the other; `IN (SELECT …)` hashes the scope once for each statement.
-- Nobody may update or delete events, so there is no policy for that: it matches nothing. One table a migration, so
-- that no two locks are held at a time.

DROP POLICY tenant_scope ON carillon.events;
CREATE POLICY tenant_reads ON carillon.events FOR SELECT
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_appends ON carillon.events FOR INSERT
    WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())));
