-- What tenants say about types of events: texts of notices, and what data must be like. What a definition says is read by the
-- publisher (publisher/src/types). Each owner's types have one version, moved in the transaction that changes one of them;
-- publishers ask once a second whose version moved. The owner `*` is the installation.

CREATE TABLE carillon.event_types (
    tenant_id  text COLLATE "C" NOT NULL,
    type       text COLLATE "C" NOT NULL,
    definition text NOT NULL,             -- JSON, as it was checked
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, type)
);

-- One row for each owner that ever had a type.
CREATE TABLE carillon.event_type_sets (
    tenant_id text COLLATE "C" PRIMARY KEY,
    version   bigint NOT NULL
);
CREATE INDEX event_type_sets_since ON carillon.event_type_sets (version);

ALTER TABLE carillon.event_types     ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.event_types     FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.event_type_sets ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.event_type_sets FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.event_types USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.event_type_sets USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY maintenance ON carillon.event_type_sets TO carillon_owner
    USING (current_setting('carillon.maintenance', true) = 'on');

-- Whose types were changed after a version, of all owners.
CREATE FUNCTION carillon.event_types_since(since bigint) RETURNS TABLE (owner text, version bigint)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = carillon, pg_temp AS $$
BEGIN
    PERFORM set_config('carillon.maintenance', 'on', true);
    RETURN QUERY SELECT s.tenant_id, s.version FROM event_type_sets s WHERE s.version > since ORDER BY s.version;
    PERFORM set_config('carillon.maintenance', '', true);
END $$;

GRANT SELECT, INSERT, UPDATE, DELETE ON carillon.event_types TO carillon_publisher;
GRANT SELECT, INSERT, UPDATE ON carillon.event_type_sets TO carillon_publisher;
REVOKE ALL ON FUNCTION carillon.event_types_since FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.event_types_since TO carillon_publisher;
