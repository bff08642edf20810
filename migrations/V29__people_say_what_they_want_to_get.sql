-- What people say about what they want to get and when it is quiet for them, and what their tenant says for whoever has said
-- nothing. A row only for whoever has said something. What it says is read by the publisher (publisher/src/preferences).

CREATE TABLE carillon.preferences (
    tenant_id   text COLLATE "C" NOT NULL,
    user_id     text COLLATE "C" NOT NULL,
    preferences text NOT NULL,            -- JSON, as it was checked
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, user_id)
);

CREATE TABLE carillon.preference_defaults (
    tenant_id   text COLLATE "C" PRIMARY KEY,
    preferences text NOT NULL,            -- JSON, as it was checked
    changed_at  timestamptz NOT NULL DEFAULT now()
);

ALTER TABLE carillon.preferences         ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.preferences         FORCE  ROW LEVEL SECURITY;
ALTER TABLE carillon.preference_defaults ENABLE ROW LEVEL SECURITY;
ALTER TABLE carillon.preference_defaults FORCE  ROW LEVEL SECURITY;
CREATE POLICY tenant_scope ON carillon.preferences USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));
CREATE POLICY tenant_scope ON carillon.preference_defaults USING (tenant_id = ANY ((SELECT carillon.scope())::text[]));

GRANT SELECT, INSERT, UPDATE ON carillon.preferences, carillon.preference_defaults TO carillon_publisher;
