-- What Apache says itself when nobody can answer is what the contract says: a problem with Retry-After, which pages may read (it
-- says nothing of anybody). That a page may ask for it, with any header, is said by the preflight. An EventSource ends for good at any status but 200:
-- it is told when to come back.

function handle(r)
    local method, asked = r.the_request:match("^(%S+) ([^? ]+)")
    local id = r.subprocess_env["UNIQUE_ID"] or r:sha1(tostring(r:clock()))
    local head = r.err_headers_out
    head["Cache-Control"] = "no-store"
    head["X-Request-Id"] = id
    head["Access-Control-Allow-Origin"] = "*"
    head["Access-Control-Allow-Methods"] = "GET,POST,PUT,DELETE"
    head["Access-Control-Allow-Headers"] = r.headers_in["Access-Control-Request-Headers"]
    head["Access-Control-Expose-Headers"] = "Retry-After,X-Request-Id"
    if method == "OPTIONS" then
        r.status = 204
        return apache2.OK
    end
    if asked == "/v1/sse" then
        r.status = 200
        r.content_type = "text/event-stream"
        r:puts("retry: " .. math.random(1000, 3000) .. "\n",
            'data: {"type":"error","code":"unavailable","message":"no gateway answers now; come back"}\n\n')
        return apache2.OK
    end
    r.status = 503
    r.content_type = "application/problem+json"
    head["Retry-After"] = "1"
    r:puts('{"type":"urn:carillon:problem:unavailable","title":"Service Unavailable","status":503,"code":"unavailable",',
        '"detail":"nobody answers now; repeat with the same idempotency key","request_id":"', id, '"}')
    return apache2.OK
end
