-- As for events; and here for reading, too. A key is looked up by tenant and key; with `= ANY (scope)` as a further
-- condition on the same index, Postgres 15 sorts the scope and goes through it for each of a batch's keys, and thinks
-- so little of the index that it may read the whole table instead.

DROP POLICY tenant_scope ON carillon.idempotency;
CREATE POLICY tenant_reads ON carillon.idempotency FOR SELECT
    USING (tenant_id IN (SELECT unnest(carillon.scope())));
CREATE POLICY tenant_appends ON carillon.idempotency FOR INSERT
    WITH CHECK (tenant_id IN (SELECT unnest(carillon.scope())));
