-- Back ends listen with API keys: a gateway sees the one key it names, as a publisher does, and can change none.

CREATE POLICY named_key_of_a_listener ON carillon.api_keys FOR SELECT TO carillon_gateway
    USING (id = current_setting('carillon.api_key', true));

GRANT SELECT ON carillon.api_keys TO carillon_gateway;
