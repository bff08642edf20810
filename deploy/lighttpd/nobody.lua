-- What lighttpd says itself when nobody can answer is what the contract says: a problem with Retry-After, which pages may read (it
-- says nothing of anybody). That a page may ask for it, with any header, is said by the preflight. An EventSource ends for good at any status but 200:
-- it is told when to come back.
--
-- Called when the head of an answer is about to be sent (magnet.attract-response-start-to); what a server behind said is left alone.

local r = lighty.r
local status = r.req_item.http_status or lighty.env["response.http-status"]
-- Every answer of ours has an X-Request-Id.
if status < 500 or r.resp_header["X-Request-Id"] then
    return 0
end

local id = ""
for _ = 1, 8 do
    id = id .. string.format("%04x", lighty.c.rand() % 65536)
end
local head = r.resp_header
head["Cache-Control"] = "no-store"
head["X-Request-Id"] = id
head["Access-Control-Allow-Origin"] = "*"
head["Access-Control-Allow-Methods"] = "GET,POST,PUT,DELETE"
head["Access-Control-Allow-Headers"] = r.req_header["Access-Control-Request-Headers"]
head["Access-Control-Expose-Headers"] = "Retry-After,X-Request-Id"
if r.req_attr["request.method"] == "OPTIONS" then
    r.resp_body.set("")
    return 204
end
if r.req_attr["uri.path"] == "/v1/sse" then
    head["Content-Type"] = "text/event-stream"
    r.resp_body.set("retry: " .. (1000 + lighty.c.rand() % 2000)
        .. '\ndata: {"type":"error","code":"unavailable","message":"no gateway answers now; come back"}\n\n')
    return 200
end
head["Content-Type"] = "application/problem+json"
head["Retry-After"] = "1"
r.resp_body.set('{"type":"urn:carillon:problem:unavailable","title":"Service Unavailable","status":503,"code":"unavailable",'
    .. '"detail":"nobody answers now; repeat with the same idempotency key","request_id":"' .. id .. '"}')
return 503
