-- Who may do what in which channels, set by the tenant's administrators; and how a gateway hears that it changed: every write
-- moves a version in its own transaction, and gateways read the version with the heads that they look at once a second.
-- A version is the time in microseconds, and at least one more than before: so that a database that was set back and goes on
-- from there never gives two settings the same version.

CREATE FUNCTION carillon.next_version(before bigint) RETURNS bigint
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN greatest(before + 1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint);

ALTER TABLE carillon.tenants ADD COLUMN settings_version bigint NOT NULL DEFAULT 0;

-- What holds for all tenants; one row, and no tenant's.
CREATE TABLE carillon.installation (
    id               text COLLATE "C" PRIMARY KEY CHECK (id = '*'),
    settings_version bigint NOT NULL DEFAULT 0
);
INSERT INTO carillon.installation (id) VALUES ('*');

-- The tenant `*` holds the installation's defaults. What a rule says is read by the services (platform/src/rules).
CREATE TABLE carillon.channel_rules (
    tenant_id  text COLLATE "C" NOT NULL,
    pattern    text COLLATE "C" NOT NULL,
    rule       jsonb NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, pattern)
);

ALTER TABLE carillon.installation  ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.installation  FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.channel_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.channel_rules FORCE  ROW LEVEL SECURITY;

-- The version alone is no secret: whoever may see any tenant sees it. It is moved by whoever names `*`.
CREATE POLICY version_is_read ON carillon.installation FOR SELECT
    USING (cardinality((SELECT carillon.scope())::text[]) > 0);
CREATE POLICY version_is_moved ON carillon.installation FOR UPDATE
    USING (id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.channel_rules
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));

GRANT UPDATE (settings_version) ON carillon.tenants TO carillon_publisher;
GRANT SELECT, UPDATE (settings_version) ON carillon.installation TO carillon_publisher;
GRANT SELECT, INSERT, UPDATE, DELETE ON carillon.channel_rules TO carillon_publisher;
GRANT SELECT ON carillon.installation, carillon.channel_rules TO carillon_gateway;

REVOKE ALL ON FUNCTION carillon.next_version FROM PUBLIC;
GRANT EXECUTE ON FUNCTION carillon.next_version TO carillon_publisher;
