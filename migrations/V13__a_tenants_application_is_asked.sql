-- What a tenant's administrators set beside its channel rules: where its application is asked about rules that say `ask`, and with
-- which secrets such questions are signed. Apart from `tenants`, whose rows are written with every event.
-- The secrets stand here as they are: who signs must have them. During a rotation the one before signs, too, until its time is over.

CREATE TABLE carillon.tenant_settings (
    tenant_id                 text COLLATE "C" PRIMARY KEY,
    authorize_url             text,
    authorize_secret          text,
    authorize_secret_before   text,
    authorize_before_until    timestamptz,
    -- The settings' version when any of the above was set last: verdicts of an earlier one hold no longer.
    authorize_generation      bigint NOT NULL DEFAULT 0,
    changed_at                timestamptz NOT NULL DEFAULT now(),
    CHECK ((authorize_url IS NULL) = (authorize_secret IS NULL)),
    CHECK ((authorize_secret_before IS NULL) = (authorize_before_until IS NULL))
);

ALTER TABLE carillon.tenant_settings ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.tenant_settings FORCE  ROW LEVEL SECURITY;

CREATE POLICY tenant_scope ON carillon.tenant_settings
    USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));

GRANT SELECT, INSERT, UPDATE ON carillon.tenant_settings TO carillon_publisher;
GRANT SELECT ON carillon.tenant_settings TO carillon_gateway;
